"""How Alembic reaches our tables: on the connection that is handed in."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel.sql.sqltypes import AutoString

from monitor import schema


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write SQLModel's own string type as the plain one: a migration must not change with a library."""
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    render_as_batch=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
