"""``replay`` (one run now) and ``backtest canaries`` (a recorded stream)."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from . import backtest_alerts_command
from .options import ConfigOption, JsonOption, deployment_at, plain_console

if TYPE_CHECKING:
    from monitor.backtest import Backtest
    from monitor.canary_flow.explanation import Explanation

backtest_app = typer.Typer(
    help="What would have paged: recorded data through the live code.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.command()(replay)
    backtest_alerts_command.add_to(backtest_app)
    app.add_typer(backtest_app, name="backtest")


def replay(
    suite: Annotated[Path, typer.Argument(help="The suite's file.")],
    target: Annotated[str, typer.Option("--target", "-t", help="The target's name in the configuration.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """One run now, as a table. Nothing is stored, and nobody is told.

    Example: anchorwatch replay suites/first.yaml --target support-bot
    """
    from canaries.suite import load_suite
    from monitor.one_look.replay_once import replay_once, show_json, show_table

    deployment = deployment_at(config)
    targets = deployment.config.targets
    if target not in targets:
        known = ", ".join(targets) or "none: the configuration has no targets section"
        raise MonitorError(f"no target is called {target!r}; known: {known}")
    loaded = load_suite(suite, os.environ)
    run = replay_once(loaded, targets[target], target)
    if as_json:
        typer.echo(show_json(loaded, run))
    else:
        show_table(loaded, run, plain_console())
    raise typer.Exit(0 if run.answered_share == 1.0 else 1)


@backtest_app.command("canaries")
def backtest_canaries(
    stream: Annotated[Path, typer.Argument(help="Recorded completions: JSON lines, .gz allowed.")],
    baseline_runs: Annotated[
        int | None,
        typer.Option(
            min=12,
            help="Runs that make a baseline. [default: a week of them, 168 at least, or half of a short stream]",
        ),
    ] = None,
    pages_per_quarter: Annotated[float, typer.Option(min=0, help="Budget of false pages a quarter.")] = 0.25,
    tickets_per_week: Annotated[float, typer.Option(min=0, help="Budget of false tickets a week.")] = 1.0,
    every: Annotated[
        str, typer.Option(help="Time between runs, where the stream does not say when they were.")
    ] = "1h",
    explain: Annotated[
        str | None, typer.Option(metavar="RUN", help="Show what this run said, score by score.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The pages and tickets that a recorded stream of runs would have raised.

    A line holds one answer: {"run": "r1", "canary": "capital", "text": "Canberra."}, or, of a request that failed,
    {"run": "r1", "canary": "label", "error": "timeout"}. Lines with the same run are one run. Where known, add at,
    target, finish_reason, logprobs, first_top, latency_s, ttft_s, input_tokens, output_tokens, served_model and
    system_fingerprint.

    Example: anchorwatch backtest canaries recorded.jsonl.gz --baseline-runs 168 --pages-per-quarter 0.25

    Why did, or did not, run r231 page? anchorwatch backtest canaries recorded.jsonl.gz --explain r231
    """
    from rich.console import Console
    from rich.progress import Progress

    from alerts.evidence.ledger import Budgets
    from canaries.completions_file import read_runs
    from canaries.duration import parse_duration
    from monitor.backtest import backtest, to_json
    from monitor.deployment import WEEKS_A_QUARTER

    try:
        every_s = parse_duration(every)
    except ValueError as error:
        raise MonitorError(f"--every {every}: {error}") from error
    try:
        budgets = Budgets(pages_per_quarter, tickets_per_week * WEEKS_A_QUARTER)
    except ValueError as error:  # an endless number, which the option's own limits let pass
        raise MonitorError(str(error)) from error
    runs = read_runs(stream, every_s=every_s, suite=stream.name)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("runs", total=len(runs))
        result = backtest(
            runs, baseline_runs, budgets, lambda done, _: progress.update(bar, completed=done), explain
        )
    if as_json:
        sys.stdout.write(to_json(result) + "\n")
    else:
        _show(result)


def _show(result: "Backtest") -> None:
    from rich.table import Table

    console = plain_console()
    table = Table("", "run", "target", "score", "what", title=f"{result.runs} runs")
    for kind, notices in (("page", result.pages), ("ticket", result.tickets)):
        for notice in notices:
            table.add_row(kind, notice.run, notice.target, notice.score, notice.summary)
    if table.row_count:
        console.print(table)
    else:
        console.print(f"{result.runs} runs: no page, no ticket")
    for target, found in result.assumptions.items():
        if found.is_in_force:
            console.print(f"{target}: the page budget's guarantee is in force")
        for reason in found.reasons:
            console.print(f"{target}: {reason}")
    for one in result.explanations:
        _show_explanation(one)


def _show_explanation(one: "Explanation") -> None:
    from rich.table import Table

    console = plain_console()
    within = f", ranked within {one.label}" if one.label else ""
    console.print(f"\nrun {one.run} of {one.target}{within}: {one.why}")
    table = Table("score", "value", "runs below it", "place", "evidence", "alarm")
    for score in one.scores:
        table.add_row(
            score.score,
            f"{score.value:.4g}",
            f"{score.above} of {score.calibration_runs}",
            score.place,
            f"{score.evidence_before:.2g} -> {score.evidence:.2g}",
            ", ".join(score.alarms),
        )
    if one.scores:
        console.print(table)
