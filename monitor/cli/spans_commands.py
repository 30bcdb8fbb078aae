"""``spans decode``: recorded trace payloads to calls, each counted once, and why."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor import MonitorError

from .options import JsonOption, deployment_at, plain_console

if TYPE_CHECKING:
    from rich.table import Table

    from monitor.config import Config
    from monitor.traffic.calls import Call
    from monitor.traffic.checks import AnswerChecks
    from monitor.traffic.decoding import Decoding, SpanAccount
    from monitor.traffic.dialects import Report
    from monitor.traffic.otlp import Span

app = typer.Typer(help="What is in recorded spans.", no_args_is_help=True)

WIDE_CHARS = 110
ONLY_WHERE_WIDE = ("service", "operation", "first", "spans")
"""What the table leaves out on a narrower terminal; ``--json`` has everything."""


@app.callback()
def spans() -> None:
    """What is in recorded spans."""


@app.command()
def decode(
    files: Annotated[
        list[Path], typer.Argument(help="OTLP trace payloads: .pb or .json, each also with .gz at the end.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--config",
            help="Configuration file whose prices count before list prices, and whose checks --explain shows.",
        ),
    ] = None,
    as_json: JsonOption = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Show each span: why it is or is not a call, what gave each fact, what it was joined with.",
        ),
    ] = False,
) -> None:
    """The LLM calls in trace payloads, each counted once. All files together are one stream.

    With --json, one call a line. A file that cannot be read is told of on stderr; the others still come out,
    and the exit code is 1.

    Example: anchorwatch spans decode captured/*.pb.gz --json

    With your own prices: anchorwatch spans decode captured/*.pb -c anchorwatch.yaml

    Why is this call missing, or there twice? anchorwatch spans decode captured/*.pb --explain
    """
    from rich.console import Console
    from rich.progress import track

    from monitor.traffic.decoding import decode_spans
    from monitor.traffic.pricing.book import LIST_PRICES, PriceBook

    # Of the file that was named, and of no other: captured spans may be of anybody.
    own = None if config is None else deployment_at(config).config
    prices = LIST_PRICES if own is None else PriceBook(own.prices)
    console = Console(stderr=True)
    is_watched = console.is_terminal and len(files) > 1
    spans, unreadable = _read(
        track(files, "reading", console=console, transient=True, disable=not is_watched)
    )
    for problem in unreadable:
        typer.echo(f"anchorwatch: {problem}", err=True)
    decoding = decode_spans(spans, prices)
    if explain:
        _explain(decoding.accounts, own, as_json)
    elif as_json:
        _print_lines(call_json(call) for call in decoding.calls)
    else:
        _show(decoding, len(spans), len(files) - len(unreadable))
    raise typer.Exit(1 if unreadable else 0)


def _read(files: Iterable[Path]) -> "tuple[list[Span], list[str]]":
    """The spans of all files, and what is wrong with those that cannot be read."""
    from monitor.traffic.recorded_file import read_spans

    spans: list[Span] = []
    problems: list[str] = []
    for file in files:
        try:
            spans += read_spans(file)
        except MonitorError as error:
            problems.append(f"{file}: {error}")
        except OSError as error:
            problems.append(f"{file}: cannot be read: {error.strerror or error}")
    return spans, problems


JSON_FIELDS = (
    "operation",
    "provider",
    "request_model",
    "response_model",
    "response_id",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "error",
    "error_class",
    "http_status",
    "finish_reason",
    "streaming",
    "ttft_s",
    "duration_s",
    "session_id",
    "service_name",
    "service_version",
    "environment",
    "cost_usd",
    "cost_basis",
    "dialect",
    "span_ids",
)
"""The fields of a call that ``--json`` prints, in this order."""


def call_json(call: "Call") -> bytes:
    """The call as one line of ``--json``."""
    import orjson

    return orjson.dumps({name: getattr(call, name) for name in JSON_FIELDS})


def _print_lines(lines: Iterable[bytes]) -> None:
    for line in lines:
        sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def _show(decoding: "Decoding", spans: int, files: int) -> None:
    console = plain_console()
    if decoding.calls:
        console.print(_table([_cells(call) for call in decoding.calls], console.width))
    in_calls = sum(len(call.span_ids) for call in decoding.calls)
    console.print(f"{_many(files, 'file')}, {_many(spans, 'span')}: {_many(len(decoding.calls), 'call')}")
    if in_calls > len(decoding.calls):
        again = in_calls - len(decoding.calls)
        console.print(f"Counted once all the same: {_many(again, 'span')} that told a call again.")
    if spans and not decoding.calls:
        console.print("No span tells of a call; --explain says why, span by span.")


def _table(rows: "Sequence[dict[str, str]]", chars: int) -> "Table":
    from rich.table import Table

    table = Table()
    shown = [name for name in rows[0] if name not in ONLY_WHERE_WIDE or chars >= WIDE_CHARS]
    for name in shown:
        # Names may wrap; a number that is cut short is another number.
        table.add_column(name, no_wrap=name not in ("service", "model"), overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    return table


def _many(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 's'}"


def _cells(call: "Call") -> dict[str, str]:
    """What the table shows of a call, by column."""
    from datetime import UTC, datetime

    def cell(value: object) -> str:
        return "" if value is None else str(value)

    return {
        "at": f"{datetime.fromtimestamp(call.started_at, UTC):%H:%M:%S}",
        "service": cell(call.service_name),
        "operation": call.operation,
        "model": cell(call.model),
        "in": cell(call.input_tokens),
        "out": cell(call.output_tokens),
        "seconds": f"{call.duration_s:.3f}",
        "first": "" if call.ttft_s is None else f"{call.ttft_s:.3f}",
        "outcome": cell(call.error_class) if call.error else cell(call.finish_reason) or "ok",
        "cost": "" if call.cost_usd is None else f"${call.cost_usd:.6f}",
        "spans": str(len(call.span_ids)),
    }


def _explain(accounts: "Sequence[SpanAccount]", own: "Config | None", as_json: bool) -> None:
    from monitor.traffic.checks import AnswerChecks

    checks = AnswerChecks() if own is None else AnswerChecks(own.validators, own.evaluations)
    told = (_plain(account, checks) for account in accounts)
    if as_json:
        import orjson

        _print_lines(map(orjson.dumps, told))
        return
    console = plain_console()
    for plain in told:
        for line in _account_lines(plain):
            console.print(line, soft_wrap=True)


def _account_lines(plain: dict[str, Any]) -> list[str]:
    verdict = f"a call, in the dialect {plain['dialect']}" if plain["is_call"] else f"no call: {plain['why']}"
    lines = [
        f"{plain['name']}  span {plain['span_id']}, by {plain['scope'] or 'an unnamed scope'}",
        f"  {verdict}",
    ]
    lines += [f"    {one['fact']:<26}{one['value']!s:<40}  {one['from']}" for one in plain["facts"]]
    lines += [f"  checked as {_check_line(one)}" for one in plain["checks"]]
    lines += [f"  the same call as span {link['span_id']}: {link['why']}" for link in plain["joined"]]
    return lines


def _check_line(check: dict[str, Any]) -> str:
    verdict = _VERDICTS[check["passed"]]
    said = f", which says {check['value']}" if check["value"] is not None else ""
    return f"{check['check']}: {verdict}, by {check['from']}{said}"


_VERDICTS = {True: "passed", False: "failed", None: "not counted, as it says neither passed nor failed"}


def _plain(account: "SpanAccount", checks: "AnswerChecks") -> dict[str, Any]:
    """The account as plain data. The facts are those that the span itself tells."""
    report = account.report
    return {
        "trace_id": account.span.trace_id,
        "span_id": account.span.span_id,
        "name": account.span.name,
        "scope": account.span.scope,
        "is_call": report is not None and account.why is None,
        "why": account.why,
        "dialect": report and report.call.dialect,
        "facts": _facts(report) if report else [],
        "checks": [
            {"check": one.name, "passed": one.is_passed, "value": one.value, "from": one.source}
            for one in (checks.told(report.call, [account.span]) if report else ())
        ],
        "joined": [{"span_id": link.other_span_id, "why": link.why} for link in account.links],
    }


def _facts(report: "Report") -> list[dict[str, object]]:
    """What the report tells, and the attribute that told it."""
    from monitor.traffic.calls import TOKEN_COUNTS

    rest = {"duration_s": "start and end of the span", "service_name": "service.name of the resource"}
    rest |= {"service_version": "resource", "environment": "resource"}
    rest |= dict.fromkeys(("error_class", "http_status"), report.sources.get("error", ""))
    rest |= dict.fromkeys(TOKEN_COUNTS, report.sources.get("usage") or report.sources.get("answer", ""))
    return [
        {"fact": name, "value": value, "from": report.sources.get(name) or rest.get(name, "")}
        for name in JSON_FIELDS
        if name not in _NOT_TOLD_BY_SPANS and (value := getattr(report.call, name)) is not None
    ]


_NOT_TOLD_BY_SPANS = ("cost_usd", "cost_basis", "dialect", "span_ids")
