"""What commands share: their common options, and how they open a deployment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import DatabaseError, MonitorError

from .running import deployment_at as deployment_at  # the other commands have it from here

if TYPE_CHECKING:
    from rich.console import Console

    from monitor.config import Deployment
    from monitor.database import Database

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c", "--config", help="Configuration file. [default: anchorwatch.yaml, where there is one]"
    ),
]
DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of the database.", show_default="current folder")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of a table.")]

HERE = Path()


def deployment_knowing(target: str, config: Path | None) -> "Deployment | None":
    """The deployment that ``target`` is configured in; where there is none, says so and gives nothing.

    Raises ConfigError when the file that was named cannot be used.
    """
    try:
        deployment = deployment_at(config)
    except MonitorError as error:
        if config is not None:
            raise
        why = f"the configuration here cannot be used: {error}"
    else:
        if target in deployment.config.targets:
            return deployment
        why = f"{target} is not in {config or 'the configuration here, or there is none'}"
    typer.echo(
        f"note: {why}\nThe cadence of its runs and the default budget are assumed; -c names the configuration.",
        err=True,
    )
    return None


def plain_console() -> "Console":
    """Standard output for tables and lines. It shows text as it is: what a model answered is no markup of ours."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


@contextmanager
def existing_database(data: Path) -> Iterator["Database"]:
    """The database below ``data``, beside a daemon that may be running. Raises MonitorError when there is none."""
    from monitor.config import DATABASE_FILE

    path = data / DATABASE_FILE
    if not path.exists():
        raise MonitorError(
            f"{path}: there is no database yet. `anchorwatch run` makes it; --data names its folder."
        )
    with database_at(data) as database:
        yield database


@contextmanager
def database_at(data: Path) -> Iterator["Database"]:
    """The database below ``data``, made when there is none yet.

    Raises DatabaseError when it cannot be used in the end: locked for too long, full, damaged.
    """
    from sqlalchemy.exc import DBAPIError

    from monitor.config import DATABASE_FILE
    from monitor.database import Database

    path = data / DATABASE_FILE
    database = Database(path)
    try:
        database.migrate()
        yield database
    except DBAPIError as error:
        raise DatabaseError(f"{path}: cannot be used: {error.orig}") from error
    finally:
        database.close()
