"""All tables of a deployment, for the migrations: importing a module of tables registers them."""

from sqlmodel import SQLModel

import alerts.tables  # noqa: F401
import canaries.tables  # noqa: F401
import monitor.tables
import monitor.traffic.tables  # noqa: F401

metadata = SQLModel.metadata
