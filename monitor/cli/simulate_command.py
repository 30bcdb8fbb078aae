"""``simulate``: the false pages and the delays that an operator may expect of a frozen baseline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor import MonitorError

from .options import (
    HERE,
    ConfigOption,
    DataOption,
    JsonOption,
    deployment_knowing,
    existing_database,
    plain_console,
)

if TYPE_CHECKING:
    from sqlmodel import Session

    from canaries.baseline import Baseline
    from canaries.features import RunFeatures
    from monitor.foresight.simulation import Delay, Plan, Simulation


def add_to(app: typer.Typer) -> None:
    """Put this command on the command line."""
    app.command()(simulate)


def simulate(
    name: Annotated[str, typer.Argument(help="A target, or the id of a frozen baseline.")],
    data: DataOption = HERE,
    config: ConfigOption = None,
    every: Annotated[
        str | None, typer.Option(help="Time between runs. [default: as configured, or as collected]")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples of each canary in a run. [default: as collected]")
    ] = None,
    pages_per_quarter: Annotated[
        float | None,
        typer.Option(
            min=0, help="Budget of false pages a quarter, of all targets. [default: as configured, or 0.25]"
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The target's share of the budget. [default: as configured, or the same for each target]",
        ),
    ] = None,
    quarters: Annotated[int, typer.Option(min=2, help="Quarters to watch without a change.")] = 100,
    repetitions: Annotated[int, typer.Option(min=1, help="How often each change comes.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")] = 0,
    picture: Annotated[Path | None, typer.Option(help="Draw the delays into this SVG file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The false pages, and the delays by size of the change, to expect of a target's own baseline.

    Takes up to a minute. Nothing is asked of the target, nothing is stored.

    Example: anchorwatch simulate support-bot --every 15m --samples 1 --picture delays.svg
    """
    import orjson
    from rich.console import Console
    from rich.progress import Progress

    from monitor.foresight.simulate import simulate as simulated
    from monitor.foresight.simulation import Plan
    from monitor.foresight.simulation_picture import draw

    if picture is not None and not picture.parent.is_dir():
        raise MonitorError(f"{picture}: cannot be written: there is no such folder")
    baseline, runs, targets = _read(name, data)
    usual = _usual(baseline.target, runs, targets, config)
    plan = Plan(
        slot_s=usual.slot_s if every is None else _slot_s(every),
        pages_per_quarter=usual.pages_per_quarter if pages_per_quarter is None else pages_per_quarter,
        share=usual.share if share is None else share,
        samples=samples,
        quarters=quarters,
        repetitions=repetitions,
        seed=seed,
    )
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("simulating", total=1.0)
        result = simulated(baseline, runs, plan, lambda part: progress.update(bar, completed=part))
    if picture is not None:
        _write(picture, draw(result))
    if as_json:
        typer.echo(orjson.dumps(result.to_plain()))
    else:
        _show(result)


def _read(name: str, data: Path) -> "tuple[Baseline, tuple[RunFeatures, ...], int]":
    """The baseline, the runs that it stands on, and how many targets have a baseline."""
    from canaries.baseline import BaselineStatus
    from canaries.baseline_store import collected_ids, list_baselines, load_baseline
    from canaries.store import load_features

    from .baseline_commands import _find

    def work(session: "Session") -> "tuple[Baseline, tuple[RunFeatures, ...], int]":
        baseline = load_baseline(session, _find(session, name).id)
        frozen_on = (*baseline.train_ids, *baseline.calibration_ids)
        ids = frozen_on or collected_ids(session, baseline.id)
        targets = {one.target for one in list_baselines(session) if one.status is not BaselineStatus.RETIRED}
        return baseline, load_features(session, ids), max(1, len(targets))

    with existing_database(data) as database:
        return database.read(work)


def _usual(target: str, runs: "tuple[RunFeatures, ...]", targets: int, config: Path | None) -> "Plan":
    """The plan of the target as it is configured; where it is not, as its runs were, at the default budget."""
    from canaries.clock import SystemClock
    from monitor.config import cadence_of
    from monitor.foresight.sensitivity import usual_slot_s
    from monitor.foresight.simulation import Plan
    from monitor.schedule import slot_s

    deployment = deployment_knowing(target, config)
    if deployment is None:
        return Plan(usual_slot_s(runs) or 3600.0, share=1 / targets)
    every_s = slot_s(cadence_of(deployment.config.targets[target]), SystemClock().now())
    return Plan(every_s, deployment.config.budget.pages_per_quarter, deployment.share(target))


def _slot_s(every: str) -> float:
    from canaries.duration import parse_duration

    try:
        return parse_duration(every)
    except ValueError as error:
        raise MonitorError(f"--every {every}: {error}") from error


def _write(path: Path, svg: str) -> None:
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written: {error.strerror}") from error


def _show(result: "Simulation") -> None:
    from rich.table import Table

    from monitor.foresight.simulation_picture import duration

    plan, false, console = result.plan, result.false_pages, plain_console()
    console.print(
        f"{result.baseline}, a run every {duration(plan.slot_s)} with {result.answers_a_run} answers; "
        f"{plan.pages_per_quarter:g} false pages a quarter allowed, {false.budget:.3g} of them for this target"
    )
    console.print(
        f"False pages: {false.per_quarter:.3g} ± {false.standard_error:.2g} a quarter in {false.quarters} simulated "
        f"ones, {false.most} in the worst; the budget is {false.budget:.3g}"
    )
    table = Table("change", "median", "90 %", "answers", "found", title="From the change to the page")
    for one in result.delays:
        table.add_row(one.change, *_cells(one, result), f"{one.found_share:.0%}")
    console.print(table)
    console.print(
        f"{plan.repetitions} repetitions, seed {plan.seed}. The runs are drawn anew from the {result.runs} of the "
        "baseline: nights, weekends and backends that it has not seen are not in it. A moved answer is the answer to "
        "another canary, a more ordinary one the most ordinary of three to the same."
    )
    if result.stretch_runs > 1:
        console.print(
            f"! Runs in a row are alike, so they were drawn in stretches of about {result.stretch_runs}. "
            "`anchorwatch baseline show` tells whether the page budget's guarantee holds for such runs."
        )


def _cells(delay: "Delay", result: "Simulation") -> tuple[str, str, str]:
    from monitor.foresight.simulation import HORIZON_S
    from monitor.foresight.simulation_picture import duration

    def cell(runs: float | None) -> str:
        if runs is None:
            return f"not in {duration(HORIZON_S)}"
        return f"{runs:g} runs, {duration(runs * result.plan.slot_s)}"

    answers = "" if delay.median_runs is None else f"{delay.median_runs * result.answers_a_run:g}"
    return cell(delay.median_runs), cell(delay.q90_runs), answers
