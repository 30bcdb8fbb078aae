"""calls of tools, and tokens of reasoning and of what a cache was written with."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("completion", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tool_calls", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("cache_write_input_tokens", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("reasoning_tokens", sa.Integer(), nullable=True))
