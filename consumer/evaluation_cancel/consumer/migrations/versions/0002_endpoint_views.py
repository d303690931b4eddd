"""Creates the two views of the HTTP endpoint: decisions on commands, and the progress of cancellations.

With views the endpoint's role needs no right on a table. `migrations/reader_role.py` creates the role.
"""

from alembic import op

from evaluation_cancel.consumer.migrations.reader_role import IF_ALLOWED

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE VIEW evaluation_cancel.command_answers AS
    SELECT c.source, c.id, c.evaluation_id, c.meaning, c.actor_kind, c.actor_id, c.reason, c.requested_at,
        c.received_at, c.decided_at, c.decision, c.code, c.team_seen, c.status_seen, c.ended_seen, c.cancellation_id,
        x.phase, x.last_error_code
    FROM evaluation_cancel.commands c LEFT JOIN evaluation_cancel.cancellations x ON x.id = c.cancellation_id
    """,
    """
    CREATE VIEW evaluation_cancel.cancellation_progress AS
    SELECT id, evaluation_id, team_id, actor_kind, actor_id, reason, phase, attempts, last_error_code, last_error_at,
        requested_at, accepted_at, ended_at, evidence, cleanup_state, cleanup_error_code
    FROM evaluation_cancel.cancellations
    """,
    IF_ALLOWED,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Not supported: a downgrade would drop recorded history."""
    raise NotImplementedError("this schema only moves forward; restore a backup instead")
