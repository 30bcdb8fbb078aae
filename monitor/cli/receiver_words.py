"""What commands say of receivers: whether anybody knows that they work."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.view import ReceiverStatus
    from monitor.config import Deployment


def receivers_at(data: Path, deployment: "Deployment") -> "tuple[ReceiverStatus, ...]":
    """What is on record of the deployment's receivers below ``data``; a database is neither made nor changed."""
    from sqlalchemy.exc import DBAPIError

    from canaries.clock import SystemClock
    from monitor.config import DATABASE_FILE
    from monitor.database import Database
    from monitor.watchman.receivers import receivers_of_file, unknown_receivers

    now, path = SystemClock().now(), data / DATABASE_FILE
    if not path.exists():
        return unknown_receivers(deployment, now)
    database = Database(path)
    try:
        return database.read(lambda session: receivers_of_file(session, deployment, now))
    except DBAPIError:  # another version's, or no database at all: whoever runs a daemon on it hears of that
        return unknown_receivers(deployment, now)
    finally:
        database.close()


def receiver_line(one: "ReceiverStatus") -> str:
    """A receiver in a line."""
    test = f", next test {one.next_test_at:%Y-%m-%d %H:%M} UTC" if one.next_test_at else ""
    return f"receiver {one.name}: {one.kind}, {one.state.value}{test}"


def proofs_missing(known: "Sequence[ReceiverStatus]") -> "list[str]":
    """A sentence for each receiver of which nobody knows that it works."""
    return [
        f"receiver {one.name} is {one.state.value}: {one.reason}; `anchorwatch alerts test {one.name}` proves it"
        for one in known
        if one.state.value != "confirmed"
    ]
