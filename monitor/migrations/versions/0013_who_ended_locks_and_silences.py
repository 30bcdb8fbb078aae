"""locks that were taken back, who ended a silence, and how often a message was given up."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("silence", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ended_by", sa.String(), nullable=False, server_default=""))

    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.add_column(sa.Column("given_up", sa.Integer(), nullable=False, server_default="0"))

    op.rename_table("rollback_lock", "rollback_lock_held")
    op.create_table(
        "rollback_lock",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("locked_by", sa.String(), nullable=False),
        sa.Column("locked_at", sa.Float(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("unlocked_at", sa.Float(), nullable=True),
        sa.Column("unlocked_by", sa.String(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("position"),
    )
    with op.batch_alter_table("rollback_lock", schema=None) as batch_op:
        batch_op.create_index(
            "uq_rollback_lock_held",
            ["name"],
            unique=True,
            sqlite_where=sa.text("unlocked_at IS NULL"),
            postgresql_where=sa.text("unlocked_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_rollback_lock_unlocked_at"), ["unlocked_at"], unique=False)
    op.execute(
        """
        INSERT INTO rollback_lock (name, locked_by, locked_at, comment)
        SELECT name, locked_by, locked_at, comment FROM rollback_lock_held ORDER BY locked_at, name
        """
    )
    op.drop_table("rollback_lock_held")
