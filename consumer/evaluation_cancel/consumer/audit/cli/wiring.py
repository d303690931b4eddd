"""The composition root of the audit commands: opens Kafka, Postgres, the archive and the keys from the settings.

Client libraries are imported when they are opened, so that `--help` is fast.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from evaluation_cancel.consumer.audit.archive.object_store import ObjectStore
from evaluation_cancel.consumer.audit.archive.signing import TrustedKeys, load_signer, load_trusted
from evaluation_cancel.consumer.audit.archive.writer import ArchiveLimits, Archiver
from evaluation_cancel.consumer.audit.cli.settings import AuditSettings
from evaluation_cancel.consumer.audit.kafka.reading import Log
from evaluation_cancel.consumer.domain.errors import Refusal, TemporaryError
from evaluation_cancel.consumer.s3.connect import S3Access, open_client
from evaluation_cancel.consumer.sql.connect import database
from evaluation_cancel.consumer.sql.database import Database
from evaluation_cancel.consumer.sql.errors import translated


def kafka(settings: AuditSettings) -> AbstractAsyncContextManager[Log]:
    """Open a log with all partitions of the three topics."""
    from evaluation_cancel.consumer.audit.kafka.client import open_log  # noqa: PLC0415  # a client, slow to load

    topics = [spec.name for spec in settings.topics.specs()]
    return open_log(settings.kafka_client(), settings.kafka_isolation_level, topics)


@asynccontextmanager
async def postgres(settings: AuditSettings) -> AsyncIterator[Database]:
    """Open the database. Raises `TemporaryError` when it cannot be reached."""
    async with AsyncExitStack() as stack:
        with translated():
            opened = await stack.enter_async_context(database(settings))
        yield opened


@asynccontextmanager
async def store(settings: AuditSettings) -> AsyncIterator[ObjectStore]:
    """Open the archive. Raises `Refusal` when the settings name no bucket."""
    if settings.audit_bucket is None:
        raise Refusal("no_archive", "EVALUATION_CANCEL_AUDIT_BUCKET is not set: there is no archive")
    from evaluation_cancel.consumer.audit.archive.s3_object_store import S3ObjectStore  # noqa: PLC0415  # a client, slow to load

    access = S3Access(
        endpoint_url=settings.s3_endpoint_url, region=settings.s3_region, path_style=settings.s3_path_style
    )
    async with open_client(access) as client:
        yield S3ObjectStore(client, bucket=settings.audit_bucket, prefix=settings.audit_prefix)


def trusted_keys(settings: AuditSettings) -> TrustedKeys:
    """The trusted keys. Raises `Refusal` if the settings name none, because unsigned links prove nothing."""
    keys = load_trusted(settings.audit_public_key_files)
    if not keys:
        raise Refusal("no_public_key", "EVALUATION_CANCEL_AUDIT_PUBLIC_KEY_FILES names no key")
    return keys


@asynccontextmanager
async def _whole_log(settings: AuditSettings) -> AsyncIterator[Log]:
    """Open a log that has all three topics. Raises `TemporaryError` while one does not exist."""
    async with kafka(settings) as log:
        missing = {spec.name for spec in settings.topics.specs()} - {topic for topic, _ in log.partitions}
        if missing:
            raise TemporaryError("topics_missing", f"the broker has no {', '.join(sorted(missing))}; `migrate topics`?")
        yield log


def archiver(settings: AuditSettings, opened: ObjectStore) -> Archiver:
    """An archiver on this store. Raises `Refusal` without a signing key that is also trusted."""
    if settings.audit_signing_key_file is None:
        raise Refusal("no_signing_key", "EVALUATION_CANCEL_AUDIT_SIGNING_KEY_FILE is not set")
    signer, trusted = load_signer(settings.audit_signing_key_file), trusted_keys(settings)
    if signer.key_id not in trusted:
        raise Refusal("signing_key_not_trusted", "the signing key's public key is not among the trusted keys")
    return Archiver(
        store=opened,
        open_log=lambda: _whole_log(settings),
        signer=signer,
        trusted=trusted,
        limits=ArchiveLimits(
            object_bytes=settings.audit_object_bytes,
            object_age=settings.audit_object_age,
            poll=settings.audit_poll,
            patience=settings.audit_read_timeout,
        ),
    )
