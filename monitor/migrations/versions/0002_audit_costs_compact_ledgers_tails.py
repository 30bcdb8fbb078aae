"""audit of baselines, costs of runs, compact ledgers, tails."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "baseline_event",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("baseline_id", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    with op.batch_alter_table("baseline_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_baseline_event_target"), ["target"], unique=False)

    op.create_table(
        "tail",
        sa.Column("watch", sa.String(), nullable=False),
        sa.Column("baseline_id", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("watch"),
    )
    # What earlier versions wrote is of another form. Their baselines are refused by this version, too.
    op.execute("DELETE FROM ledger")
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.alter_column(
            "state", existing_type=sa.VARCHAR(), type_=sa.LargeBinary(), existing_nullable=False
        )

    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cost_usd", sa.Float(), nullable=True))
