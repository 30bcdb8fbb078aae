"""``alerts silence add``, ``list``, ``expire`` and ``preview``."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from .incident_commands import ByOption, whoami
from .options import HERE, DataOption, JsonOption, existing_database, plain_console

if TYPE_CHECKING:
    from alerts.incident import Incident
    from alerts.matcher import Matcher
    from alerts.silence import Silence

MatchersArgument = Annotated[
    list[str], typer.Argument(help="All of these must fit: service=checkout, model=~gpt-.*, severity!=page.")
]

app = typer.Typer(help="Times in which nobody wants to hear of something.", no_args_is_help=True)


@app.command()
def add(
    matchers: MatchersArgument,
    for_: Annotated[str, typer.Option("--for", help="How long: 1h, 1d.")] = "1h",
    starts: Annotated[
        str | None,
        typer.Option("--start", help="When it begins, as 2026-03-02T18:00 (UTC). [default: now]"),
    ] = None,
    comment: Annotated[str, typer.Option("--comment", help="Why.")] = "",
    by: ByOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Silence what fits; if it still fires when that is over, it is told then.

    Example: anchorwatch alerts silence add service=checkout --for 2h --comment "moving the database"
    """
    import orjson

    from alerts import actions
    from canaries.clock import SystemClock

    parsed, now = _parsed(matchers), SystemClock().now()
    start = _moment(starts) if starts else now
    end = start + timedelta(seconds=_duration(for_))
    with existing_database(data) as database:
        added = database.write(
            lambda session: actions.silence(session, parsed, whoami(by), comment, start, end, now)
        )
        held = database.read(lambda session: actions.would_silence(session, parsed, now))
    if as_json:
        typer.echo(orjson.dumps(plain_silence(added, now)))
        return
    typer.echo(f"silence {added.id}: {added.said} until {added.ends_at:%Y-%m-%d %H:%M} UTC")
    _show_held(held)


@app.command("list")
def list_(
    data: DataOption = HERE,
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Silences that hold, or will.

    Example: anchorwatch alerts silence list --json
    """
    import orjson
    from rich.table import Table

    from alerts import silence_store
    from canaries.clock import SystemClock

    now = SystemClock().now()
    with existing_database(data) as database:
        found = database.read(lambda session: silence_store.silences(session, None if everything else now))
    if as_json:
        typer.echo(orjson.dumps([plain_silence(one, now) for one in found]))
        return
    table = Table("silence", "state", "until", "by", "what", "why")
    for one in found:
        until = f"{one.ends_at:%Y-%m-%d %H:%M} UTC" + (f"\nended by {one.ended_by}" if one.ended_by else "")
        table.add_row(one.id, one.state(now), until, one.author, one.said, one.comment)
    plain_console().print(table if found else "nothing is silenced")


@app.command()
def expire(
    silence: Annotated[str, typer.Argument(help="Its id.")],
    by: ByOption = None,
    data: DataOption = HERE,
) -> None:
    """End a silence now. Who did, and when, is on record.

    Example: anchorwatch alerts silence expire 3f2a91c07b5d --by ada
    """
    from alerts import actions
    from canaries.clock import SystemClock

    now = SystemClock().now()
    with existing_database(data) as database:
        ended = database.write(lambda session: actions.expire(session, silence, whoami(by), now))
    typer.echo(f"silence {ended.id} was ended by {ended.ended_by}: {ended.said}")


@app.command()
def preview(matchers: MatchersArgument, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """Open incidents that a silence with these matchers would hold now; nothing is changed.

    Example: anchorwatch alerts silence preview service=checkout severity!=page
    """
    import orjson

    from alerts import actions
    from canaries.clock import SystemClock

    parsed, now = _parsed(matchers), SystemClock().now()
    with existing_database(data) as database:
        held = database.read(lambda session: actions.would_silence(session, parsed, now))
    if as_json:
        typer.echo(orjson.dumps([{"id": one.id, "key": one.key, "state": one.state} for one in held]))
        return
    _show_held(held)


def plain_silence(one: "Silence", now: datetime) -> dict[str, object]:
    """A silence for machines."""
    return {
        "id": one.id,
        "state": one.state(now),
        "matchers": [str(matcher) for matcher in one.matchers],
        "author": one.author,
        "comment": one.comment,
        "starts_at": one.starts_at,
        "ends_at": one.ends_at,
        "ended_by": one.ended_by,
    }


def _show_held(held: "tuple[Incident, ...]") -> None:
    if not held:
        typer.echo("no open incident fits")
    for one in held:
        typer.echo(
            f"  holds {one.key} ({one.severity.name.lower()}, {one.state.value}): {one.finding.summary}"
        )


def _parsed(texts: list[str]) -> "tuple[Matcher, ...]":
    from alerts.matcher import parse_matcher

    try:
        return tuple(parse_matcher(text) for text in texts)
    except ValueError as error:
        raise MonitorError(str(error)) from error


def _duration(text: str) -> float:
    from alerts.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise MonitorError(f"--for: {error}") from error


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise MonitorError(f"--start: {text!r} is no time; write it like 2026-03-02T18:00") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
