"""how far the journal is folded."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "traffic_fold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("folded_through", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
