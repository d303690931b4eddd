"""Settings of the audit commands, in addition to the service's, with the prefix EVALUATION_CANCEL_AUDIT_."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from evaluation_cancel.consumer.settings import ConsumerSettings


class AuditSettings(ConsumerSettings):
    """The archive and the limits of its writers and readers. Kafka, Postgres and S3 have the service's settings."""

    audit_bucket: str | None = None
    """The archive's bucket. None: there is no archive, and commands that need one say so."""
    audit_prefix: str = Field(default="", pattern=r"^([A-Za-z0-9._-]+/)*$", max_length=200)
    """What all keys of the archive begin with, ending in a slash, so that a bucket can hold several."""
    audit_signing_key_file: Path | None = None
    """PEM file (PKCS#8) of the Ed25519 private key that signs links. Only `archive` needs it."""
    audit_public_key_files: tuple[Path, ...] = ()
    """PEM files of the public keys whose signatures count: a JSON list, so that old keys stay beside a new one."""

    audit_object_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    """Bytes of JSON lines an object at most, before compression: some thousand records, read in one piece."""
    audit_object_age: float = Field(default=300.0, gt=0, le=86400)
    """Seconds until what was read is written although the object is not full: how far the archive may lag. Each
    partition with traffic makes one object and one link in that time; 300 s make 105,000 a year at most."""
    audit_poll: float = Field(default=0.5, gt=0, le=60)
    """Seconds that one read of Kafka waits for records; also how soon the archiver notices that it is to stop."""

    audit_lag: float = Field(default=3600.0, gt=0)
    """Seconds after which `verify` calls a record missing, undecided or unpublished that it would before have taken
    for on its way; well above audit_object_age and any outage that is ridden out."""
    audit_read_timeout: float = Field(default=30.0, gt=0, le=3600)
    """Seconds without any progress until a read of Kafka is given up."""
    audit_replay_rate: float = Field(default=1000.0, gt=0)
    """Records a second onto another topic, at most: a new service is not to be drowned by its own history."""
