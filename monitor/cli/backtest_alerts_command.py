"""``backtest alerts``: a proposed configuration through the recorded past of a deployment."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from .options import HERE, ConfigOption, DataOption, JsonOption, deployment_at, plain_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.backtesting.messages import Alarm, Compared

PROGRESS_EVERY = 50
"""After so many moments the bar moves on."""


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command("alerts")(backtest_alerts)


def backtest_alerts(
    config: ConfigOption = None,
    data: DataOption = HERE,
    database: Annotated[
        Path | None, typer.Option(help="The database itself, such as a copy; instead of --data.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Show what was sent since then: 30d, 12h, or 2026-03-01. [default: everything]"),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Stop there: 2d (ago), or 2026-03-31. [default: the last that is on record]"),
    ] = None,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff",
            help="Only the messages that differ from the live log, byte for byte; exits 1 when any does.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What a proposed configuration would have sent, from the runs and minutes that a deployment has on record.

    Watches, ledgers, silence, groups, mute times, silences, acknowledgements, escalation and digests are gone
    through again by the daemon's own code, at the moments at which it decided. Nothing is sent, and the database is
    only read; the daemon may go on.

    Example: anchorwatch backtest alerts -c proposed.yaml --since 30d

    Did live send just what this configuration sends? anchorwatch backtest alerts -c anchorwatch.yaml --diff
    """
    from rich.console import Console
    from rich.progress import Progress

    from canaries.clock import SystemClock
    from monitor.backtesting.backtest_alerts import backtest_alerts as backtested
    from monitor.backtesting.messages import changed_lines, to_json
    from monitor.config import DATABASE_FILE

    now = SystemClock().now()
    first, last = _moment("--since", since, now), _moment("--until", until, now)
    if first and last and first >= last:
        raise MonitorError("--since must be before --until")
    deployment, console = deployment_at(config), Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("the past", total=None)

        def on_progress(done: int, total: int) -> None:
            if done % PROGRESS_EVERY == 0 or done == total:
                progress.update(bar, completed=done, total=total)

        compared = backtested(deployment, database or data / DATABASE_FILE, first, last, on_progress)
    if as_json:
        sys.stdout.write(to_json(compared) + "\n")
    elif diff:
        _show_lines(compared, changed_lines(compared))
    else:
        _show(compared)
    raise typer.Exit(1 if diff and not compared.is_same else 0)


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    """The moment of a duration ago, or of a date or time; without a zone it is in UTC."""
    from datetime import UTC, timedelta

    from canaries.duration import parse_duration

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - timedelta(seconds=parse_duration(text))
        except ValueError as error:
            raise MonitorError(
                f"{option} {text}: neither a time like 2026-03-01 nor one like 30d ago"
            ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _show_lines(compared: "Compared", lines: "Sequence[str]") -> None:
    for line in lines:
        typer.echo(line)
    for one in compared.notes:
        typer.echo(f"note: {one}", err=True)
    same = len(compared.proposed.messages)
    verdict = f"all {same} messages are the same" if compared.is_same else f"{len(lines)} lines differ"
    typer.echo(f"{verdict}, {_span(compared)}", err=True)


def _show(compared: "Compared") -> None:
    from rich.table import Table

    from alerts.finding import Severity

    console = plain_console()
    for one in compared.proposed.messages:
        told = one.message
        why = told.why.value if told.why else told.kind.value
        console.print(f"{told.created_at:%Y-%m-%d %H:%M:%S}  to {one.receiver}: {why}", soft_wrap=True)
        for line in (told.headline, *filter(None, told.sentences)):
            console.print(f"    {line}", soft_wrap=True)
    counts = Table(
        "", "live", "proposed", title=f"{compared.looks} looks and {compared.runs} runs, {_span(compared)}"
    )
    logs = (compared.live, compared.proposed)
    for word, severity in (("pages", Severity.PAGE), ("tickets", Severity.TICKET)):
        found = [log.count(severity) for log in logs]
        counts.add_row(word, *map(str, found))
        counts.add_row(f"{word} a quarter", *(f"{compared.a_quarter(n):.1f}" for n in found))
    counts.add_row("messages", *(str(len(log.messages)) for log in logs))
    console.print(counts)
    _show_alarms("new", compared.new)
    _show_alarms("gone", compared.gone)
    if compared.is_same:
        console.print("Every message is the one that was sent live, byte for byte.")
    for note in compared.notes:
        console.print(f"note: {note}")


def _show_alarms(word: str, alarms: "Sequence[Alarm]") -> None:
    console = plain_console()
    for one in alarms:
        console.print(
            f"{word}: {one.at:%Y-%m-%d %H:%M} {one.severity.name} {one.key}: {one.summary}", soft_wrap=True
        )


def _span(compared: "Compared") -> str:
    return f"{compared.first:%Y-%m-%d %H:%M} to {compared.last:%Y-%m-%d %H:%M} UTC"
