"""Creates the tables from inbox to outbox.

The evaluations are not among them: they may be another team's table, accessed through the functions of
`migrations/evaluations.py`.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS evaluation_cancel",
    # One row per cancellation. An open row is the fence of its evaluation: others cannot change the status.
    # next_attempt_at is also the end of a claim, so an expired claim is due again without further work.
    # Indexes filter on ended_at instead of phase, so the change from accepted to stopping updates no index. Pages are
    # half empty, so that updates of a row stay on its page.
    """
    CREATE TABLE evaluation_cancel.cancellations (
        id uuid PRIMARY KEY,
        evaluation_id uuid NOT NULL,
        team_id text NOT NULL,
        command_source text COLLATE "C" NOT NULL,
        command_id text COLLATE "C" NOT NULL,
        actor_kind text NOT NULL,
        actor_id text NOT NULL,
        reason text,
        status_before text NOT NULL,
        phase text NOT NULL DEFAULT 'accepted' CHECK (phase IN ('accepted', 'stopping', 'cancelled', 'failed')),
        cluster text,
        requested_at timestamptz,
        accepted_at timestamptz NOT NULL,
        ended_at timestamptz,
        intent_at timestamptz,
        refused_since timestamptz,
        attempts integer NOT NULL DEFAULT 0,
        looks integer NOT NULL DEFAULT 0,
        errors integer NOT NULL DEFAULT 0,
        joined integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz NOT NULL,
        claimed_by text,
        last_error_code text,
        last_error_text text,
        last_error_at timestamptz,
        evidence jsonb,
        traceparent text,
        correlation_id text,
        cleanup_state text NOT NULL DEFAULT 'not_requested'
            CHECK (cleanup_state IN ('not_requested', 'pending', 'done', 'partial')),
        cleanup_attempts integer NOT NULL DEFAULT 0,
        cleanup_errors integer NOT NULL DEFAULT 0,
        cleanup_next_at timestamptz,
        cleanup_deadline_at timestamptz,
        cleanup_error_code text,
        cleanup_error_text text,
        cleanup_report jsonb,
        CHECK ((ended_at IS NULL) = (phase IN ('accepted', 'stopping')))
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)
    """,
    """
    CREATE UNIQUE INDEX cancellations_open_of_evaluation ON evaluation_cancel.cancellations (evaluation_id)
        WHERE ended_at IS NULL
    """,
    """
    CREATE INDEX cancellations_ended_of_evaluation ON evaluation_cancel.cancellations (evaluation_id)
        WHERE ended_at IS NOT NULL
    """,
    # Claims take a fair share of each team, so the team is the first column.
    """
    CREATE INDEX cancellations_due ON evaluation_cancel.cancellations (team_id, next_attempt_at)
        WHERE ended_at IS NULL
    """,
    """
    CREATE INDEX cancellations_cleanup_due ON evaluation_cancel.cancellations (cleanup_next_at)
        WHERE cleanup_state = 'pending' AND ended_at IS NOT NULL
    """,
    # Errors of the attempts, for audit: the first nineteen, and the latest with the number of errors it represents.
    """
    CREATE TABLE evaluation_cancel.cancellation_errors (
        cancellation_id uuid NOT NULL,
        number integer NOT NULL,
        attempt integer NOT NULL,
        code text NOT NULL,
        detail text,
        at timestamptz NOT NULL,
        times integer NOT NULL DEFAULT 1,
        PRIMARY KEY (cancellation_id, number)
    )
    """,
    # The inbox: every valid command, its decision, and the state that the decision was based on.
    """
    CREATE TABLE evaluation_cancel.commands (
        source text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        evaluation_id uuid NOT NULL,
        meaning bytea NOT NULL,
        actor_kind text NOT NULL,
        actor_id text NOT NULL,
        team_ids jsonb NOT NULL,
        every_team boolean NOT NULL,
        reason text,
        cleanup_artifacts boolean NOT NULL,
        requested_at timestamptz,
        expires_at timestamptz,
        traceparent text,
        correlation_id text,
        topic text NOT NULL,
        partition integer NOT NULL,
        "offset" bigint NOT NULL,
        raw_sha256 bytea NOT NULL,
        received_at timestamptz NOT NULL,
        decision text CHECK (decision IN ('accepted', 'joined', 'rejected')),
        code text,
        decided_at timestamptz,
        decision_version integer,
        team_seen text,
        status_seen text,
        ended_seen timestamptz,
        fence_seen uuid,
        cancellation_id uuid,
        PRIMARY KEY (source, id)
    )
    """,
    "CREATE INDEX commands_of_evaluation ON evaluation_cancel.commands (evaluation_id)",
    # For retention only: without it every search for the oldest rows would read the table.
    "CREATE INDEX commands_by_age ON evaluation_cancel.commands (received_at)",
    """
    CREATE INDEX commands_undecided ON evaluation_cancel.commands (topic, partition, "offset")
        WHERE decision IS NULL
    """,
    # All messages ever published; never updated. Consumers see the id as the sequence.
    """
    CREATE TABLE evaluation_cancel.messages (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id uuid NOT NULL,
        type text NOT NULL,
        evaluation_id uuid,
        topic text NOT NULL,
        key bytea,
        value bytea,
        headers bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE NULLS NOT DISTINCT (evaluation_id, event_id)
    )
    """,
    # Messages to publish, for the first time or again. A row is deleted when the broker has acknowledged it.
    """
    CREATE TABLE evaluation_cancel.outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        message_id bigint NOT NULL,
        key bytea,
        parked_at timestamptz,
        error_code text,
        error_text text
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
    """,
    "CREATE INDEX outbox_parked ON evaluation_cancel.outbox (key) WHERE parked_at IS NOT NULL",
    """
    CREATE TABLE evaluation_cancel.offsets (
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (topic, partition)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE evaluation_cancel.leases (
        name text PRIMARY KEY,
        holder text NOT NULL,
        epoch bigint NOT NULL,
        until timestamptz NOT NULL
    ) WITH (fillfactor = 50)
    """,
    # Reports of workers during an open cancellation. Applied if it fails, kept as evidence if it succeeds.
    """
    CREATE TABLE evaluation_cancel.held_reports (
        evaluation_id uuid PRIMARY KEY,
        status text NOT NULL,
        reported_at timestamptz NOT NULL,
        applied_at timestamptz
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Not supported: a downgrade would drop recorded history."""
    raise NotImplementedError("this schema only moves forward; restore a backup instead")
