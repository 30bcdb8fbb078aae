"""``baseline list``, ``show``, ``log``, ``freeze``, ``retire`` and ``renew``."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

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
    from rich.console import Console
    from sqlmodel import Session

    from canaries.baseline import Baseline
    from canaries.baseline_store import BaselineSummary
    from monitor.canary_flow.baseline_facts import Facts

app = typer.Typer(help="What runs are compared with.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A target, or the id of a baseline.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, for `baseline log`.")]
REASON_NEEDED = "say --why, for those who read the log later"


@app.command("list")
def list_(data: DataOption = HERE, as_json: JsonOption = False) -> None:
    """All baselines, newest first.

    Example: anchorwatch baseline list --data /var/lib/anchorwatch
    """
    from dataclasses import asdict

    import orjson
    from rich.table import Table

    from canaries.baseline_store import list_baselines
    from monitor.canary_flow.baseline_facts import state_of

    with existing_database(data) as database:
        found = database.read(
            lambda session: [(one, state_of(session, one)) for one in list_baselines(session)]
        )
    if as_json:
        typer.echo(orjson.dumps([asdict(one) | {"state": state} for one, state in found]))
        return
    table = Table("baseline", "target", "suite", "state", "runs", "since")
    for one, state in found:
        since = one.retired_at or one.frozen_at or one.created_at
        table.add_row(one.id, one.target, one.suite, state, str(one.collected_runs), _when(since))
    plain_console().print(table if found else "no baseline yet: the daemon's first run begins one")


@app.command()
def show(
    name: NameArgument, config: ConfigOption = None, data: DataOption = HERE, as_json: JsonOption = False
) -> None:
    """One baseline: its runs, what comes next, its scores, and whether the page budget's guarantee is in force.

    Example: anchorwatch baseline show support-bot
    """
    import orjson

    from canaries.baseline_store import load_baseline
    from canaries.clock import SystemClock
    from monitor.canary_flow.baseline_facts import facts_of

    now = SystemClock().now()

    def look(session: "Session") -> "tuple[Baseline, Facts]":
        summary = _find(session, name)
        baseline = load_baseline(session, summary.id)
        return baseline, facts_of(session, summary, baseline, deployment_knowing(summary.target, config), now)

    with existing_database(data) as database:
        baseline, facts = database.read(look)
    if as_json:
        typer.echo(orjson.dumps(facts, option=orjson.OPT_SERIALIZE_NUMPY))
        return
    console = plain_console()
    # Each says one thing of it, and nothing where there is nothing to say.
    for section in (_show_facts, _show_next, _show_scores, _show_guarantee, _show_sensitivity):
        section(console, baseline, facts)


@app.command()
def log(
    target: Annotated[str | None, typer.Argument(help="A target. [default: all]")] = None,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """What happened to baselines, when, by whom and why: begun, frozen, refreshed, refused, renewed, retired.

    Example: anchorwatch baseline log support-bot
    """
    import orjson

    from canaries.baseline_events import events

    with existing_database(data) as database:
        found = database.read(lambda session: events(session, target))
    if as_json:
        typer.echo(orjson.dumps(found))
        return
    console = plain_console()
    for one in found:
        why = f": {one.why}" if one.why else ""
        console.print(f"{_when(one.at)}  {one.baseline_id}  {one.event.value}, by the {one.actor.value}{why}")
    if not found:
        console.print("nothing has happened yet: the daemon's first run begins a baseline")


@app.command()
def freeze(
    name: NameArgument,
    why: WhyOption = "",
    force: Annotated[
        bool, typer.Option("--force", help="Also while an incident of the target is open.")
    ] = False,
    data: DataOption = HERE,
) -> None:
    """Freeze what a target has collected, now. A running daemon compares from its next run on.

    Example: anchorwatch baseline freeze support-bot
    """
    from canaries.clock import SystemClock
    from monitor import store
    from monitor.canary_flow.baseline_life import freeze_by_operator
    from monitor.watched import House

    if force and not why:
        raise MonitorError(f"--force freezes what may be part of an incident: {REASON_NEEDED}")

    def work(session: "Session") -> "Baseline":
        house = House(store.deployment_secret(session))
        return freeze_by_operator(
            session, house, _find(session, name), SystemClock().now(), why, is_forced=force
        )

    with existing_database(data) as database:
        frozen = database.write(work)
    runs = f"{len(frozen.train_ids)} train and {len(frozen.calibration_ids)} calibration runs"
    typer.echo(f"{frozen.id} is frozen: {runs}")


@app.command()
def retire(name: NameArgument, why: WhyOption = "", data: DataOption = HERE) -> None:
    """Put a baseline aside: the target's next run begins to collect a new one.

    Example: anchorwatch baseline retire support-bot
    """
    from canaries.baseline_events import Actor
    from canaries.baseline_store import retire_baseline
    from canaries.clock import SystemClock

    def work(session: "Session") -> str:
        found = _find(session, name)
        retire_baseline(session, found.id, SystemClock().now(), Actor.OPERATOR, why)
        return found.id

    with existing_database(data) as database:
        retired = database.write(work)
    typer.echo(f"{retired} is retired; the next run begins a new one")


@app.command()
def renew(
    name: NameArgument,
    why: Annotated[str, typer.Option("--why", help="What you changed, such as `gpt-5 -> gpt-5.1`.")],
    data: DataOption = HERE,
) -> None:
    """Begin anew after a change that you made yourself: the old baseline is retired, a new one collects.

    Example: anchorwatch baseline renew support-bot --why "gpt-5 -> gpt-5.1"
    """
    from canaries.clock import SystemClock
    from monitor.canary_flow.baseline_life import renew_baseline

    if not why.strip():
        raise MonitorError(f"a baseline is renewed for a change that somebody made: {REASON_NEEDED}")

    def work(session: "Session") -> tuple[str, str]:
        found = _find(session, name)
        return found.id, renew_baseline(session, found, SystemClock().now(), why).id

    with existing_database(data) as database:
        old, new = database.write(work)
    typer.echo(f"{old} is retired; {new} collects from the next run on")


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


def _show_facts(console: "Console", baseline: "Baseline", facts: "Facts") -> None:
    shown: dict[str, Callable[[Any], str]] = {"served_models": ", ".join, "fingerprints": ", ".join}
    for key, value in facts.items():
        if key in _SHOWN_APART or value in (None, ()):
            continue
        text = (
            shown[key](value) if key in shown else _when(value) if isinstance(value, datetime) else str(value)
        )
        console.print(f"{key.replace('_', ' '):<18} {text}")


_SHOWN_APART = (
    "scores",
    "assumptions",
    "sensitivity",
    "checks_that_never_failed",
    "changes",
    "growing",
    "collecting",
    "next_refresh",
    "anchor",
)


def _show_next(console: "Console", baseline: "Baseline", facts: "Facts") -> None:
    """What the baseline waits for, or why nothing is compared with it."""
    collecting, refresh, anchor = facts["collecting"], facts["next_refresh"], facts["anchor"]
    if collecting is not None:
        console.print(_collecting_line(collecting))
    if anchor is not None:
        console.print(f"{'anchor':<18} {anchor['id']}, frozen {_when(anchor['frozen_at'])}")
    for change in facts["growing"]:
        console.print(f"{'taking in':<18} {change}")
    if refresh is not None:
        have = f"{refresh['runs']} of {refresh['runs_needed']} runs for it so far"
        console.print(f"{'next refresh':<18} {_when(refresh['due_at'])} or later; {have}")
    if facts["changes"]:
        console.print("Nothing is compared, as the target is not what this baseline was made of:")
        for change in facts["changes"]:
            console.print(f"  {change}")
        console.print(f'If that is meant: anchorwatch baseline renew {baseline.target} --why "..."')


def _collecting_line(collecting: "dict[str, Any]") -> str:
    missing = collecting["missing_runs"]
    if missing == 0:
        return f"{'collecting':<18} all {collecting['runs_needed']} runs are there"
    until = f", until {_when(collecting['complete_at'])} at this cadence" if collecting["complete_at"] else ""
    return f"{'collecting':<18} {missing} of {collecting['runs_needed']} runs are missing{until}"


def _show_scores(console: "Console", baseline: "Baseline", facts: "Facts") -> None:
    from rich import box
    from rich.table import Column, Table

    if baseline.scores is None:
        return
    sentences = baseline.describe()
    table = Table(
        Column("score", no_wrap=True),
        Column("share", no_wrap=True),
        Column("what it sees", min_width=24),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name, share in facts["scores"].items():
        table.add_row(name, f"{share:.3f}", sentences[name])
    console.print(table)


def _show_guarantee(console: "Console", baseline: "Baseline", facts: "Facts") -> None:
    found = facts["assumptions"]
    if found is None:
        return
    if found.is_in_force:
        console.print("The page budget's guarantee is in force.")
    for reason in found.reasons:
        console.print(f"! {reason}")


def _show_sensitivity(console: "Console", baseline: "Baseline", facts: "Facts") -> None:
    found = facts["sensitivity"]
    if found is not None:
        for sentence in found.sentences():
            console.print(sentence)


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
