"""``audit``: what the last period came to, beside the one before and the baseline."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

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
    from rich.console import Console
    from sqlmodel import Session

    from dashboards.audit.report import Against, Audit, Measure, Subject
    from monitor.config import Deployment
    from monitor.database import Database

MOVERS_SHOWN = 15
"""How many movers the table has; all of them are in the files and in the JSON."""

SUBJECTS_SHOWN = 25
"""How many targets and services the table has, those with the most calls."""


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(audit)


def audit(
    since: Annotated[
        str, typer.Option(help="The period: how long before --until (24h, 7d), or a time as for --until.")
    ] = "24h",
    until: Annotated[
        str | None,
        typer.Option(help='Its end, such as "2026-03-02" or "2026-03-02T06:30" (UTC). [default: now]'),
    ] = None,
    against: Annotated[
        str, typer.Option(help="What the movers and the headline go by: `previous` or `baseline`.")
    ] = "previous",
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures into this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown into this file.")] = None,
    config: ConfigOption = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What the last period came to: cost drift, broken answers, latency tails, movers, budgets, pages, models.

    Every target and service is compared with the period before and with its baseline; what is within noise is called
    so. The daemon makes one each night where the configuration has `audit:`.

    Examples: anchorwatch audit --html audit.html · anchorwatch audit --since 7d --against baseline ·
    anchorwatch audit --since 24h --until 2026-03-02 --json --markdown audit.md
    """
    import orjson

    from dashboards.audit.markdown import render_markdown
    from dashboards.audit.page import render_audit
    from dashboards.audit.report import Against

    if against not in set(Against):
        raise MonitorError(f'--against is "previous" or "baseline", not "{against}"')
    for path in (html, markdown):
        if path is not None and not path.parent.is_dir():
            raise MonitorError(f"{path}: cannot be written: there is no such folder")
    deployment = deployment_at(config)
    with existing_database(data) as database:
        found = _made(database, deployment, since, until, Against(against))
    if html is not None:
        _write(html, render_audit(found))
    if markdown is not None:
        _write(markdown, render_markdown(found))
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        _show(found, plain_console())


def _made(
    database: "Database", deployment: "Deployment", since: str, until: str | None, against: "Against"
) -> "Audit":
    from canaries.clock import SystemClock
    from monitor.audit.auditing import audit as made
    from monitor.audit.blindness import blind_canaries
    from monitor.audit.gathering import Wanted, gather

    now = SystemClock().now()
    end = now if until is None else _moment("--until", until)
    with _progress() as progress:

        def look(session: "Session") -> "Audit":
            targets = deployment.config.targets
            blind = {name: blind_canaries(session, deployment, name, now) for name in targets}
            wanted = Wanted(_beginning(since, end), end, against, blind=blind)
            return made(gather(session, deployment, wanted, now, progress))

        return database.read(look)


def _beginning(since: str, end: datetime) -> datetime:
    from canaries.duration import parse_duration
    from monitor.audit.config import PERIOD_MAX_S, PERIOD_MIN_S

    try:
        begin = end - timedelta(seconds=parse_duration(since))
    except ValueError:
        begin = _moment("--since", since)
    if not PERIOD_MIN_S <= (end - begin).total_seconds() <= PERIOD_MAX_S:
        raise MonitorError(f"--since {since}: the period must be an hour at least, and 31 days at most")
    return begin


def _moment(option: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise MonitorError(
            f'{option} {text}: is no time; write "2026-03-02" or "2026-03-02T06:30", in UTC'
        ) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@contextmanager
def _progress() -> "Iterator[Callable[[int], None]]":
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), TextColumn("{task.completed:,} windows"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("reading", total=None)
        yield lambda windows: progress.update(bar, advance=windows)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written: {error.strerror}") from error


def _show(found: "Audit", console: "Console") -> None:
    from dashboards.audit import words

    first = words.headline(found)
    for line in (words.title(found), f"{first.text} {first.detail}", words.period(found), ""):
        console.print(line, soft_wrap=True)
    if found.movers:
        console.print(_movers(found))
    if found.subjects:
        console.print(_subjects(found))
    if found.models:
        console.print(_models(found))
    for budget in found.budgets:
        console.print(f"budget {words.budget_words(budget)}", soft_wrap=True)
    console.print(words.paging_words(found), soft_wrap=True)
    for short in found.paging.short:
        console.print(words.short_page_words(short), soft_wrap=True)
    for unseen in found.unseen:
        console.print(f"not seen: {unseen.what}: {unseen.who}: {unseen.detail}", soft_wrap=True)


def _movers(found: "Audit") -> object:
    from rich.table import Table

    from dashboards.audit import words

    table = Table("what moved", "measure", "before", "now", "change (95 %)", "", padding=(0, 0))
    for one in found.movers[:MOVERS_SHOWN]:
        change = words.said(one.line, found.against)
        before = words.before(one.line, found.against)
        name = words.NAMES[one.line.measure]
        table.add_row(one.subject, name, before, words.figure(one.line), change.text, change.reality)
    if len(found.movers) > MOVERS_SHOWN:
        table.add_row(f"and {len(found.movers) - MOVERS_SHOWN} more, see --json", "", "", "", "", "")
    return table


def _subjects(found: "Audit") -> object:
    """One row for each target and service: what is looked at first."""
    from rich.table import Table

    from dashboards.audit.report import Measure, SubjectKind

    measures = {
        "$/day": Measure.SPEND,
        "$/call": Measure.COST_PER_CALL,
        "failed": Measure.ERRORS,
        "broken": Measure.BROKEN_ANSWERS,
        "p50": Measure.LATENCY_P50,
        "p95": Measure.LATENCY_P95,
        "p99": Measure.LATENCY_P99,
    }
    table = Table("", "calls", *measures, padding=(0, 0))
    most = sorted(found.subjects, key=lambda one: (one.kind is SubjectKind.SERVICE, -sum(one.calls_by_block)))
    for one in most[:SUBJECTS_SHOWN]:
        table.add_row(
            one.name,
            f"{sum(one.calls_by_block):,}",
            *(_cell(one, m) for m in measures.values()),
        )
    if len(most) > SUBJECTS_SHOWN:
        table.add_row(f"and {len(most) - SUBJECTS_SHOWN} more, see --json")
    return table


def _cell(subject: "Subject", measure: "Measure") -> str:
    from dashboards.audit import words

    line = subject.line(measure)
    return "" if line is None or line.value is None else words.figure(line)


def _models(found: "Audit") -> object:
    from rich.table import Table

    from dashboards.audit.markdown import model_figures

    shown = {
        "calls": "calls",
        "cost per call": "$/call",
        "latency p95": "p95",
        "broken answers": "broken",
    }
    table = Table("model", *shown.values(), "used by", "best for", padding=(0, 0))
    for one in found.models:
        figures = model_figures(one.now)
        users = ", ".join((*one.services, *one.targets))
        name = f"{one.model}{' (new)' if one.is_new else ''}"
        table.add_row(name, *(figures[key] for key in shown), users, one.use)
    return table
