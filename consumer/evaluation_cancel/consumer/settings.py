"""The settings of the consumer, environment variables with the prefix EVALUATION_CANCEL_.

`load_settings` in `schemas/settings/loading.py` reads them.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from evaluation_cancel.consumer.domain.evaluations import EVALUATION_LABEL
from evaluation_cancel.consumer.migrations.mapping import EvaluationsTable
from evaluation_cancel.schemas.kafka_settings import KafkaSettings
from evaluation_cancel.schemas.postgres.address import parse_dsn
from evaluation_cancel.schemas.postgres.login import PostgresLogin

Loop = Literal["intake", "teardown", "cleanup", "outbox", "reconcile"]
ALL_LOOPS: Final[tuple[Loop, ...]] = ("intake", "teardown", "cleanup", "outbox", "reconcile")


class ClusterSettings(BaseModel):
    """How to reach one Kubernetes cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: Path | None = None
    """Path of a kubeconfig file. None: the service account of this pod."""
    context: str | None = None
    """Context of the kubeconfig. None: its current context."""
    namespaces: tuple[str, ...] = ()
    """Namespaces with evaluations. None means all, which needs rights in all."""
    disable_strict_ssl_verification: bool = False
    """Accept certificate authorities without the extensions that Python 3.13 demands, such as those of old EKS."""


