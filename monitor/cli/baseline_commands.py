"""``baseline list``, ``show``, ``freeze`` and ``retire``."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor import MonitorError

from .options import HERE, DataOption, JsonOption, existing_database, plain_console

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
    plain_console().print(table if found else "no baseline yet: the daemon's first run begins one")


@app.command()
def show(name: NameArgument, data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """One baseline: its runs, its scores, and whether the page budget's guarantee is in force.

    Example: anchorwatch baseline show support-bot
    """
    import orjson

    from canaries.baseline_store import load_baseline
    from monitor.guarantee import assumptions

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
def freeze(name: NameArgument, data: DataOption = HERE) -> None:
    """Freeze what a target has collected, now. A running daemon compares from its next run on.

    Example: anchorwatch baseline freeze support-bot
    """
    from canaries.clock import SystemClock
    from monitor import store
    from monitor.baseline_life import freeze_baseline
    from monitor.watched import House

    def work(session: "Session") -> "Baseline":
        house = House(store.deployment_secret(session))
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
    """The current baseline of the target with this name, else the baseline with this id.

    In this order, as a target may be called what a baseline of another one is: gpt-4 beside the fourth of gpt.
    """
    from canaries.baseline import BaselineStatus
    from canaries.baseline_store import list_baselines

    found = list_baselines(session)
    ours = [one for one in found if one.target == name]
    current = [one for one in ours if one.status is not BaselineStatus.RETIRED]
    if len(current) > 1:
        raise MonitorError(f"{name} has several: name one of {', '.join(one.id for one in current)}")
    if current:
        return current[0]
    by_id = [one for one in found if one.id == name]
    if by_id:
        return by_id[0]
    if ours:
        raise MonitorError(
            f"{name} has no baseline now, as the last one is retired: its next run begins one. "
            f"Earlier ones: {', '.join(one.id for one in ours)}"
        )
    known = ", ".join(dict.fromkeys(one.target for one in found)) or "none yet"
    raise MonitorError(f"no target, and no baseline, is called {name!r}; targets with a baseline: {known}")


def _show(baseline: "Baseline", facts: dict[str, Any]) -> None:
    from rich.table import Table

    console = plain_console()
    shown: dict[str, Callable[[Any], str]] = {"served_models": ", ".join, "fingerprints": ", ".join}
    for key, value in facts.items():
        if key in ("scores", "assumptions", "checks_that_never_failed") or value in (None, ()):
            continue
        text = (
            shown[key](value) if key in shown else _when(value) if isinstance(value, datetime) else str(value)
        )
        console.print(f"{key.replace('_', ' '):<18} {text}")
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
