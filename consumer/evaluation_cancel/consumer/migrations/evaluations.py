"""Generates the SQL functions and triggers through which evaluations are accessed, for the table that holds them.

`evaluations_sql` turns a mapping (table, columns, statuses) into statements. Every upgrade replaces the functions, so a
changed mapping needs no revision. A mapped table gets the triggers and nothing else. The queries of `sql/` call the
functions by name and do not depend on the mapping.
"""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

STATUSES = ("created", "starting", "running", "succeeded", "failed", "cancelled")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}\Z")

OWN_TABLE = """
CREATE TABLE IF NOT EXISTS evaluation_cancel.evaluations (
    id uuid PRIMARY KEY,
    team_id text NOT NULL,
    status text NOT NULL DEFAULT 'created'
        CHECK (status IN ('created', 'starting', 'running', 'succeeded', 'failed', 'cancelled')),
    cluster text,
    job_namespace text,
    job_name text,
    job_uid text,
    bucket text,
    prefix text,
    request_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
) WITH (fillfactor = 70)
"""


class EvaluationsTable(BaseModel):
    """The table of evaluations and its columns. The default is the service's own table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = "evaluation_cancel.evaluations"
    """A base table, optionally with its schema. Not a view: views take no row triggers."""
    id: str = "id"
    """Column of the evaluation's id, a uuid."""
    team_id: str = "team_id"
    """Column of the owning team."""
    status: str = "status"
    """Column of the status, a text or an enum. `statuses` maps its values."""
    cluster: str = "cluster"
    """Column of the Job's cluster: a name in the setting CLUSTERS."""
    job_namespace: str = "job_namespace"
    """Column of the Job's namespace."""
    job_name: str = "job_name"
    """Column of the Job's name."""
    job_uid: str = "job_uid"
    """Column of the Job's uid, empty until the Job is created."""
    bucket: str = "bucket"
    """Column of the artifacts' bucket."""
    prefix: str = "prefix"
    """Column of the artifacts' prefix in the bucket."""
    request_key: str = "request_key"
    """Column of the key of the stored request, which cleanup keeps."""
    ended_at: str = "ended_at"
    """Column of the time of a final status."""
    statuses: dict[str, str] = Field(default_factory=lambda: {s: s for s in STATUSES})
    """The service's status → the table's value. All six are needed, and no two values may be equal."""

    @model_validator(mode="after")
    def _is_safe_sql(self) -> Self:
        for name in self.table.split("."):
            _check_identifier("table", name)
        for field in self.columns():
            _check_identifier(field, getattr(self, field))
        if set(self.statuses) != set(STATUSES) or len(set(self.statuses.values())) != len(STATUSES):
            raise ValueError(f"statuses: each of {', '.join(STATUSES)} needs a value of its own")
        return self

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """The fields that name columns."""
        return tuple(f for f in cls.model_fields if f not in ("table", "statuses"))

    @property
    def is_our_own(self) -> bool:
        """Whether the service creates the table itself."""
        return self.table == "evaluation_cancel.evaluations"


def _check_identifier(field: str, name: str) -> None:
    if not _IDENTIFIER.match(name):
        raise ValueError(f"{field}: {name!r} is not a plain SQL identifier (letters, digits, _ and $)")


def evaluations_sql(mapping: EvaluationsTable) -> list[str]:
    """The statements, in order. They can run again, and replace the functions of an earlier mapping."""
    names = {c: f'"{getattr(mapping, c)}"' for c in mapping.columns()}
    table = ".".join(f'"{part}"' for part in mapping.table.split("."))
    to_ours = " ".join(f"WHEN {_literal(theirs)} THEN '{ours}'" for ours, theirs in mapping.statuses.items())
    to_theirs = " ".join(f"WHEN '{ours}' THEN {_literal(theirs)}" for ours, theirs in mapping.statuses.items())
    filled = [
        template.format(t=table, to_ours=to_ours, to_theirs=to_theirs, **names) for template in _FUNCTIONS + _TRIGGERS
    ]
    if mapping.is_our_own:
        return [OWN_TABLE, *filled, _REGISTER]
    return filled


def _literal(text: str) -> str:
    escaped = text.replace("'", "''").replace("{", "{{").replace("}", "}}")
    return f"'{escaped}'"


_SEEN = """
    id uuid, team_id text, status text, cluster text, job_namespace text, job_name text, job_uid text,
    bucket text, prefix text, request_key text, ended_at timestamptz
"""
_SELECT = """
    SELECT e.{id}, e.{team_id}::text, evaluation_cancel.status_of(e.{status}::text), e.{cluster}::text,
           e.{job_namespace}::text, e.{job_name}::text, e.{job_uid}::text, e.{bucket}::text, e.{prefix}::text,
           e.{request_key}::text, e.{ended_at}::timestamptz
    FROM {t} e WHERE e.{id} = ANY (ids)
"""

