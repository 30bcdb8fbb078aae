"""``alerts list`` and ``alerts test``; what else stands below ``alerts`` has files of its own."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from . import incident_commands, silence_commands
from .incident_commands import SeverityName
from .options import HERE, ConfigOption, DataOption, JsonOption, database_at, deployment_at, existing_database
from .receiver_words import proofs_missing, receivers_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session

    from alerts.incident import Incident
    from alerts.message import Notification
    from monitor.config import Deployment
    from monitor.database import Database

TEST_WAIT_S = 30.0
"""How long a test waits for a running daemon that has taken its message."""

TEST_LOOK_EVERY_S = 0.2

LOOKED_AT_MAX = 10_000
"""How many of the latest incidents are searched for those that fit."""


class StateName(StrEnum):
    """Where an incident is in its life."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


app = typer.Typer(help="Incidents, silences, and whether people can be reached.", no_args_is_help=True)
incident_commands.add_to(app)
app.add_typer(silence_commands.app, name="silence")


@app.command("list")
def list_(
    data: DataOption = HERE,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    match: Annotated[
        list[str] | None, typer.Option("--match", help="Only what fits: service=checkout, key=~drift/.*.")
    ] = None,
    severity: Annotated[SeverityName | None, typer.Option(help="Only as loud as this.")] = None,
    state: Annotated[StateName | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Open incidents, or all of them, newest first.

    Example: anchorwatch alerts list --all --match service=checkout --severity page --json
    """
    import orjson
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from alerts import store

    fits = _filter(match or [], severity, state)

    def work(session: "Session") -> list["Incident"]:
        if everything or state is StateName.RESOLVED:
            found = store.incidents(session, LOOKED_AT_MAX)
        else:
            found = tuple(reversed(store.open_incidents(session)))
        return [one for one in found if fits(one)][:limit]

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
        for sentence in proofs_missing(
            [one for one in receivers_at(data, deployment) if one.name not in names]
        ):
            typer.echo(f"not tested now: {sentence}")
    raise typer.Exit(0 if all(row.sent_at for row in rows) else 1)


async def _send_tests(
    deployment: "Deployment", database: "Database", names: list[str]
) -> list["Notification"]:
    import random

    import httpx

    from alerts import receiver_store
    from alerts.channels import Tools, open_channels
    from alerts.outbox import Outbox
    from canaries.clock import SystemClock
    from monitor.store import deployment_secret
    from monitor.watchman.receivers import fingerprints

    clock = SystemClock()
    async with httpx.AsyncClient() as client:
        channels = open_channels(deployment.config.receivers, {}, Tools(client, clock.now))
        secret = await database.awrite(deployment_secret)
        ways = fingerprints(deployment.config, secret)
        mine = {name: ways[name] for name in names}
        await database.awrite(lambda session: receiver_store.set_up(session, mine, clock.now()))
        rng = random.Random()  # noqa: S311 - spreads retries, no secret
        outbox = Outbox(database, channels, clock.now, rng, fingerprints=ways)
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


def _filter(
    match: list[str], severity: SeverityName | None, state: StateName | None
) -> "Callable[[Incident], bool]":
    from alerts.matcher import all_fit, facts_of, parse_matcher

    try:
        matchers = [parse_matcher(text) for text in match]
    except ValueError as error:
        raise MonitorError(str(error)) from error

    def fits(incident: "Incident") -> bool:
        is_loud = severity is None or incident.severity.name.lower() == severity.value
        is_there = state is None or incident.state.value == state.value
        return (
            is_loud
            and is_there
            and all_fit(matchers, facts_of(incident.key, incident.finding, incident.severity))
        )

    return fits


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
        "acknowledged_at": incident.acknowledged_at,
        "acknowledged_by": incident.acknowledged_by,
        "no_data_since": incident.no_data_since,
        "reopened": incident.reopened,
        "is_true": incident.is_true,
    }
