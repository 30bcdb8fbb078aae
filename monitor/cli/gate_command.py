"""``gate``: may this candidate take the place of what runs now?"""

import os
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
    from collections.abc import Callable

    from rich.console import Console

    from canaries.config import TargetConfig
    from canaries.gate.config import GateConfig
    from canaries.gate.results import Gate
    from canaries.suite import Suite
    from monitor.config import Deployment
    from monitor.one_look.gate.asking import Asked
    from monitor.one_look.gate.base import Base

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}
"""What the command exits with; 2 is for what cannot be used."""


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(gate)


def gate(
    suite: Annotated[Path, typer.Argument(help="The suite's file.")],
    target: Annotated[
        str, typer.Option("--target", "-t", help="The candidate: a target of the configuration.")
    ],
    against: Annotated[
        str | None,
        typer.Option(
            help="What it is compared with: a target or baseline of the database, or a completions file "
            "(.jsonl, .jsonl.gz). Without it only rules and absolute limits are judged.",
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = HERE,
    runs: Annotated[
        int | None, typer.Option(help="Runs of the candidate. [default: as make 100 answers, 3 to 20]")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Answers to each canary in a run. [default: as suite and target say]"),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="How often a candidate that is the same may fail the statistics. [default: 0.05]"),
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(
            help="The smallest difference that counts: of shares, lengths and distances, 0.02 is 2 %. "
            "[default: each score's own]"
        ),
    ] = None,
    detect: Annotated[
        float | None,
        typer.Option(
            help="The share of answers whose change must be likely to show, for a candidate to pass. "
            "[default: a third]"
        ),
    ] = None,
    changes: Annotated[
        str | None,
        typer.Option(
            metavar="fail|warn",
            help="What answers that are different do: `warn` where the change is meant, and only answers that got "
            "worse fail. [default: fail]",
        ),
    ] = None,
    known_failures: Annotated[
        str | None,
        typer.Option(
            metavar="fail|warn",
            help="What broken expectations do that the baseline breaks, too. [default: fail]",
        ),
    ] = None,
    latency_p50: Annotated[str | None, typer.Option(help="Median latency at most: 2s, or +20%.")] = None,
    latency_p95: Annotated[
        str | None, typer.Option(help="95th percentile of latency at most: 8s, or +20%.")
    ] = None,
    cost_per_1000_usd: Annotated[
        str | None, typer.Option(help="Dollars for 1,000 calls at most: 0.8, or +10%.")
    ] = None,
    max_spend_usd: Annotated[
        float | None, typer.Option(help="What asking the candidate may cost: fewer runs rather than more.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and answers give the same figures.")] = 0,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML into this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a summary into this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures into this file.")] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Keep the candidate's answers in this completions file: the next --against."),
    ] = None,
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
    candidate = _target(deployment, target)
    loaded = load_suite(suite, os.environ)
    settings = said.over(loaded.gate).over(deployment.config.gate)
    base = None if against is None else _base(against, data)
    if base is None and said.needs_baseline:
        names = ", ".join(said.needs_baseline)
        raise MonitorError(f"{names} is relative to a baseline: name one with --against, or give a figure")
    _need_price(settings, base, loaded, candidate)
    asked = _asked(loaded, candidate, target, settings)
    if save is not None:
        from canaries.completions_file import write_runs

        write_runs(save, asked.runs)
    found = _judged(deployment, loaded, target, asked, base, settings, seed)
    _write_reports(found, junit, markdown, html)
    if as_json:
        import orjson

        from canaries.gate.plain import to_plain

        typer.echo(orjson.dumps(to_plain(found)))
    else:
        _show(found, plain_console())
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


def _target(deployment: "Deployment", name: str) -> "TargetConfig":
    targets = deployment.config.targets
    if name not in targets:
        known = ", ".join(targets) or "none: the configuration has no targets section"
        raise MonitorError(f"no target is called {name!r}; known: {known}")
    return targets[name]


def _base(against: str, data: Path) -> "Base":
    from monitor.one_look.gate.base import base_of_file, base_of_store, is_file

    from .baseline_commands import _find

    if is_file(against):
        return base_of_file(Path(against))
    with existing_database(data) as database:
        return database.read(lambda session: base_of_store(session, _find(session, against)))


def _need_price(settings: "GateConfig", base: "Base | None", suite: "Suite", target: "TargetConfig") -> None:
    """Raise MonitorError for a limit on dollars that no answer could be held against: before any is paid for."""
    from canaries.clock import SystemClock
    from monitor.spending.canary_cost import sample_costs

    limit = settings.cost_per_1000_usd
    if limit is None or (base is None and limit.is_relative):
        return
    if sample_costs(suite, target, {}, SystemClock().now()) is None:
        raise MonitorError(
            f"cost_per_1000_usd: no price is known for {target.model}. Give the target a `price`."
        )


def _asked(suite: "Suite", target: "TargetConfig", name: str, settings: "GateConfig") -> "Asked":
    import random

    from canaries.clock import SystemClock
    from monitor.one_look.gate.asking import Order, ask

    requests = sum(Order(1, settings.samples).samples_of(suite, target).values())
    order = Order(settings.runs_of(requests), settings.samples, settings.max_spend_usd)
    rng = random.Random()  # noqa: S311 - an order of requests, not a secret
    with _Bar(f"asking {name}") as bar:
        return ask(suite, target, name, order, SystemClock(), rng, bar.show)


def _judged(
    deployment: "Deployment",
    suite: "Suite",
    target: str,
    asked: "Asked",
    base: "Base | None",
    settings: "GateConfig",
    seed: int,
) -> "Gate":
    from dataclasses import replace

    from canaries.gate.judging import Side, judge

    candidate = deployment.config.targets[target]
    side = Side(target, asked.runs, _price(deployment, target, suite))
    other: Side | None = None
    notes = asked.notes
    if base is not None:
        other = Side(base.name, base.runs, _price(deployment, base.target, suite))
        notes += base.changes(suite, candidate)
    with _Bar("judging") as bar:
        found = judge(suite, side, other, settings, seed=seed, notes=notes, progress=bar.show)
    return replace(found, took_s=asked.took_s, spent_usd=asked.spent_usd)


def _price(deployment: "Deployment", target: str | None, suite: "Suite") -> "Callable[..., float | None]":
    """The prices of a target that is configured, else list prices."""
    from monitor.spending.canary_cost import list_cost_usd, price_of

    known = deployment.config.targets.get(target or "")
    return list_cost_usd if known is None else price_of(known, suite)


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