_FUNCTIONS = [
    "CREATE OR REPLACE FUNCTION evaluation_cancel.status_of(theirs text) RETURNS text LANGUAGE sql IMMUTABLE"
    " AS $$ SELECT CASE theirs {to_ours} END $$",
    # plpgsql coerces the returned text to the column's type, which may be an enum.
    "CREATE OR REPLACE FUNCTION evaluation_cancel.status_as(ours text) RETURNS {t}.{status}%TYPE LANGUAGE plpgsql"
    " IMMUTABLE AS $$ BEGIN RETURN CASE ours {to_theirs} END; END $$",
    # Locks rows in the order of ids, without waiting. Rows locked by other sessions are left out.
    "CREATE OR REPLACE FUNCTION evaluation_cancel.lock_evaluations(ids uuid[]) RETURNS TABLE ("
    + _SEEN
    + ") LANGUAGE sql ROWS 1000 AS $$"
    + _SELECT
    + " ORDER BY e.{id} FOR NO KEY UPDATE SKIP LOCKED $$",
    "CREATE OR REPLACE FUNCTION evaluation_cancel.read_evaluations(ids uuid[]) RETURNS TABLE ("
    + _SEEN
    + ") LANGUAGE sql STABLE ROWS 1000 AS $$"
    + _SELECT
    + " $$",
    # Rewrites the rows unchanged, so that a REPEATABLE READ writer with an older snapshot fails with 40001.
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.touch_evaluations(ids uuid[]) RETURNS void LANGUAGE sql AS $$
        UPDATE {t} e SET {status} = e.{status} WHERE e.{id} = ANY (ids)
    $$
    """,
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.cancel_evaluations(ids uuid[], at timestamptz) RETURNS void
    LANGUAGE sql AS $$
        UPDATE {t} e SET {status} = evaluation_cancel.status_as('cancelled'), {ended_at} = at
        WHERE e.{id} = ANY (ids)
    $$
    """,
    # For the orchestrator. If done is false, the Job must not be created.
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.starting(
        evaluation uuid, in_cluster text, in_namespace text, name text, OUT done boolean, OUT answer text
    ) LANGUAGE plpgsql AS $$
    DECLARE seen {t}%ROWTYPE;
    BEGIN
        SELECT * INTO seen FROM {t} e WHERE e.{id} = evaluation FOR NO KEY UPDATE;
        IF NOT FOUND THEN done := false; answer := 'not_found'; RETURN; END IF;
        answer := evaluation_cancel.status_of(seen.{status}::text);
        IF EXISTS (SELECT FROM evaluation_cancel.cancellations c
                   WHERE c.evaluation_id = evaluation AND c.ended_at IS NULL) THEN
            done := false; answer := 'cancelling'; RETURN;
        END IF;
        IF answer = 'created' THEN
            UPDATE {t} e SET {status} = evaluation_cancel.status_as('starting'), {cluster} = in_cluster,
                {job_namespace} = in_namespace, {job_name} = name WHERE e.{id} = evaluation;
            done := true; answer := 'starting'; RETURN;
        END IF;
        done := answer = 'starting' AND seen.{cluster}::text = in_cluster
            AND seen.{job_namespace}::text = in_namespace AND seen.{job_name}::text = name;
    END $$
    """,
    # Allowed during an open cancellation, because the teardown needs the uid.
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.attach_job(
        evaluation uuid, uid text, OUT done boolean, OUT answer text
    ) LANGUAGE plpgsql AS $$
    DECLARE known text;
    BEGIN
        SELECT e.{job_uid}::text INTO known FROM {t} e WHERE e.{id} = evaluation FOR NO KEY UPDATE;
        IF NOT FOUND THEN done := false; answer := 'not_found'; RETURN; END IF;
        IF known IS NOT NULL THEN
            done := known = uid; answer := CASE WHEN known = uid THEN 'attached' ELSE 'another_uid' END; RETURN;
        END IF;
        UPDATE {t} e SET {job_uid} = uid WHERE e.{id} = evaluation;
        done := true; answer := 'attached';
    END $$
    """,
    # A report during an open cancellation is held: applied if the cancellation fails, evidence if it succeeds.
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.report(
        evaluation uuid, new_status text, OUT done boolean, OUT answer text
    ) LANGUAGE plpgsql AS $$
    DECLARE current text;
    BEGIN
        IF new_status NOT IN ('running', 'succeeded', 'failed') THEN
            RAISE EXCEPTION USING ERRCODE = 'EC004', MESSAGE = format(
                'report(): status %L is not one of running, succeeded, failed', new_status);
        END IF;
        SELECT evaluation_cancel.status_of(e.{status}::text) INTO current
            FROM {t} e WHERE e.{id} = evaluation FOR NO KEY UPDATE;
        IF NOT FOUND THEN done := false; answer := 'not_found'; RETURN; END IF;
        answer := current;
        IF current IN ('succeeded', 'failed', 'cancelled') THEN done := current = new_status; RETURN; END IF;
        IF EXISTS (SELECT FROM evaluation_cancel.cancellations c
                   WHERE c.evaluation_id = evaluation AND c.ended_at IS NULL) THEN
            INSERT INTO evaluation_cancel.held_reports AS h (evaluation_id, status, reported_at)
                VALUES (evaluation, new_status, now())
                ON CONFLICT (evaluation_id) DO UPDATE
                SET status = excluded.status, reported_at = now(), applied_at = NULL
                WHERE h.applied_at IS NOT NULL OR h.status = 'running';
            done := true; answer := 'held'; RETURN;
        END IF;
        done := true; answer := new_status;
        PERFORM evaluation_cancel.apply_report(evaluation, new_status);
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.apply_report(evaluation uuid, new_status text) RETURNS void
    LANGUAGE sql AS $$
        UPDATE {t} e SET {status} = evaluation_cancel.status_as(new_status),
            {ended_at} = CASE WHEN new_status IN ('succeeded', 'failed') THEN now() ELSE e.{ended_at} END
        WHERE e.{id} = evaluation AND e.{status} <> evaluation_cancel.status_as(new_status)
    $$
    """,
]

_TRIGGERS = [
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.guard_update() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE was text; becomes text; fence uuid;
    BEGIN
        IF NEW.{status} IS NOT DISTINCT FROM OLD.{status} THEN RETURN NEW; END IF;
        was := evaluation_cancel.status_of(OLD.{status}::text);
        becomes := evaluation_cancel.status_of(NEW.{status}::text);
        IF was IN ('succeeded', 'failed', 'cancelled') THEN
            RAISE EXCEPTION USING ERRCODE = 'EC001', MESSAGE = format(
                'evaluation %s is %s, which is final; it cannot become %s', OLD.{id}, was, becomes);
        END IF;
        IF becomes = 'cancelled' THEN
            IF EXISTS (SELECT FROM evaluation_cancel.cancellations c
                       WHERE c.evaluation_id = OLD.{id} AND c.phase = 'cancelled' AND c.ended_at IS NOT NULL) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'EC003', MESSAGE = format(
                'evaluation %s becomes cancelled only when a cancellation of it has ended; send CancelEvaluation',
                OLD.{id});
        END IF;
        SELECT c.id INTO fence FROM evaluation_cancel.cancellations c
            WHERE c.evaluation_id = OLD.{id} AND c.ended_at IS NULL;
        IF FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'EC002', MESSAGE = format(
                'evaluation %s is being cancelled by %s; it cannot become %s now, use evaluation_cancel.report()',
                OLD.{id}, fence, becomes);
        END IF;
        IF array_position(ARRAY['created', 'starting', 'running', 'succeeded'], replace(becomes, 'failed', 'succeeded'))
           > array_position(ARRAY['created', 'starting', 'running'], was) THEN RETURN NEW; END IF;
        RAISE EXCEPTION USING ERRCODE = 'EC004', MESSAGE = format(
            'evaluation %s is %s; it cannot become %s', OLD.{id}, was, coalesce(becomes, NEW.{status}::text));
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION evaluation_cancel.guard_delete() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM evaluation_cancel.cancellations c
                   WHERE c.evaluation_id = OLD.{id} AND c.ended_at IS NULL) THEN
            RAISE EXCEPTION USING ERRCODE = 'EC002', MESSAGE = format(
                'evaluation %s is being cancelled; its row is needed until that has ended', OLD.{id});
        END IF;
        RETURN OLD;
    END $$
    """,
    # The name sorts last, and there is no column list: a status set by another trigger is checked too.
    """
    CREATE OR REPLACE TRIGGER zzz_evaluation_cancel_guard BEFORE UPDATE ON {t}
        FOR EACH ROW EXECUTE FUNCTION evaluation_cancel.guard_update()
    """,
    """
    CREATE OR REPLACE TRIGGER zzz_evaluation_cancel_guard_delete BEFORE DELETE ON {t}
        FOR EACH ROW EXECUTE FUNCTION evaluation_cancel.guard_delete()
    """,
]

_REGISTER = """
CREATE OR REPLACE FUNCTION evaluation_cancel.register(
    evaluation uuid, team text, in_bucket text, under_prefix text, request text,
    OUT done boolean, OUT answer text
) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO evaluation_cancel.evaluations (id, team_id, bucket, prefix, request_key)
        VALUES (evaluation, team, in_bucket, under_prefix, request) ON CONFLICT (id) DO NOTHING;
    done := FOUND; answer := CASE WHEN FOUND THEN 'registered' ELSE 'already_registered' END;
END $$
"""
