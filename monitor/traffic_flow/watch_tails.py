"""From minute windows to the verdicts of shift watches: period by period, each judged once.

The state of a watch, its ledger and what follows for its incident are saved in one transaction, which also moves the
watch on to its next period: whatever interrupts, a period is judged by exactly one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from sqlmodel import Session

import alerts.store as alert_store
from alerts.evidence.control import Block, ControlLedger, observe_block
from alerts.evidence.ledger import Ledger, is_steady, observe, open_ledger
from alerts.finding import Verdict
from alerts.incident import AlertRule, Transition
from alerts.intake import receive

from ..database import Database
from ..drift import Bets, DriftMemory, remember
from ..traffic.tails.baseline import Seen, TailBaseline, collect, fingerprint, open_baseline, passed
from ..traffic.tails.counting import Counted, Tally, count, is_due, minutes_of, shift_of
from ..traffic.watches.config import WatchConfig
from ..traffic.watches.match import matches
from ..traffic.watches.measuring import examples
from ..traffic.windows.window import Window
from ..watched import House
from .tail_ranking import ranking_of
from .tail_store import Comparison, load_comparison, save_comparison
from .tail_verdicts import collecting_verdict, describe, shift_verdict, silent_verdict
from .trace_links import linked
from .watch_traffic import incident_key

PERIODS_A_LOOK = 48
"""How many periods of a watch are made up for at a time: history at its start, or what passed while nothing ran."""


SILENT_MAX = 6
"""After so many periods in a row with too few calls an incident ends: what was rolled back has no calls any more."""


class Windows(Protocol):
    """Where minute windows come from."""

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        """The windows from one minute to another, both included."""


@dataclass(frozen=True, slots=True)
class PeriodCalls:
    """The calls of one period: those of the watch, and of its control; ``examples`` are lines that lead to calls."""

    start_s: int
    mine: Counted
    control: Counted
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TailLook:
    """What looking at a shift watch did: the last thing it said, and the transitions of its incident."""

    watch: WatchConfig
    said: str
    evidence: float
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True)
class BetOn:
    """What betting on a period said, the page evidence after it, and how dispersed the blocks beside a control are."""

    bets: Bets
    evidence: float
    dispersion: float = 1.0


async def look_at_tails(
    database: Database,
    windows: Windows,
    watches: Sequence[WatchConfig],
    shares: Mapping[str, float],
    house: House,
    now: datetime,
) -> list[TailLook]:
    """Judge every period of every shift watch that is over and was not judged yet.

    ``shares`` has each watch's part of the deployment's budgets, by name. Watches with a threshold are passed over.
    """
    looks = []
    for watch in watches:
        if watch.shift is not None:
            looks.extend(await _follow(database, windows, watch, shares[watch.name], house, now))
    return looks


async def _follow(
    database: Database, windows: Windows, watch: WatchConfig, share: float, house: House, now: datetime
) -> list[TailLook]:
    comparison = await database.awrite(lambda session: begin_or_current(session, watch, now))
    looks = []
    for _ in range(PERIODS_A_LOOK):
        start = comparison.baseline.next_s
        if not is_due(start, watch, now.timestamp()):
            break
        calls = _calls_of(watch, start, await windows.windows(*minutes_of(start, watch)))

        def settle(session: Session, calls: PeriodCalls = calls) -> tuple[Comparison, TailLook]:
            return settle_period(session, watch, share, house, calls, now)

        comparison, look = await database.awrite(settle)
        looks.append(look)
    return looks


def begin_or_current(session: Session, watch: WatchConfig, now: datetime) -> Comparison:
    """What the watch compares with; begun anew where the operator asks for another comparison than before."""
    kept = load_comparison(session, watch.name)
    if kept is not None and kept.baseline.fingerprint == fingerprint(watch):
        return kept
    begun = Comparison(open_baseline(watch, now.timestamp()))
    save_comparison(session, watch.name, begun)
    return begun


def settle_period(
    session: Session, watch: WatchConfig, share: float, house: House, calls: PeriodCalls, now: datetime
) -> tuple[Comparison, TailLook]:
    """Collect or judge one period, with everything that follows. A period that was settled already changes nothing.

    ``calls`` are the period's, counted before the transaction begins: reading windows takes a while.
    """
    before = begin_or_current(session, watch, now)
    if before.baseline.next_s != calls.start_s:
        return before, TailLook(watch, "", 0.0)
    after, verdict, said, evidence = _settled(session, watch, share, house, before, calls)
    save_comparison(session, watch.name, after)
    transitions = told(session, watch, verdict, house, now)
    return after, TailLook(watch, said, evidence, transitions)


def told(
    session: Session, watch: WatchConfig, verdict: Verdict, house: House, now: datetime
) -> tuple[Transition, ...]:
    """What becomes of the watch's incident by this verdict, by all that the deployment says of incidents."""
    about = linked(verdict, house.trace_url), rule_of(watch)
    return receive(session, [about], now, house.rollbacks, house.inhibitions, house.routing)


