"""``alerts list`` and ``alerts test``."""

from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from .options import HERE, ConfigOption, DataOption, JsonOption, database_at, deployment_at, existing_database

if TYPE_CHECKING:
    from sqlmodel import Session

    from alerts.incident import Incident
    from alerts.message import Notification
    from monitor.config import Deployment
    from monitor.database import Database

TEST_WAIT_S = 30.0
"""How long a test waits for a running daemon that has taken its message."""

TEST_LOOK_EVERY_S = 0.2

app = typer.Typer(help="Incidents, and whether people can be reached.", no_args_is_help=True)


@app.command("list")
def list_(
    data: DataOption = HERE,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Open incidents, or all of them, newest first.

    Example: anchorwatch alerts list --all --json
    """
    import orjson
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from alerts import store

    def work(session: "Session") -> tuple["Incident", ...]:
        if everything:
            return store.incidents(session, limit)
        return tuple(reversed(store.open_incidents(session)))[:limit]

    with existing_database(data) as database:
        shown = database.read(work)
    if as_json:
        typer.echo(orjson.dumps([_plain(one) for one in shown]))
        return
    table = Table("incident", "severity", "state", "since", "what")
    for one in shown:
        since = f"{one.opened_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(one.id, one.severity.name.lower(), one.state.value, since, Text(one.finding.summary))
    Console().print(table if shown else "nothing is wrong")


@app.command()
def test(
    receivers: Annotated[
        list[str] | None, typer.Argument(help="Receivers by name. [default: all of the configuration]")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Send a marked test through the real path and wait for the answer; exit 1 when one does not arrive.

    Example: anchorwatch alerts test oncall
    """
    import asyncio

    import orjson

    deployment = deployment_at(config)
    known = deployment.config.receivers
    names = receivers or list(known)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        there_are = ", ".join(known) or "none: the configuration has no receivers section"
        raise MonitorError(f"no receiver is called {', '.join(unknown) or 'anything'}; known: {there_are}")
    with database_at(data) as database:
        rows = asyncio.run(_send_tests(deployment, database, names))
    if as_json:
        results = [{"receiver": row.receiver, "sent": row.sent_at, "error": row.last_error} for row in rows]
        typer.echo(orjson.dumps(results))
    else:
        for row in rows:
            typer.echo(f"{row.receiver}: {'arrived' if row.sent_at else f'did not arrive: {row.last_error}'}")
    raise typer.Exit(0 if all(row.sent_at for row in rows) else 1)


async def _send_tests(
    deployment: "Deployment", database: "Database", names: list[str]
) -> list["Notification"]:
    import random

    import httpx

    from alerts.channels import Tools, open_channels
    from alerts.outbox import Outbox
    from canaries.clock import SystemClock

    clock = SystemClock()
    async with httpx.AsyncClient() as client:
        channels = open_channels(deployment.config.receivers, {}, Tools(client, clock.now))
        outbox = Outbox(database, channels, clock.now, random.Random())  # noqa: S311 - spreads retries, no secret
        return [await _settled(database, await outbox.send_test(name)) for name in names]


async def _settled(database: "Database", row: "Notification") -> "Notification":
    """The test message once its fate is known: a running daemon may have taken it to send it itself."""
    import asyncio

    from alerts import outbox_store

    current: Notification | None = row
    for _ in range(round(TEST_WAIT_S / TEST_LOOK_EVERY_S)):
        if current is not None and not current.is_waiting:
            break
        await asyncio.sleep(TEST_LOOK_EVERY_S)
        current = await database.aread(lambda session: outbox_store.notification(session, row.id))
    return current or row


def _plain(incident: "Incident") -> dict[str, object]:
    return {
        "id": incident.id,
        "key": incident.key,
        "severity": incident.severity.name.lower(),
        "state": incident.state.value,
        "summary": incident.finding.summary,
        "labels": dict(incident.labels),
        "evidence": [{"name": name, "value": value} for name, value in incident.finding.evidence],
        "opened_at": incident.opened_at,
        "firing_since": incident.firing_since,
        "resolved_at": incident.resolved_at,
        "paged_at": incident.paged_at,
    }
