"""Settings of the consuming side, all under the prefix EVALUATION_CANCEL_; read once, every error told together.

How to reach Kafka is in `schemas/kafka_settings.py`. What each loop does with its limits is said beside the loop.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from evaluation_cancel.consumer.migrations.evaluations import EvaluationsTable
from evaluation_cancel.schemas.kafka_settings import KafkaSettings

Loop = Literal["intake", "teardown", "cleanup", "outbox", "reconcile"]
ALL_LOOPS: Final[tuple[Loop, ...]] = ("intake", "teardown", "cleanup", "outbox", "reconcile")


class ClusterSettings(BaseModel):
    """How to reach one Kubernetes cluster. Without a kubeconfig, the service account of our own pod is used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: Path | None = None
    context: str | None = None
    """Of the kubeconfig; its current one when absent."""
    namespaces: tuple[str, ...] = ()
    """Watched namespaces; none means all, which needs rights in all."""
    disable_strict_ssl_verification: bool = False
    """Accept certificate authorities without the extensions that Python 3.13 asks for, as of old EKS clusters."""


class ConsumerSettings(KafkaSettings):
    """Read from the environment; lists and maps are JSON."""

    postgres_dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/postgres")
    """postgresql:// address of the database that holds the schema evaluation_cancel."""
    postgres_pool_size: int = Field(default=10, ge=2, le=200)
    """Connections at most. Each loop uses one or two at a time."""
    postgres_statement_timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds; also how long a transaction may idle. A stopped process holds its row locks for so long."""
    postgres_lock_timeout: float = Field(default=2.0, gt=0, le=60)
    """Seconds to wait for a lock that cannot be skipped."""
    postgres_statement_cache_size: int = Field(default=200, ge=0)
    """Prepared statements a connection. 0 behind PgBouncer in transaction mode."""
    evaluations_table: EvaluationsTable = Field(default_factory=EvaluationsTable)
    """JSON mapping of a team's own evaluations table; the default is our own."""

    group_id: str = Field(default="evaluation-cancel", min_length=1, max_length=255)
    """The Kafka consumer group."""
    intake_batch: int = Field(default=500, ge=1, le=20000)
    """Records a transaction at most. More is cheaper for each and holds locks longer."""
    accept_bare: bool = True
    """Read JSON without CloudEvents headers as CancelEvaluation v1: the way in for a shell script."""
    every_team_sources: frozenset[str] = frozenset()
    """CloudEvents sources whose commands act for every team."""
    event_source: str = Field(default="urn:evaluation-cancel", min_length=1, max_length=512)
    """The CloudEvents source of our events."""

    clusters: dict[str, ClusterSettings] = Field(default_factory=dict)
    """Name, as the orchestrator writes it into evaluations, to how it is reached."""
    calls_in_flight: int = Field(default=32, ge=1, le=1000)
    """Kubernetes API calls at once, each cluster. 500 at once made a default API server refuse 144 of them."""
    teardown_lease: float = Field(default=60.0, ge=3, le=600)
    """Seconds a claimed cancellation is held; how long it waits when its holder dies."""
    call_timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds for one Kubernetes call; at most half of teardown_lease."""
    job_create_grace: float = Field(default=600.0, ge=0)
    """Seconds after acceptance during which a Job without a recorded uid may still appear."""
    refusal_patience: float = Field(default=300.0, ge=0)
    """Seconds that the API server may refuse us (RBAC) before a cancellation of which nothing was deleted fails."""
    controller_uid_label: str = "batch.kubernetes.io/controller-uid"
    """The label of a Job's pods; `controller-uid` before Kubernetes 1.27."""

    cleanup_enabled: bool = True
    """Off: wishes for cleanup wait until a process with the cleanup loop comes."""
    cleanup_deadline: float = Field(default=24 * 3600.0, gt=0)
    """Seconds after the cancellation until what could not be deleted is reported as left over."""
    s3_endpoint_url: str | None = None
    """Of an S3-compatible store; AWS itself when absent. Credentials come the way boto finds them."""
    s3_region: str | None = None
    s3_path_style: bool = False
    """The bucket in the path and not in the host name, as most S3-compatible stores want it."""
    s3_content_md5: bool = False
    """Send Content-MD5 with DeleteObjects, which some stores ask for and botocore no longer does."""

    publish_timeout: float = Field(default=8.0, gt=0, le=60)
    """Seconds for a round of publishing to be acknowledged; below the outbox lease."""
    outbox_lease: float = Field(default=15.0, ge=2, le=300)
    """Seconds until others take the outbox over from a leader that has vanished."""
    outbox_batch: int = Field(default=2000, ge=1, le=20000)
    """Messages a round."""
    inbox_days: int = Field(default=30, ge=8)
    """Days that commands are remembered: longer than their topic's 7."""
    outbox_days: int = Field(default=30, ge=1)
    """Days that published messages can be published again for a duplicate command."""

    http_host: str = "0.0.0.0"  # noqa: S104  # health and metrics are read by the kubelet and Prometheus
    http_port: int = Field(default=8081, ge=0, le=65535)
    """Of /healthz, /readyz and /metrics; 0 for any free one."""
    stop_timeout: float = Field(default=20.0, gt=0, le=300)
    """Seconds for what is in hand when told to stop; below the pod's termination grace."""
    worker: str = Field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        min_length=1,
        max_length=200,
    )
    """Names this process in claims and leases. No two that run may share one: with the same they would both publish."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.call_timeout * 2 > self.teardown_lease:
            raise ValueError("call_timeout must be at most half of teardown_lease, or nothing may be deleted in it")
        if self.postgres_statement_timeout >= self.teardown_lease:
            raise ValueError("postgres_statement_timeout must be below teardown_lease")
        if self.publish_timeout >= self.outbox_lease:
            raise ValueError("publish_timeout must be below outbox_lease")
        return self

    @property
    def cleanup_time(self) -> timedelta:
        return timedelta(seconds=self.cleanup_deadline)
