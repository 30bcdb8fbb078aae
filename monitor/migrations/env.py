"""How Alembic reaches our tables: on the connection that ``Database.migrate`` hands in, or on a file for developers."""

from alembic import context
from sqlalchemy import create_engine

from monitor import schema

target_metadata = schema.metadata

connection = context.config.attributes.get("connection")
if connection is None:  # `alembic revision --autogenerate`, see docs/decisions.md
    url = context.get_x_argument(as_dictionary=True).get("url", "sqlite://")
    connection = create_engine(url).connect()

context.configure(connection=connection, target_metadata=target_metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