class ConsumerSettings(KafkaSettings):
    """The settings of the service and of its commands. Kafka's are in `schemas/kafka_settings.py`."""

    postgres_dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/postgres")
    """postgresql:// address of the database with the schema evaluation_cancel."""
    postgres_dsn_file: Path | None = None
    """File with the DSN instead, read for each new connection, so that it may change at any time."""
    postgres_password_file: Path | None = None
    """File with the password, read for each new connection. It takes the place of the one in the DSN."""
    postgres_password_command: tuple[str, ...] = ()
    """JSON list: a program and its arguments that print the password, such as a token of RDS or Vault. It is run for
    new connections, at most every 5 s, and may take 10 s."""
    postgres_pool_size: int = Field(default=10, ge=2, le=200)
    """Connections at most. Each loop uses one or two at a time, so the default suffices for all loops."""
    postgres_statement_timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds for one statement, and for an idle transaction: a stopped process keeps its row locks that long."""
    postgres_lock_timeout: float = Field(default=2.0, gt=0, le=60)
    """Seconds to wait for a lock. Most locks are skipped instead, so few statements wait."""
    postgres_statement_cache_size: int = Field(default=200, ge=0)
    """Prepared statements per connection. 0 behind PgBouncer in transaction mode, which cannot keep them."""
    postgres_startup_parameters: bool = True
    """Set time limits once for each connection. false behind a pooler that refuses startup parameters, as PgBouncer
    does: they are then set in each transaction, for one round trip more."""
    evaluations_table: EvaluationsTable = Field(default_factory=EvaluationsTable)
    """JSON: table and columns of an existing evaluations table. The default is the service's own table."""

    group_id: str = Field(default="evaluation-cancel", min_length=1, max_length=255)
    """Kafka consumer group. All replicas share one."""
    group_instance_id: str | None = Field(default=None, min_length=1, max_length=249)
    """`group.instance.id`: a replica that restarts under the same name within 10 s keeps its partitions, without a
    rebalance. Must differ between replicas, as the pods of a StatefulSet do."""
    intake_batch: int = Field(default=500, ge=1, le=20000)
    """Records in one transaction at most. A larger batch costs less per record and holds locks longer."""
    accept_bare: bool = True
    """Accept JSON without CloudEvents headers as CancelEvaluation v1, for shell scripts."""
    every_team_sources: frozenset[str] = frozenset()
    """JSON list of CloudEvents sources whose commands may cancel evaluations of every team."""
    event_source: str = Field(default="urn:evaluation-cancel", min_length=1, max_length=512)
    """CloudEvents source of the published events."""

    clusters: dict[str, ClusterSettings] = Field(default_factory=dict)
    """JSON: cluster name, as the orchestrator stores it in evaluations, to the entry described below."""
    calls_in_flight: int = Field(default=32, ge=1, le=1000)
    """Concurrent calls to each cluster. With 500 a default API server refused 144 of them."""
    teardown_lease: float = Field(default=60.0, ge=3, le=600)
    """Seconds that a process owns a claimed cancellation. If the process dies, the cancellation waits that long."""
    call_timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds for one Kubernetes call. At most half of TEARDOWN_LEASE, so that a call ends within the claim."""
    job_create_grace: float = Field(default=600.0, ge=0)
    """Seconds after acceptance in which a Job without a stored uid may still appear, so its absence proves nothing."""
    refusal_patience: float = Field(default=300.0, ge=0)
    """Seconds of refusals by the API server (RBAC) before a cancellation fails, if nothing was deleted for it."""
    controller_uid_label: str = "batch.kubernetes.io/controller-uid"
    """Label of a Job's pods with the Job's uid. `controller-uid` before Kubernetes 1.27."""

    evaluation_label: str = Field(default=EVALUATION_LABEL, pattern=r"^[A-Za-z0-9][-A-Za-z0-9_./]{0,315}[A-Za-z0-9]$")
    """Label of an evaluation's Jobs and pods, with the evaluation's id. Your orchestrator sets it."""
    presume_stopped_after: float = Field(default=30.0, ge=0, le=3600)
    """Seconds to wait for proof that processes ended once all objects are gone. Longer than usual grace periods."""
    insist_on_proof: bool = False
    """Keep a cancellation open without that proof, until an operator resolves it."""
    delete_labelled_pods: bool = False
    """Delete pods with the label that no Job's deletion takes along. Needs the right to delete pods."""

    cleanup_enabled: bool = True
    """Run the cleanup loop. Without it, requested cleanups wait for another process that runs it."""
    cleanup_deadline: float = Field(default=24 * 3600.0, gt=0)
    """Seconds after the cancellation until cleanup gives up and reports the remaining keys."""
    s3_endpoint_url: str | None = None
    """Address of an S3-compatible store. None: AWS. boto finds the credentials (environment, profile, role)."""
    s3_region: str | None = None
    """AWS region. None: as boto finds it."""
    s3_path_style: bool = False
    """Put the bucket into the path instead of the host name, as most S3-compatible stores need it."""
    s3_content_md5: bool = False
    """Send Content-MD5 with DeleteObjects. Some stores demand it, and get it after their first refusal anyway."""

    publish_timeout: float = Field(default=8.0, gt=0, le=60)
    """Seconds for the acknowledgement of one batch of messages. Below OUTBOX_LEASE."""
    outbox_lease: float = Field(default=15.0, ge=2, le=300)
    """Seconds until another process takes over the outbox from a dead one."""
    outbox_batch: int = Field(default=2000, ge=1, le=20000)
    """Messages published in one batch at most."""
    inbox_days: int = Field(default=30, ge=8)
    """Days to keep commands, for detecting duplicates. Longer than the 7 days of their topic."""
    outbox_days: int = Field(default=30, ge=1)
    """Days to keep published messages, for publishing them again after a duplicate command."""

    http_host: str = "0.0.0.0"  # noqa: S104  # the kubelet and Prometheus connect from outside
    """Address that the HTTP server of health and metrics listens on."""
    http_port: int = Field(default=8081, ge=0, le=65535)
    """Port of /healthz, /readyz and /metrics. 0: any free port."""
    stop_timeout: float = Field(default=20.0, gt=0, le=300)
    """Seconds to finish work in flight after SIGTERM. Below the pod's termination grace period."""
    worker: str = Field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        min_length=1,
        max_length=200,
    )
    """Name of this process in claims and leases. Must be unique: two processes with one name would both publish."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level to log."""

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.call_timeout * 2 > self.teardown_lease:
            raise ValueError("call_timeout must be at most half of teardown_lease, or no claim leaves time to delete")
        if self.postgres_statement_timeout >= self.teardown_lease:
            raise ValueError("postgres_statement_timeout must be below teardown_lease")
        if self.publish_timeout >= self.outbox_lease:
            raise ValueError("publish_timeout must be below outbox_lease")
        return self

    @field_validator("postgres_dsn")
    @classmethod
    def _is_an_address(cls, dsn: SecretStr) -> SecretStr:
        parse_dsn(dsn.get_secret_value())
        return dsn

    @model_validator(mode="after")
    def _login_is_there(self) -> Self:
        if self.postgres_dsn_file is not None and "postgres_dsn" in self.model_fields_set:
            raise ValueError("postgres_dsn and postgres_dsn_file are both set; one is enough")
        self.postgres_login().check()
        return self

    def postgres_login(self) -> PostgresLogin:
        """Where connections get their address and password. Make one for each pool."""
        return PostgresLogin(
            dsn=self.postgres_dsn,
            dsn_file=self.postgres_dsn_file,
            password_file=self.postgres_password_file,
            password_command=self.postgres_password_command,
        )

    @property
    def cleanup_time(self) -> timedelta:
        """`cleanup_deadline` as a duration."""
        return timedelta(seconds=self.cleanup_deadline)
