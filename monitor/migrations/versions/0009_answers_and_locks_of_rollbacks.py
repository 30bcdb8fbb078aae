"""what people answer about rollbacks, and locks on them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("rollback", schema=None) as batch_op:
        batch_op.add_column(sa.Column("answer_by", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("answered_at", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("answered_by", sa.String(), nullable=False, server_default=""))

    op.create_table(
        "rollback_lock",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("locked_by", sa.String(), nullable=False),
        sa.Column("locked_at", sa.Float(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
