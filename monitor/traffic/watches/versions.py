"""Which version of an application is the newest, which was before it, and what the calls of both came to.

The newest version is the one that was seen first the latest. Versions that were there when the watch began are not
told apart by age, and are not compared. The pair to compare is chosen before its period begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import orjson

from ..tails.counting import WATERMARK_S, Counted, count, limit_of, together
from ..windows.series import MINUTE_S
from ..windows.tallies import OTHER_VALUES, Tally
from ..windows.window import Window
from .config import WatchConfig
from .match import matches
from .sections import VERSION, AgainstConfig

VERSIONS_MAX = 50
"""How many versions are remembered; beyond it those without calls for the longest time are forgotten."""

BEFORE = 0
"""When a version was first seen that was there already when the watch began."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A version with the time of its first and its latest calls, in unix seconds."""

    version: str
    first_s: int
    last_s: int


@dataclass(frozen=True, slots=True)
class Release:
    """Two versions to compare. ``limit`` is what the one before seldom exceeds, as far as the measure needs one."""

    newest: str
    previous: str
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """What is known of the versions of a watch: those seen, and the release that is compared, if any.

    ``next_s`` is the start of the first period that was not looked at, ``opened_s`` that of the first of all.
    """

    fingerprint: str
    opened_s: int
    next_s: int
    seen: tuple[Seen, ...] = ()
    release: Release | None = None


def against_of(watch: WatchConfig) -> AgainstConfig:
    """How the watch compares versions. Raises ValueError for one that does not."""
    if watch.against is None:
        raise ValueError(f"the watch {watch.name} compares no versions")
    return watch.against


def fingerprint(watch: WatchConfig) -> str:
    """What is compared: another one means that nothing is known yet."""
    asked = {
        "measure": watch.measure.value,
        "share": watch.share.name if watch.share else None,
        "match": watch.match.model_dump(),
        "against": against_of(watch).model_dump(mode="json", exclude={"importance"}),
    }
    return blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def open_versions(watch: WatchConfig, history: Iterable[Window], now_s: float) -> Versions:
    """What is known at the start, from the windows of ``history``."""
    every = int(against_of(watch).every)
    start = int(now_s // every) * every
    opened = Versions(fingerprint(watch), start, start)
    minutes: dict[str, list[int]] = {}
    for window in history:
        if window.minute < start and matches(watch.match, window.series):
            for version in _calls(watch, window):
                minutes.setdefault(version, []).append(window.minute)
    if not minutes:
        return opened
    # What had calls in the first period of all is as old as can be told.
    earliest = min(min(one) for one in minutes.values()) + every
    seen = [Seen(name, BEFORE if min(at) < earliest else min(at), max(at)) for name, at in minutes.items()]
    return replace(opened, seen=_bounded(seen))


def is_due(versions: Versions, watch: WatchConfig, now_s: float) -> bool:
    """Whether the next period is over, and late calls have had their time."""
    return versions.next_s + against_of(watch).every + WATERMARK_S <= now_s


def minutes_of(versions: Versions, watch: WatchConfig) -> tuple[int, int]:
    """The first and the last minute of the next period."""
    return versions.next_s, versions.next_s + int(against_of(watch).every) - MINUTE_S


def by_version(watch: WatchConfig, windows: Sequence[Window]) -> dict[str, Counted]:
    """The calls of each version, as the measure counts them."""
    if against_of(watch).attribute != VERSION:
        return _by_attribute(watch, windows)
    by_name: dict[str, list[Window]] = {}
    for window in windows:
        if window.series.version:
            by_name.setdefault(window.series.version, []).append(window)
    found = {name: count(watch.measure, watch.match, theirs) for name, theirs in by_name.items()}
    return {name: counted for name, counted in found.items() if counted.calls}


def passed(watch: WatchConfig, versions: Versions, period: Mapping[str, Counted]) -> Versions:
    """What is known after a period with these calls; the release is still the old one, see ``next_release``."""
    start = versions.next_s
    seen = {one.version: one for one in versions.seen}
    for name in period:
        first_s = seen[name].first_s if name in seen else start
        # Before anything was known at all, what comes first is no news.
        seen[name] = Seen(name, first_s if versions.seen else BEFORE, start)
    after = start + int(against_of(watch).every)
    return replace(versions, next_s=after, seen=_bounded(seen.values()))


def next_release(watch: WatchConfig, versions: Versions, period: Mapping[str, Counted]) -> Release | None:
    """The newest version and the one before it, of those that had enough calls in the period; no limit yet.

    A release that is compared stays so until another version comes: after a roll-back it is not over with its calls.
    """
    enough = [
        one
        for one in versions.seen
        if one.version in period and period[one.version].tally(watch.measure, None).calls >= watch.min_calls
    ]
    if not enough:
        return versions.release
    newest = max(enough, key=lambda one: (one.first_s, one.version))
    older = [one for one in enough if one.first_s < newest.first_s]
    if newest.first_s == BEFORE or not older:
        return versions.release
    before = max(older, key=lambda one: (one.first_s, period[one.version].calls, one.version))
    if versions.release and (versions.release.newest, versions.release.previous) == (
        newest.version,
        before.version,
    ):
        return versions.release
    return Release(newest.version, before.version)


def with_limit(watch: WatchConfig, release: Release, history: Sequence[Window]) -> Release:
    """The release with the limit that calls of the version before show in ``history``."""
    calls = by_version(watch, history).get(release.previous, Counted())
    return replace(release, limit=limit_of(watch.measure, [calls]))


def to_plain(versions: Versions) -> dict[str, Any]:
    """The versions as plain data."""
    release = versions.release
    return {
        "fingerprint": versions.fingerprint,
        "opened_s": versions.opened_s,
        "next_s": versions.next_s,
        "seen": [[one.version, one.first_s, one.last_s] for one in versions.seen],
        "release": [release.newest, release.previous, release.limit] if release else None,
    }


def from_plain(data: Mapping[str, Any]) -> Versions:
    """The versions that ``to_plain`` gave."""
    return Versions(
        data["fingerprint"],
        data["opened_s"],
        data["next_s"],
        tuple(Seen(*one) for one in data["seen"]),
        Release(*data["release"]) if data["release"] else None,
    )


def _calls(watch: WatchConfig, window: Window) -> Iterable[str]:
    attribute = against_of(watch).attribute
    if attribute != VERSION:
        return [value for value, tally in _own(window, attribute) if tally.calls > 0]
    return [window.series.version] if window.series.version else []


def _by_attribute(watch: WatchConfig, windows: Sequence[Window]) -> dict[str, Counted]:
    found: dict[str, Counted] = {}
    for window in windows:
        if matches(watch.match, window.series):
            for value, tally in _own(window, against_of(watch).attribute):
                more = Counted(tally.calls, tally.failed)
                found[value] = together(found[value], more) if value in found else more
    return {value: counted for value, counted in found.items() if counted.calls > 0}


def _own(window: Window, attribute: str) -> Iterable[tuple[str, Tally]]:
    """The values with their calls; what is counted together because there are too many is no version."""
    return ((value, tally) for value, tally in window.chosen.of(attribute).items() if value != OTHER_VALUES)


def _bounded(seen: Iterable[Seen]) -> tuple[Seen, ...]:
    latest = sorted(seen, key=lambda one: (one.last_s, one.version), reverse=True)[:VERSIONS_MAX]
    return tuple(sorted(latest, key=lambda one: (one.first_s, one.version)))
