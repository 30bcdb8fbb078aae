"""``rollback list``, ``dry-run``, ``approve``, ``reject``, ``lock`` and ``unlock``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .incident_commands import ByOption, whoami
from .options import (
    HERE,
    ConfigOption,
    DataOption,
    JsonOption,
    deployment_at,
    existing_database,
    plain_console,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlmodel import Session

    from alerts.rollback import PastRollback
    from dashboards.rollback_desk import LockLine, RollbackOverview
    from monitor.config import Config

IncidentArgument = Annotated[
    str, typer.Argument(help="The incident that waits: its id, or its key for the latest of that key.")
]
NameOption = Annotated[
    str | None, typer.Option("--rollback", help="Which one, if the incident asked for several.")
]
LockedArgument = Annotated[str | None, typer.Argument(help="Its name. [default: every rollback]")]

WOULD = {
    "send": "would be sent now",
    "ask": "would ask a person now",
    "dry_run": "would be told of and not be sent, in mode dry-run",
    "suppressed": "would not be sent now",
}
"""What the guard says, in words."""

app = typer.Typer(
    help="Rollbacks: what was decided, what waits for a person, and locks.", no_args_is_help=True
)


@app.command("list")
def list_(
    config: ConfigOption = None,
    data: DataOption = HERE,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="How many decisions and past locks at most.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Rollbacks of the configuration, what was decided (the newest first), what is locked and what was.

    Example: anchorwatch rollback list --json
    """
    import orjson

    from canaries.clock import SystemClock
    from monitor.telling.rollbacks import overview

    configured, now = _config(config).rollbacks, SystemClock().now()
    with existing_database(data) as database:
        found = database.read(lambda session: overview(session, configured, limit, now))
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        _show(found)


