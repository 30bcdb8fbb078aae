"""``gate``: may this candidate take the place of what runs now?"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from monitor import MonitorError

from .gate_options import (
    Against,
    Alpha,
    Candidate,
    Changes,
    CostPer1000,
    Detect,
    Floor,
    HtmlFile,
    JUnitFile,
    KnownFailures,
    LatencyP50,
    LatencyP95,
    MarkdownFile,
    MaxSpend,
    Runs,
    Samples,
    SaveFile,
    Seed,
    SuiteFile,
)
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

    from canaries.gate.config import GateConfig
    from canaries.gate.results import Gate
    from monitor.one_look.gate.base import Base
    from monitor.one_look.gate.gating import Gating

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
"""What the command exits with; 2 is for what cannot be used."""


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(gate)


def gate(
    suite: SuiteFile,
    target: Candidate,
    against: Against = None,
    config: ConfigOption = None,
    data: DataOption = HERE,
    runs: Runs = None,
    samples: Samples = None,
    alpha: Alpha = None,
    floor: Floor = None,
    detect: Detect = None,
    changes: Changes = None,
    known_failures: KnownFailures = None,
    latency_p50: LatencyP50 = None,
    latency_p95: LatencyP95 = None,
    cost_per_1000_usd: CostPer1000 = None,
    max_spend_usd: MaxSpend = None,
    seed: Seed = 0,
    junit: JUnitFile = None,
    markdown: MarkdownFile = None,
    html: HtmlFile = None,
    save: SaveFile = None,
    as_json: JsonOption = False,
) -> None:
    """Whether a candidate may take the place of what runs now: rules, statistics, latency and cost. For CI.

    What an option leaves open the `gate` block of the suite says, then that of the configuration.

    Exits with 0 when the candidate passes, 1 when it fails, 3 when the data cannot tell, 2 when it cannot be judged.

    Example: anchorwatch gate suites/first.yaml --target candidate --against support-bot

    In CI: anchorwatch gate suites/first.yaml -t candidate --against baseline.jsonl.gz --latency-p95 +20%
    --cost-per-1000-usd +10% --max-spend-usd 2 --junit gate.xml --markdown gate.md

    A first baseline: anchorwatch gate suites/first.yaml -t support-bot --runs 20 --save baseline.jsonl.gz
    """
    # Before numpy is loaded: threads that wait for each other on busy cores take ten times as long as one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from canaries.suite import load_suite
    from monitor.one_look.gate.gating import Gating, candidate_of

    _need_folders(junit, markdown, html, save)
    said = _said(
        runs=runs,
        samples=samples,
        alpha=alpha,
        floor=floor,
        detect=detect,
        changes=changes,
        known_failures=known_failures,
        latency_p50=latency_p50,
        latency_p95=latency_p95,
        cost_per_1000_usd=cost_per_1000_usd,
        max_spend_usd=max_spend_usd,
    )
    deployment = deployment_at(config)
    candidate_of(deployment, target)  # who misspelt a name hears of it before files are read
    loaded = load_suite(suite, os.environ)
    settings = said.over(loaded.gate).over(deployment.config.gate)
    base = None if against is None else _base(against, data)
    if base is None and said.needs_baseline:
        names = ", ".join(said.needs_baseline)
        raise MonitorError(f"{names} is relative to a baseline: name one with --against, or give a figure")
    found = _gated(Gating(deployment, loaded, target, settings, base), save, seed)
    _write_reports(found, junit, markdown, html)
    _tell(found, as_json=as_json)
    raise typer.Exit(EXIT_CODES[found.verdict.value])


def _said(**options: object) -> "GateConfig":
    """What the options say. Raises MonitorError with all that is wrong with them."""
    from pydantic import ValidationError

    from canaries.gate.config import GateConfig

    given = {name: value for name, value in options.items() if value is not None}
    try:
        return GateConfig.model_validate(given)
    except ValidationError as error:
        faults = [
            f"--{str(fault['loc'][0]).replace('_', '-')} {fault['input']}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise MonitorError("\n".join(faults)) from error


def _need_folders(*files: Path | None) -> None:
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise MonitorError(f"{file}: cannot be written: there is no such folder")


def _base(against: str, data: Path) -> "Base":
    from monitor.one_look.gate.base import base_of_file, base_of_store, is_file

    from .baseline_commands import _find

    if is_file(against):
        return base_of_file(Path(against))
    with existing_database(data) as database:
        return database.read(lambda session: base_of_store(session, _find(session, against)))


def _gated(gating: "Gating", save: Path | None, seed: int) -> "Gate":
    """The candidate is asked, its answers are kept where that was asked for, and judged."""
    import random

    from canaries.clock import SystemClock
    from canaries.completions_file import write_runs

    clock = SystemClock()
    gating.need_price(clock)
    rng = random.Random()  # noqa: S311 - an order of requests, not a secret
    with _Bar(f"asking {gating.candidate}") as bar:
        asked = gating.ask(clock, rng, bar.show)
    if save is not None:
        write_runs(save, asked.runs)
    with _Bar("judging") as bar:
        return gating.judge(asked, seed, bar.show)


class _Bar:
    """A progress bar on stderr, on a terminal only."""

    def __init__(self, told: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(told, total=None)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, of: int) -> None:
        """So many are done, of so many."""
        self._progress.update(self._task, completed=done, total=of)


def _tell(found: "Gate", *, as_json: bool) -> None:
    """For a machine, or for a person."""
    import orjson

    from canaries.gate.plain import to_plain

    if as_json:
        typer.echo(orjson.dumps(to_plain(found)))
    else:
        _show(found, plain_console())


def _show(found: "Gate", console: "Console") -> None:
    from rich.table import Table

    from canaries.gate.results import Kind, Status
    from canaries.gate.words import footnote, headline

    console.print(headline(found))
    table = Table("", "check", "what")
    told = [one for one in found.checks if one.kind is not Kind.CANARY or one.status is not Status.PASS]
    for check in told:
        table.add_row(check.status.value, check.name, "\n".join((check.summary, *check.details)))
    console.print(table)
    canaries = [one for one in found.checks if one.kind is Kind.CANARY]
    passed = sum(one.status is Status.PASS for one in canaries)
    console.print(f"{passed} of {len(canaries)} canaries as expected. {footnote(found)}")
    for note in found.notes:
        console.print(f"note: {note}")


def _write_reports(found: "Gate", junit: Path | None, markdown: Path | None, html: Path | None) -> None:
    from canaries.gate.junit import to_junit
    from canaries.gate.markdown import to_markdown
    from dashboards.gate_page import render_gate

    for path, render in ((junit, to_junit), (markdown, to_markdown), (html, render_gate)):
        if path is not None:
            try:
                path.write_text(render(found), encoding="utf-8")
            except OSError as error:
                raise MonitorError(f"{path}: cannot be written: {error.strerror}") from error
