"""Generates the SQL functions through which evaluations are accessed, for the table that holds them.

`evaluations_sql` turns a mapping (table, columns, statuses) into statements. Every upgrade replaces the functions, so a
changed mapping needs no revision. A mapped table gets the triggers of `guards.py` and nothing else. The queries of
`sql/` call the functions by name and do not depend on the mapping.
"""

from __future__ import annotations

from evaluation_cancel.consumer.domain.decisions import UNKNOWN_STATUS
from evaluation_cancel.consumer.migrations.guards import GUARDS, UNGUARD_OTHERS
from evaluation_cancel.consumer.migrations.mapping import EvaluationsTable

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


def evaluations_sql(mapping: EvaluationsTable) -> list[str]:
    """The statements, in order. They can run again, and replace the functions of an earlier mapping."""
    names = {c: f'"{getattr(mapping, c)}"' for c in mapping.columns()}
    to_ours = " ".join(f"WHEN {_literal(w)} THEN '{ours}'" for ours, words in mapping.statuses.items() for w in words)
    to_theirs = " ".join(f"WHEN '{ours}' THEN {_literal(words[0])}" for ours, words in mapping.statuses.items())
    filled = [
        template.format(t=mapping.quoted, to_ours=to_ours, to_theirs=to_theirs, **names)
        for template in (*_FUNCTIONS, *GUARDS, UNGUARD_OTHERS)
    ]
    if mapping.is_our_own:
        return [OWN_TABLE, *filled, _REGISTER]
    return filled


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _replaced(signature: str, create: str) -> str:
    """Creates the function anew where it cannot be replaced, since its type has changed."""
    return f"""
DO $replace$
BEGIN
    CREATE OR REPLACE {create};
EXCEPTION WHEN invalid_function_definition THEN
    DROP FUNCTION evaluation_cancel.{signature};
    CREATE {create};
END $replace$
"""


_SEEN = """
    id uuid, team_id text, status text, cluster text, job_namespace text, job_name text, job_uid text,
    bucket text, prefix text, request_key text, ended_at timestamptz, word text
"""
_SELECT = """
    SELECT e.{id}, e.{team_id}::text, evaluation_cancel.status_of(e.{status}::text), e.{cluster}::text,
           e.{job_namespace}::text, e.{job_name}::text, e.{job_uid}::text, e.{bucket}::text, e.{prefix}::text,
           e.{request_key}::text, e.{ended_at}::timestamptz, e.{status}::text
    FROM {t} e WHERE e.{id} = ANY (ids)
"""

_FUNCTIONS = [
    "CREATE OR REPLACE FUNCTION evaluation_cancel.status_of(theirs text) RETURNS text LANGUAGE sql IMMUTABLE"
    f" AS $$ SELECT CASE theirs {{to_ours}} ELSE '{UNKNOWN_STATUS}' END $$",
    # plpgsql coerces the returned text to the column's type, which may be an enum.
    _replaced(
        "status_as(text)",
        "FUNCTION evaluation_cancel.status_as(ours text) RETURNS {t}.{status}%TYPE LANGUAGE plpgsql"
        " IMMUTABLE AS $$ BEGIN RETURN CASE ours {to_theirs} END; END $$",
    ),
    # Locks rows in the order of ids, without waiting. Rows locked by other sessions are left out.
    _replaced(
        "lock_evaluations(uuid[])",
        f"FUNCTION evaluation_cancel.lock_evaluations(ids uuid[]) RETURNS TABLE ({_SEEN}) LANGUAGE sql ROWS 1000"
        f" AS $${_SELECT} ORDER BY e.{{id}} FOR NO KEY UPDATE SKIP LOCKED $$",
    ),
    _replaced(
        "read_evaluations(uuid[])",
        f"FUNCTION evaluation_cancel.read_evaluations(ids uuid[]) RETURNS TABLE ({_SEEN}) LANGUAGE sql STABLE"
        f" ROWS 1000 AS $${_SELECT} $$",
    ),
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