@app.command("dry-run")
def dry_run(
    name: Annotated[str, typer.Argument(help="Its name in the configuration.")],
    incident: Annotated[
        str | None, typer.Option(help="An incident by its id or its key. [default: a made-up page]")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What would happen if this rollback was asked for now, and what the deploy system would get. Sends nothing.

    Example: anchorwatch rollback dry-run deploy --incident watch/chat-p95
    """
    import orjson

    from canaries.clock import SystemClock
    from monitor.telling import rollbacks

    configured, now = _config(config).rollbacks, SystemClock().now()
    with existing_database(data) as database:
        found = database.read(lambda session: rollbacks.dry_run(session, configured, name, incident, now))
    if as_json:
        typer.echo(orjson.dumps(found))
        return
    typer.echo(f"rollback {name} (mode {found.mode.value}) {WOULD[found.action]}: {found.reason}")
    typer.echo(f"POST {found.url}, signed by Standard Webhooks:")
    typer.echo(orjson.dumps(found.body, option=orjson.OPT_INDENT_2))


@app.command()
def approve(
    incident: IncidentArgument,
    rollback: NameOption = None,
    by: ByOption = None,
    config: ConfigOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Have a rollback sent that waits for a person. The first answer counts.

    Example: anchorwatch rollback approve watch/chat-p95 --by ada
    """
    from alerts import rolling_back
    from monitor.telling.rollbacks import rules_of

    rules = rules_of(_config(config).rollbacks)

    def work(session: "Session", now: "datetime") -> "PastRollback":
        return rolling_back.approve(session, incident, whoami(by), rules, now, rollback)

    _answer(data, work, as_json=as_json)


@app.command()
def reject(
    incident: IncidentArgument,
    rollback: NameOption = None,
    by: ByOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Have a rollback not sent that waits for a person, now or later in this incident. The first answer counts.

    Example: anchorwatch rollback reject watch/chat-p95 --by ada
    """
    from alerts import rolling_back

    def work(session: "Session", now: "datetime") -> "PastRollback":
        return rolling_back.reject(session, incident, whoami(by), now, rollback)

    _answer(data, work, as_json=as_json)


@app.command()
def lock(
    name: LockedArgument = None,
    comment: Annotated[str, typer.Option("--comment", help="Why.")] = "",
    by: ByOption = None,
    config: ConfigOption = None,
    data: DataOption = HERE,
) -> None:
    """Keep a rollback, or each of them, from acting until it is unlocked. Orders that still wait are held, too.

    Example: anchorwatch rollback lock deploy --comment "release freeze"
    """
    from alerts import rolling_back
    from alerts.rollback import EVERY_ROLLBACK
    from canaries.clock import SystemClock
    from monitor.telling.rollbacks import known

    # In an emergency every rollback can be locked whatever the configuration looks like.
    what = EVERY_ROLLBACK if name is None else known(_config(config).rollbacks, name)
    now = SystemClock().now()
    with existing_database(data) as database:
        done = database.write(lambda session: rolling_back.lock(session, what, whoami(by), comment, now))
    typer.echo(f"{rolling_back.lockable(what)} is {done.said}")


@app.command()
def unlock(name: LockedArgument = None, by: ByOption = None, data: DataOption = HERE) -> None:
    """Let a rollback act again; without a name, take back the lock on every rollback.

    Example: anchorwatch rollback unlock deploy
    """
    from alerts import rollback_store, rolling_back
    from alerts.rollback import EVERY_ROLLBACK
    from canaries.clock import SystemClock

    what, now = name or EVERY_ROLLBACK, SystemClock().now()
    with existing_database(data) as database:
        was = database.write(lambda session: rolling_back.unlock(session, what, whoami(by), now))
        left = database.read(rollback_store.locks)
    typer.echo(f"{rolling_back.lockable(what)} is unlocked; it was {was.said}")
    for one in left:
        typer.echo(f"still: {rolling_back.lockable(one.name)} is {one.said}")


def _answer(data: Path, work: "Callable[[Session, datetime], PastRollback]", *, as_json: bool) -> None:
    import orjson

    from alerts.rollback import Action
    from canaries.clock import SystemClock
    from monitor.telling.rollbacks import rollback_line

    now = SystemClock().now()
    with existing_database(data) as database:
        past = database.write(lambda session: work(session, now))
    if as_json:
        typer.echo(orjson.dumps(rollback_line(past)))
    elif past.action is Action.SEND:
        typer.echo(f"rollback {past.name}: {past.said}; the daemon sends the order within half a minute")
    else:
        typer.echo(f"rollback {past.name}: {past.said}; it is not sent for this incident")


def _config(path: Path | None) -> "Config":
    return deployment_at(path).config


def _show(found: "RollbackOverview") -> None:
    from rich.table import Table

    from alerts.rolling_back import lockable

    console = plain_console()
    for lock in found.locks:
        why = f": {lock.comment}" if lock.comment else ""
        since = f"{lock.at:%Y-%m-%d %H:%M} UTC"
        console.print(f"{lockable(lock.rollback)} is locked by {lock.by} since {since}{why}")
    configured = Table("rollback", "mode", "now")
    for one in found.configured:
        configured.add_row(one.rollback, one.mode.value, one.held_back or "nothing holds it back")
    console.print(configured if found.configured else "the configuration here has no rollbacks")
    decided = Table("rollback", "incident", "state", "at", "why")
    for line in found.decisions:
        at = f"{line.at:%Y-%m-%d %H:%M} UTC"
        why = "; ".join(part for part in (line.reason, line.afterwards) if part)
        decided.add_row(line.rollback, line.incident, line.state.value, at, why)
    console.print(decided if found.decisions else "nothing was decided about a rollback yet")
    for past in found.past_locks:
        console.print(_past_lock(past))


def _past_lock(lock: "LockLine") -> str:
    from alerts.rolling_back import lockable

    until = f"{lock.ended_at:%Y-%m-%d %H:%M}" if lock.ended_at else ""
    times = f"from {lock.at:%Y-%m-%d %H:%M} to {until} UTC"
    why = f": {lock.comment}" if lock.comment else ""
    return f"{lockable(lock.rollback)} was locked by {lock.by} {times}, unlocked by {lock.ended_by}{why}"
