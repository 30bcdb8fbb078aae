"""What commands share: their common options, and how they open a deployment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

if TYPE_CHECKING:
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


def deployment_at(config: Path | None) -> "Deployment":
    """The deployment of the file that was named, else of ``anchorwatch.yaml`` here, else the defaults."""
    from monitor.config import DEFAULT_FILE, load

    if config is None and Path(DEFAULT_FILE).exists():
        config = Path(DEFAULT_FILE)
    return load(config)


@contextmanager
def existing_database(data: Path) -> Iterator["Database"]:
    """The database below ``data``, beside a daemon that may be running. Raises MonitorError when there is none."""
    from monitor.config import DATABASE_FILE
    from monitor.database import Database

    path = data / DATABASE_FILE
    if not path.exists():
        raise MonitorError(
            f"{path}: there is no database yet. `anchorwatch run` makes it; --data names its folder."
        )
    database = Database(path)
    try:
        database.migrate()
        yield database
    finally:
        database.close()
