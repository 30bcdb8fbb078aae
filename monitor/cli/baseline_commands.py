"""``baseline list``, ``show``, ``freeze`` and ``retire``."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor import MonitorError

from .options import HERE, ConfigOption, DataOption, JsonOption, deployment_at, existing_database

if TYPE_CHECKING:
    from sqlmodel import Session

    from canaries.baseline import Baseline
    from canaries.baseline_store import BaselineSummary

app = typer.Typer(help="What runs are compared with.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A target, or the id of a baseline.")]


@app.command("list")
def list_(data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """All baselines, newest first.

    Example: anchorwatch baseline list --data /var/lib/anchorwatch
    """
    import orjson
    from rich.console import Console
    from rich.table import Table

    from canaries.baseline_store import list_baselines

    with existing_database(data) as database:
        found = database.read(list_baselines)
    if as_json:
        typer.echo(orjson.dumps(found))
        return
    table = Table("baseline", "target", "suite", "state", "runs", "since")
    for one in found:
        since = one.retired_at or one.frozen_at or one.created_at
        table.add_row(one.id, one.target, one.suite, one.status.value, str(one.collected_runs), _when(since))
    Console().print(table if found else "no baseline yet: the daemon's first run begins one")


@app.command()
def show(name: NameArgument, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """One baseline: its runs, its scores, and whether the page budget's guarantee is in force.

    Example: anchorwatch baseline show support-bot
    """
    import orjson

    from canaries.baseline_store import load_baseline
    from monitor.watch_canaries import assumptions

    with existing_database(data) as database:
        summary = database.read(lambda session: _find(session, name))
        baseline = database.read(lambda session: load_baseline(session, summary.id))
    facts: dict[str, Any] = {
        "id": baseline.id,
        "target": baseline.target,
        "suite": baseline.suite,
        "state": baseline.status.value,
        "collected_runs": summary.collected_runs,
        "train_runs": len(baseline.train_ids),
        "calibration_runs": len(baseline.calibration_ids),
        "created_at": baseline.created_at,
        "frozen_at": baseline.frozen_at,
        "retired_at": baseline.retired_at,
        "served_models": baseline.known_models,
        "fingerprints": baseline.known_fingerprints,
        "checks_that_never_failed": baseline.never_failed,
        "scores": baseline.scores.weights() if baseline.scores else {},
        "assumptions": assumptions(baseline) if baseline.scores else None,
    }
    if as_json:
        typer.echo(orjson.dumps(facts))
    else:
        _show(baseline, facts)


@app.command()
def freeze(name: NameArgument, config: ConfigOption = None, data: DataOption = HERE) -> None:
    """Freeze what a target has collected, now. A running daemon compares from its next run on.

    Example: anchorwatch baseline freeze support-bot
    """
    from canaries.clock import SystemClock
    from monitor import store
    from monitor.deployment import house_of
    from monitor.watch_canaries import freeze_baseline

    deployment = deployment_at(config)

    def work(session: "Session") -> "Baseline":
        house = house_of(deployment, store.deployment_secret(session))
        return freeze_baseline(session, house, _find(session, name).id, SystemClock().now())

    with existing_database(data) as database:
        frozen = database.write(work)
    runs = f"{len(frozen.train_ids)} train and {len(frozen.calibration_ids)} calibration runs"
    typer.echo(f"{frozen.id} is frozen: {runs}")


@app.command()
def retire(name: NameArgument, data: DataOption = HERE) -> None:
    """Put a baseline aside: the target's next run begins to collect a new one.

    Example: anchorwatch baseline retire support-bot
    """
    from canaries.baseline_store import retire_baseline
    from canaries.clock import SystemClock

    def work(session: "Session") -> str:
        found = _find(session, name)
        retire_baseline(session, found.id, SystemClock().now())
        return found.id

    with existing_database(data) as database:
        retired = database.write(work)
    typer.echo(f"{retired} is retired; the next run begins a new one")


def _find(session: "Session", name: str) -> "BaselineSummary":
    """The baseline with this id, else the current one of the target with this name."""
    from canaries.baseline import BaselineStatus
    from canaries.baseline_store import list_baselines

    found = list_baselines(session)
    by_id = [one for one in found if one.id == name]
    current = [one for one in found if one.target == name and one.status is not BaselineStatus.RETIRED]
    if not by_id and not current:
        known = ", ".join(dict.fromkeys(one.target for one in found)) or "none yet"
        raise MonitorError(f"no baseline, and no target with one, is called {name!r}; targets: {known}")
    if len(current) > 1 and not by_id:
        raise MonitorError(f"{name} has several: name one of {', '.join(one.id for one in current)}")
    return (by_id or current)[0]


def _show(baseline: "Baseline", facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    shown: dict[str, Callable[[Any], str]] = {"served_models": ", ".join, "fingerprints": ", ".join}
    for key, value in facts.items():
        if key in ("scores", "assumptions", "checks_that_never_failed") or value in (None, ()):
            continue
        text = (
            shown[key](value) if key in shown else _when(value) if isinstance(value, datetime) else str(value)
        )
        console.print(f"{key.replace('_', ' '):<18} {text}", highlight=False)
    if baseline.scores is None:
        return
    sentences = baseline.scores.describe()
    table = Table("score", "share", "what it sees")
    for name, share in facts["scores"].items():
        table.add_row(name, f"{share:.3f}", sentences[name])
    console.print(table)
    found = facts["assumptions"]
    if found.is_in_force:
        console.print("The page budget's guarantee is in force.")
    for reason in found.reasons:
        console.print(f"! {reason}")


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
