"""The stored windows of production traffic, added up to what an audit looks at."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session

from ..traffic import store as traffic_store
from ..traffic.roll_ups import Resolution, parts
from ..traffic.watches.config import WatchConfig
from ..traffic.watches.long_looks import Spent, sums_of
from ..traffic.watches.match import matches
from ..traffic.windows.counted import counted_in
from ..traffic.windows.series import OVERFLOW, Series
from ..traffic.windows.window import plain_of, window_from_json
from .facts import DAY_S, HOUR_S, Span, days_before
from .tally import Counting, Tally, tally_of_window

SERVICES_MAX = 200
"""How many services, each in each environment, are audited by themselves: those with the most windows."""

MODELS_MAX = 500
"""How many model versions are told apart."""

KNOWN_S = 400 * DAY_S
"""So far back it is looked when a model was first seen."""

_BUDGET_KEYS = (
    "calls",
    "cost_bases",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "chosen",
    "ambiguous_nano",
)

_TOLD_EVERY, _NANO = 1_000, 1_000_000_000

Progress = Callable[[int], None]
"""Told how many windows were read."""

ServiceKey = tuple[str, str]
"""A service and its environment."""

ModelKey = tuple[str, str]
"""The provider, and the model that answered, or the one asked for where that is not told."""

OVERFLOW_KEY = ("", OVERFLOW.service)
"""Where calls are that belong to no series of their own."""

Tallies = dict[ServiceKey, dict[int, Tally]]


@dataclass(slots=True)
class ModelSums:
    """What is known of a model: its calls in the period and on the days before, and who uses it in the period."""

    now: Tally = field(default_factory=Tally)
    days: Tally = field(default_factory=Tally)
    services: set[str] = field(default_factory=set)
    asked_as: set[str] = field(default_factory=set)
    first_s: int | None = None
    last_s: int | None = None

    def seen(self, first_s: int, last_s: int) -> None:
        """Take note of when it had calls."""
        self.first_s = first_s if self.first_s is None else min(self.first_s, first_s)
        self.last_s = last_s if self.last_s is None else max(self.last_s, last_s)


@dataclass(slots=True)
class TrafficSums:
    """All that an audit looks at of production traffic; ``left_out`` services are too many to be told apart."""

    now: Tallies = field(default_factory=dict)
    previous: Tallies = field(default_factory=dict)
    days: Tallies = field(default_factory=dict)
    models: dict[ModelKey, ModelSums] = field(default_factory=dict)
    left_out: int = 0
    overflow: int = 0
    """Calls of the period that are counted in no series of their own."""


def model_key(series: Series) -> ModelKey:
    """The model that the calls of a series went to."""
    if series == OVERFLOW:
        return OVERFLOW_KEY
    return series.provider, series.response_model or series.request_model


_BY_SERVICE, _BY_MODEL = range(2)


class _Places:
    """Numbers for where windows are counted: each is of a model, and of a service if that one is told apart."""

    def __init__(self, services: Iterable[ServiceKey], models: Iterable[ModelKey]) -> None:
        self.services, self.models = list(services), [*models, OVERFLOW_KEY]
        self.service_of: list[int] = []
        self.model_of: list[int] = []
        self._services = {key: number for number, key in enumerate(self.services)}
        self._models = {key: number for number, key in enumerate(self.models)}
        self._places: dict[tuple[int, int], int] = {}
        self._of: dict[Series, int] = {}

    def of(self, series: Series) -> int:
        """The number of the place of a series."""
        place = self._of.get(series)
        if place is None:
            service = self._services.get((series.service, series.environment), _NOWHERE)
            model = self._models.get(model_key(series), _NOWHERE)
            place = self._of[series] = self._places.setdefault((service, model), len(self._places))
            if place == len(self.service_of):
                self.service_of.append(service)
                self.model_of.append(model)
        return place


_NOWHERE = -1
"""Stands for the services and models that are not told apart."""


def read_traffic(session: Session, span: Span, progress: Progress = lambda windows: None) -> TrafficSums:
    """What the stored windows add up to, in the period, the one before, and on the days before."""
    found = TrafficSums()
    before, days = span.before(), days_before(span)
    _know_models(session, found, span.end)
    places = _Places(_services(session, found, (span, before)), found.models)
    for piece, whole in ((span, found.now), (before, found.previous), (days, found.days)):
        for block, counting in _counted(session, piece, places, progress):
            for service, tally in counting.tallies(_BY_SERVICE).items():
                whole.setdefault(places.services[service], {})[block] = tally
            if piece is span:
                _count_now(found, places, counting)
            elif piece is days:
                for model, tally in counting.tallies(_BY_MODEL).items():
                    if (key := places.models[model]) != OVERFLOW_KEY:
                        found.models[key].days.merge(tally)
    return found


def _count_now(found: TrafficSums, places: _Places, counting: Counting) -> None:
    for model, tally in counting.tallies(_BY_MODEL).items():
        if (key := places.models[model]) == OVERFLOW_KEY:
            found.overflow += tally.calls
        else:
            found.models[key].now.merge(tally)
    for place in counting.places:
        model, service = places.model_of[place], places.service_of[place]
        if _NOWHERE not in (model, service) and (sums := found.models.get(places.models[model])):
            sums.services.add(places.services[service][0])


def _counted(
    session: Session, span: Span, places: _Places, progress: Progress
) -> Iterator[tuple[int, Counting]]:
    """What was counted in each block of a span: one after the other, so that only one of them takes memory."""
    read = itertools.count(1)
    for block in span.blocks():
        counting = Counting(places.service_of, places.model_of)
        piece = Span(max(block, span.first), min(block + span.block_s, span.end), span.block_s)
        for _, series, body in _windows(session, piece):
            if next(read) % _TOLD_EVERY == 0:
                progress(_TOLD_EVERY)
            counting.count(places.of(series), counted_in(body))
        yield block, counting


def read_spending(
    session: Session, watches: Sequence[tuple[WatchConfig, int]], end: int, progress: Progress
) -> list[Spent]:
    """What each watch with a budget has spent from its first minute to before ``end``."""
    found: list[Spent] = [Spent() for _ in watches]
    mine: dict[Series, list[tuple[int, Spent, WatchConfig]]] = {}
    first = min((since for _, since in watches), default=end)
    for number, (start, series, body) in enumerate(_windows(session, Span(first, end, DAY_S)), 1):
        if number % _TOLD_EVERY == 0:
            progress(_TOLD_EVERY)
        if series not in mine:
            mine[series] = [
                (since, spent, watch)
                for (watch, since), spent in zip(watches, found, strict=True)
                if matches(watch.match, series)
            ]
        now = [(spent, watch) for since, spent, watch in mine[series] if start >= since]
        if any(_is_split(watch) for _, watch in now):
            window = plain_of(body)
            counted = window_from_json(
                start, series, {key: window[key] for key in _BUDGET_KEYS if key in window}
            )
            for spent, watch in now:
                added = sums_of(watch, [counted], by_hour=True)
                if isinstance(added, Spent):
                    spent.merge(added)
        elif now:
            tally = tally_of_window(counted_in(body))
            for spent, watch in now:
                _spend(spent, watch, tally)
    return found


def _is_split(watch: WatchConfig) -> bool:
    """Whether a budget is of each value of an attribute."""
    return watch.budget is not None and watch.budget.per is not None


def _spend(spent: Spent, watch: WatchConfig, tally: Tally) -> None:
    """What ``sums_of`` adds for a budget of all calls together, without a window to be made for it."""
    spent.calls += tally.calls
    if watch.budget is not None and watch.budget.usd:
        unsure = tally.unsure_nano / _NANO
        spent.unsure += unsure
        spent.unpriced += tally.unpriced
        spent.add("", tally.cost_usd - unsure)
    else:
        spent.add("", tally.input_tokens + tally.output_tokens)


def _windows(session: Session, span: Span) -> Iterator[tuple[int, Series, bytes]]:
    """The windows of a span, each part of it by the longest there are that lie within one block."""
    coarsest = Resolution.DAY if span.block_s >= DAY_S else Resolution.HOUR
    if span.block_s < HOUR_S:
        coarsest = Resolution.MINUTE
    for part in parts(span.first, span.end, traffic_store.rolled(session), coarsest):
        yield from traffic_store.scan(session, part.resolution, part.first, part.end)


def _services(session: Session, found: TrafficSums, spans: Sequence[Span]) -> frozenset[ServiceKey]:
    """The services that are told apart: those that had the most windows."""
    windows: dict[ServiceKey, int] = defaultdict(int)
    rolled = traffic_store.rolled(session)
    for span in spans:
        for part in parts(span.first, span.end, rolled, Resolution.HOUR):
            seen = traffic_store.series_seen(session, part.resolution, part.first, part.end)
            for series, (_, _, count) in seen.items():
                if series != OVERFLOW:
                    windows[series.service, series.environment] += count
    most = sorted(windows, key=lambda key: (-windows[key], key))
    found.left_out = max(0, len(most) - SERVICES_MAX)
    return frozenset(most[:SERVICES_MAX])


def _know_models(session: Session, found: TrafficSums, end: int) -> None:
    """Every model with calls: when it was seen, to the day, hour or minute that is kept of then."""
    for part in parts(max(0, end - KNOWN_S), end, traffic_store.rolled(session)):
        seen = traffic_store.series_seen(session, part.resolution, part.first, part.end)
        for series, (first_s, last_s, _) in seen.items():
            if series == OVERFLOW:
                continue
            key = model_key(series)
            if key not in found.models and len(found.models) >= MODELS_MAX:
                continue
            model = found.models.setdefault(key, ModelSums())
            model.seen(first_s, last_s + int(part.resolution))
            if series.request_model:
                model.asked_as.add(series.request_model)
