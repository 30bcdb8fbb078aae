"""the life of an incident, groups, silences, decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.add_column(sa.Column("pending_at", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("acknowledged_at", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("acknowledged_by", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("no_data_at", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("reopened", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("note", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("is_true", sa.Boolean(), nullable=True))
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.add_column(sa.Column("group_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("digest_id", sa.String(), nullable=True))
        batch_op.create_index(batch_op.f("ix_notification_group_id"), ["group_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_notification_digest_id"), ["digest_id"], unique=False)
        batch_op.create_index(
            "ix_notification_group_waiting",
            ["group_id", "receiver", "position"],
            unique=False,
            sqlite_where=sa.text("sent_at IS NULL AND failed_at IS NULL"),
            postgresql_where=sa.text("sent_at IS NULL AND failed_at IS NULL"),
        )

    op.create_table(
        "alert_group",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("labels", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("waiting_at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=True),
        sa.Column("told_at", sa.Float(), nullable=True),
        sa.Column("told_severity", sa.Integer(), nullable=False),
        sa.Column("notices", sa.Integer(), nullable=False),
        sa.Column("unacknowledged_at", sa.Float(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("paged_at", sa.Float(), nullable=True),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("alert_group", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_group_due_at"), ["due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_alert_group_paged_at"), ["paged_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_alert_group_closed_at"), ["closed_at"], unique=False)
        batch_op.create_index(
            "uq_alert_group_open",
            ["route", "labels"],
            unique=True,
            sqlite_where=sa.text("closed_at IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL"),
        )

    op.create_table(
        "alert_group_member",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("joined_at", sa.Float(), nullable=False),
        sa.Column("told", sa.String(), nullable=True),
        sa.Column("told_severity", sa.Integer(), nullable=False),
        sa.Column("told_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["alert_group.id"]),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"]),
        sa.PrimaryKeyConstraint("group_id", "incident_id"),
    )
    with op.batch_alter_table("alert_group_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_group_member_incident_id"), ["incident_id"], unique=False)

    op.create_table(
        "silence",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("matchers", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("starts_at", sa.Float(), nullable=False),
        sa.Column("ends_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("silence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_silence_ends_at"), ["ends_at"], unique=False)

    op.create_table(
        "alert_decision",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String(), nullable=True),
        sa.Column("group_id", sa.String(), nullable=True),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    with op.batch_alter_table("alert_decision", schema=None) as batch_op:
        for column in ("key", "incident_id", "group_id", "last_at"):
            batch_op.create_index(batch_op.f(f"ix_alert_decision_{column}"), [column], unique=False)

    _take_over_what_was_told()


def _take_over_what_was_told() -> None:
    """Make what people know of already a group of its own each, so that it ends where it began."""
    op.execute("UPDATE notification SET group_id = incident_id WHERE kind != 'rollback'")
    op.execute(
        """
        INSERT INTO alert_group (id, route, labels, policy, opened_at, waiting_at, due_at, told_at, told_severity,
                                 notices, unacknowledged_at, steps, paged_at, closed_at)
        SELECT id, 'notify', '{"incident":"' || id || '"}', '{}', opened_at, opened_at, NULL, updated_at, severity,
               notices, NULL, 0, paged_at, resolved_at
        FROM incident WHERE notices > 0
        """
    )
    op.execute(
        """
        INSERT INTO alert_group_member (group_id, incident_id, joined_at, told, told_severity, told_at)
        SELECT id, id, opened_at, state, severity, updated_at FROM incident WHERE notices > 0
        """
    )
