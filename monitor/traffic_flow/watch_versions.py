"""From minute windows to the verdicts of watches over releases: the newest version beside the one before it.

As of shift watches, the state, the ledger and what follows for the incident are saved in one transaction, which also
moves the watch on to its next period. One ledger goes on from release to release: which pair a period compares is
known before it begins, so that every bet is fair, and looking at it every minute costs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson
from sqlmodel import Session

import alerts.store as alert_store
from alerts.evidence.bets import Side
from alerts.evidence.control import Block, ControlLedger, observe_block
from alerts.finding import Finding, Label, Severity, Source, Verdict

from ..database import Database
from ..drift import Bets, DriftMemory, remember
from ..tables import TailRow
from ..traffic.tails.counting import Counted, Tally
from ..traffic.watches.config import WatchConfig
from ..traffic.watches.match import matches
from ..traffic.watches.measures import Kind, show
from ..traffic.watches.measuring import examples
from ..traffic.watches.versions import (
    Release,
    Versions,
    against_of,
    by_version,
    fingerprint,
    from_plain,
    is_due,
    minutes_of,
    next_release,
    open_versions,
    passed,
    to_plain,
    with_limit,
)
from ..watched import House
from .long_history import Windows
from .tail_verdicts import beyond
from .watch_tails import PERIODS_A_LOOK, SILENT_MAX, TailLook, told
from .watch_traffic import incident_key, labels_of

QUIET_MAX_S = 7 * 86_400.0
"""For how long without a release the ledger goes on to be paid: longer, and it would page on next to nothing."""


@dataclass(frozen=True, slots=True)
class Comparing:
    """What a watch over releases keeps between periods, beside its ledger."""

    versions: Versions
    memory: DriftMemory = field(default_factory=DriftMemory)


@dataclass(frozen=True, slots=True)
class Period:
    """The calls of one period by version, and the release to compare from the next one on, with its limit.

    ``examples`` are lines that lead to calls of the newest version.
    """

    start_s: int
    calls: Mapping[str, Counted]
    release: Release | None
    examples: tuple[tuple[str, str], ...] = ()


async def look_at_versions(
    database: Database,
    windows: Windows,
    watches: Sequence[WatchConfig],
    shares: Mapping[str, float],
    house: House,
    now: datetime,
) -> list[TailLook]:
    """Judge every period that is over and was not judged yet, of every watch that compares versions."""
    looks = []
    for watch in watches:
        if watch.against is not None:
            looks.extend(await _follow(database, windows, watch, shares[watch.name], house, now))
    return looks


async def _follow(
    database: Database, windows: Windows, watch: WatchConfig, share: float, house: House, now: datetime
) -> list[TailLook]:
    kept = await database.aread(lambda session: load_comparing(session, watch))
    comparing = kept or await _begin(database, windows, watch, now)
    looks = []
    for _ in range(PERIODS_A_LOOK):
        if not is_due(comparing.versions, watch, now.timestamp()):
            break
        period = await _read(windows, watch, comparing.versions)

        def settle(session: Session, period: Period = period) -> tuple[Comparing, TailLook]:
            return settle_period(session, watch, share, house, period, now)

        comparing, look = await database.awrite(settle)
        looks.append(look)
    return looks


async def _begin(database: Database, windows: Windows, watch: WatchConfig, now: datetime) -> Comparing:
    last = int(now.timestamp())
    history = await windows.windows(last - int(against_of(watch).history), last)
    comparing = Comparing(open_versions(watch, history, now.timestamp()))
    await database.awrite(lambda session: save_comparing(session, watch, comparing))
    return comparing


async def _read(windows: Windows, watch: WatchConfig, versions: Versions) -> Period:
    first, last = minutes_of(versions, watch)
    found = await windows.windows(first, last)
    calls = by_version(watch, found)
    release = next_release(watch, passed(watch, versions, calls), calls)
    if release is not None and release != versions.release and watch.measure.kind is Kind.QUANTILE:
        history = await windows.windows(last - int(against_of(watch).history), last)
        release = with_limit(watch, release, history)
    newest = versions.release.newest if versions.release else ""
    theirs = [one for one in found if one.series.version == newest and matches(watch.match, one.series)]
    return Period(first, calls, release, examples(watch.measure, theirs))


def settle_period(
    session: Session, watch: WatchConfig, share: float, house: House, period: Period, now: datetime
) -> tuple[Comparing, TailLook]:
    """Judge one period, with everything that follows. A period that was settled already changes nothing."""
    before = load_comparing(session, watch)
    if before is None:
        raise ValueError(f"the watch {watch.name} was not begun")
    if before.versions.next_s != period.start_s:
        return before, TailLook(watch, "", 0.0)
    memory, verdict, said, evidence = _judged(session, watch, share, house, before, period)
    is_other = period.release != before.versions.release
    versions = replace(passed(watch, before.versions, period.calls), release=period.release)
    # What an earlier release did is over when the next one is compared.
    after = Comparing(versions, DriftMemory() if is_other else memory)
    save_comparing(session, watch, after)
    transitions = told(session, watch, verdict, house, now)
    return after, TailLook(watch, said, evidence, transitions)


def load_comparing(session: Session, watch: WatchConfig) -> Comparing | None:
    """What was last kept of the watch, when it was of the same comparison."""
    row = session.get(TailRow, watch.name)
    document = orjson.loads(row.document) if row else {}
    kept = document.get("versions")
    if kept is None or kept["fingerprint"] != fingerprint(watch):
        return None
    return Comparing(from_plain(kept), DriftMemory.from_json(document["memory"]))


def save_comparing(session: Session, watch: WatchConfig, comparing: Comparing) -> None:
    """Keep this of the watch, in place of what was there."""
    document = {"versions": to_plain(comparing.versions), "memory": comparing.memory.to_json()}
    session.merge(
        TailRow(
            watch=watch.name,
            baseline_id=_ledger_id(comparing.versions),
            document=orjson.dumps(document).decode(),
        )
    )


def _ledger_id(versions: Versions) -> str:
    return f"versions-{versions.opened_s}-{versions.fingerprint}"


def _judged(
    session: Session, watch: WatchConfig, share: float, house: House, before: Comparing, period: Period
) -> tuple[DriftMemory, Verdict, str, float]:
    """The memory afterwards, the verdict, what to show of it, and the evidence for a page."""
    release, key = before.versions.release, incident_key(watch)
    if release is None:
        said = _nothing_new(before.versions, period.calls)
        return before.memory, Verdict(key, Label.STEADY, note=said), said, 0.0
    mine, theirs = (
        period.calls.get(name, Counted()).tally(watch.measure, release.limit)
        for name in (release.newest, release.previous)
    )
    if min(mine.calls, theirs.calls) < watch.min_calls:
        said = (
            f"{mine.calls} calls of {release.newest} and {theirs.calls} of {release.previous} in the same time, "
            f"{watch.min_calls} of each are needed"
        )
        # One of them has gone: what is known of their difference is over with it. The newer one goes when it is rolled
        # back; the older one may come again for a while.
        is_over = not mine.calls or _is_gone(
            release.previous, before.versions, every_s=against_of(watch).every
        )
        memory = DriftMemory() if is_over else before.memory
        return memory, Verdict(key, Label.STEADY if is_over else Label.NO_DATA, note=said), said, 0.0
    bets, evidence = _bet(session, watch, share, house, before.versions, (mine, theirs))
    memory, said = remember(before.memory, bets), _describe(watch, release, mine, theirs)
    return memory, _verdict(watch, release, (mine, theirs), memory, period.examples), said, evidence


def _is_gone(version: str, versions: Versions, every_s: float) -> bool:
    last_s = next((one.last_s for one in versions.seen if one.version == version), 0)
    return versions.next_s - last_s > SILENT_MAX * every_s


def _bet(
    session: Session,
    watch: WatchConfig,
    share: float,
    house: House,
    versions: Versions,
    tallies: tuple[Tally, Tally],
) -> tuple[Bets, float]:
    scope, ledger_id, every = incident_key(watch), _ledger_id(versions), int(against_of(watch).every)
    saved = alert_store.load_ledger(session, scope, ledger_id)
    ledger = ControlLedger.from_bytes(saved.state) if saved else ControlLedger()
    since = versions.opened_s if ledger.at is None else ledger.at
    block = block_of(watch.name, versions.next_s, every, since, tallies)
    component, is_ticket = watch.measure.value, watch.severity == "ticket"
    step = observe_block(ledger, block, component, share, house.budgets, tickets_only=is_ticket)
    alert_store.save_ledger(session, scope, ledger_id, step.ledger.to_bytes(), block.id)
    # A release that does better is no alarm.
    alarms = tuple(one for one in step.alarms if one.side is worse_side(watch))
    steady = frozenset({component} if step.ledger.is_steady else ())
    return Bets(alarms, {component: step.level}, steady), step.ledger.evidence()


def block_of(watch: str, start_s: int, every_s: int, since_s: float, tallies: tuple[Tally, Tally]) -> Block:
    """The calls of a period as the ledger takes them: of the newest version, and of the one before."""
    mine, theirs = tallies
    end_s = start_s + every_s
    return Block(
        f"{watch}@{start_s}",
        datetime.fromtimestamp(end_s, UTC),
        # The budget flows while there is nothing to compare, too.
        max(float(every_s), min(end_s - since_s, QUIET_MAX_S)),
        mine.calls,
        mine.hits,
        theirs.calls,
        theirs.hits,
    )


def worse_side(watch: WatchConfig) -> Side:
    """On which side of the version before a release is worse: of speed, more is better."""
    return Side.LOW if watch.measure.histogram == "tokens_per_s" else Side.HIGH


def _verdict(
    watch: WatchConfig,
    release: Release,
    tallies: tuple[Tally, Tally],
    memory: DriftMemory,
    shown: tuple[tuple[str, str], ...],
) -> Verdict:
    mine, theirs = tallies
    key, sentence = incident_key(watch), _describe(watch, release, mine, theirs)
    if not memory.drifting:
        return Verdict(key, Label.STEADY, note=sentence)
    drifting = max(memory.drifting.values(), key=lambda one: (one.severity, one.evidence))
    finding = Finding(
        severity=Severity(drifting.severity),
        source=Source.WATCH,
        summary=f"{watch.name}: {release.newest} does worse than {release.previous}: {sentence}",
        labels={"watch": watch.name, "version": release.newest, **labels_of(watch)},
        evidence=(
            (release.newest, f"{mine.hits} of {mine.calls} calls"),
            (release.previous, f"{theirs.hits} of {theirs.calls} calls, in the same time"),
            *((("limit", show(release.limit, watch.measure.unit)),) if release.limit is not None else ()),
            *shown,
        ),
    )
    return Verdict(key, Label.BREACHED, finding, wants_rollback=memory.wants_rollback)


def _describe(watch: WatchConfig, release: Release, mine: Tally, theirs: Tally) -> str:
    return (
        f"{_percent(mine)} of {mine.calls} {watch.measure.calls} of {release.newest} {_what(watch, release)}, "
        f"{_percent(theirs)} of {theirs.calls} of {release.previous} in the same time"
    )


def _what(watch: WatchConfig, release: Release) -> str:
    if release.limit is None:
        return watch.measure.hits
    quantile = (watch.measure.quantile or 0.0) * 100
    return f"{beyond(watch.measure, release.limit)} (p{quantile:.0f} of {release.previous})"


def _nothing_new(versions: Versions, calls: Mapping[str, Counted]) -> str:
    now = ", ".join(sorted(calls)[:3]) or "no version"
    known = len(versions.seen)
    return f"no newer version beside an older one yet: calls of {now} now, {known} known"


def _percent(tally: Tally) -> str:
    return f"{tally.share * 100:.3g} %"