def rule_of(watch: WatchConfig) -> AlertRule:
    """Who hears of the watch's incident; how long it takes is for the evidence to say."""
    return AlertRule(notify=tuple(watch.notify), rollback=watch.rollback)


def _calls_of(watch: WatchConfig, start_s: int, windows: Sequence[Window]) -> PeriodCalls:
    mine = count(watch.measure, watch.match, windows)
    other = shift_of(watch).control
    shown = examples(watch.measure, [one for one in windows if matches(watch.match, one.series)])
    return PeriodCalls(start_s, mine, count(watch.measure, other, windows) if other else Counted(), shown)


def _settled(
    session: Session,
    watch: WatchConfig,
    share: float,
    house: House,
    before: Comparison,
    calls: PeriodCalls,
) -> tuple[Comparison, Verdict, str, float]:
    """The comparison afterwards, the verdict, what to show of it, and the evidence for a page."""
    baseline = before.baseline
    if not baseline.is_ready:
        collected = collect(watch, baseline, calls.mine, calls.control)
        verdict = collecting_verdict(watch, collected)
        return replace(before, baseline=collected), verdict, verdict.note, 0.0
    seen = _seen(watch, baseline, calls)
    after = replace(before, baseline=passed(watch, baseline), silent=0)
    if seen.mine.calls < watch.min_calls or (seen.control and seen.control.calls < watch.min_calls):
        is_lost = before.silent + 1 >= SILENT_MAX
        verdict = silent_verdict(watch, seen, is_lost=is_lost)
        memory = DriftMemory() if is_lost else before.memory
        return replace(after, memory=memory, silent=before.silent + 1), verdict, verdict.note, 0.0
    bet = _bet_on_ranks if shift_of(watch).control is None else _bet_on_control
    found = bet(session, watch, share, house, baseline, seen)
    memory = remember(before.memory, found.bets)
    verdict = shift_verdict(watch, baseline, seen, memory, found.dispersion, calls.examples)
    return replace(after, memory=memory), verdict, describe(watch, baseline, seen), found.evidence


def _seen(watch: WatchConfig, baseline: TailBaseline, calls: PeriodCalls) -> Seen:
    mine = calls.mine.tally(watch.measure, baseline.limit)
    if shift_of(watch).control is None:
        return Seen(calls.start_s, mine)
    return Seen(calls.start_s, mine, calls.control.tally(watch.measure, baseline.limit))


def _bet_on_ranks(
    session: Session, watch: WatchConfig, share: float, house: House, baseline: TailBaseline, seen: Seen
) -> BetOn:
    """Rank the period among the calibration periods of hours that are alike."""
    scope = incident_key(watch)
    ties = {start: house.tie(_run_id(watch, start)) for start, _ in baseline.calibration}
    ranking = ranking_of(watch, baseline, ties, share)
    saved = alert_store.load_ledger(session, scope, baseline.id)
    ledger = Ledger.from_bytes(saved.state, ranking.ranks) if saved else open_ledger(ranking.ranks)
    run_id = _run_id(watch, seen.start_s)
    observation = ranking.observation(seen, run_id, house.tie(run_id))
    step = observe(ranking.ranks, ledger, observation, ranking.weights, house.budgets, ranking.tickets_only)
    alert_store.save_ledger(session, scope, baseline.id, step.ledger.to_bytes(), run_id)
    steady = frozenset(name for name in ranking.weights if is_steady(step.ledger, name))
    bets = Bets(step.alarms, step.beyond, steady, ranking.ranks.calibration_runs())
    return BetOn(bets, max(step.evidence.values(), default=0.0))


def _bet_on_control(
    session: Session, watch: WatchConfig, share: float, house: House, baseline: TailBaseline, seen: Seen
) -> BetOn:
    """Compare the period with the control's calls of the same time."""
    control = seen.control or Tally()
    scope, component = incident_key(watch), watch.measure.value
    saved = alert_store.load_ledger(session, scope, baseline.id)
    ledger = ControlLedger.from_bytes(saved.state) if saved else ControlLedger()
    run_id = _run_id(watch, seen.start_s)
    block = Block(
        run_id,
        _end_of(watch, seen),
        shift_of(watch).every,
        seen.mine.calls,
        seen.mine.hits,
        control.calls,
        control.hits,
    )
    is_ticket = watch.severity == "ticket"
    step = observe_block(ledger, block, component, share, house.budgets, tickets_only=is_ticket)
    alert_store.save_ledger(session, scope, baseline.id, step.ledger.to_bytes(), run_id)
    steady = frozenset({component} if step.ledger.is_steady else ())
    bets = Bets(step.alarms, {component: step.level}, steady)
    return BetOn(bets, step.ledger.evidence(), step.ledger.dispersion)


def _run_id(watch: WatchConfig, start_s: int) -> str:
    return f"{watch.name}@{start_s}"


def _end_of(watch: WatchConfig, seen: Seen) -> datetime:
    return datetime.fromtimestamp(seen.start_s + shift_of(watch).every, UTC)
