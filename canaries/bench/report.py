"""The figures of a bench: a row for each, side by side, and which difference is real."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

import numpy as np

from .measured import Measured
from .statistics import (
    PERMUTATIONS,
    Groups,
    Interval,
    Permutations,
    Statistic,
    agreement_statistic,
    by_difference,
    by_ratio,
    difference_of,
    mean_of,
    mean_statistic,
    quantile_n_min,
    quantile_of,
    quantile_statistic,
    ratio_of,
    share_of,
)
from .statistics import holm as holm_adjusted

ALPHA = 0.05
"""How often any difference at all may be called real where the targets are alike."""


class Kind(StrEnum):
    """What kind of figure a row has: a quantile or a mean of some values, a share, how often answers agree."""

    QUANTILE = "quantile"
    MEAN = "mean"
    SHARE = "share"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the table. ``read`` gives the value of a request, ``None`` where it has none."""

    name: str
    unit: str
    kind: Kind
    read: Callable[[Measured], float | None]
    less_is_better: bool = True
    q: float = 0.5
    of_long: bool = False

    @property
    def is_ratio(self) -> bool:
        """Whether its figures are compared by a factor."""
        return self.kind in (Kind.QUANTILE, Kind.MEAN)

    @property
    def statistic(self) -> Statistic:
        """The figure, of permuted values."""
        if self.kind is Kind.QUANTILE:
            return quantile_statistic(self.q)
        return agreement_statistic if self.kind is Kind.AGREEMENT else mean_statistic

    @property
    def n_min(self) -> int:
        """How many values of each side a difference is told from."""
        return quantile_n_min(self.q) if self.kind is Kind.QUANTILE else 2


def _failed(one: Measured) -> float:
    return float(not one.is_answered)


def _broken(one: Measured) -> float | None:
    return None if one.breaks is None else float(bool(one.breaks))


def _cost_of_thousand(one: Measured) -> float | None:
    return None if one.cost_usd is None else 1_000 * one.cost_usd


def _text_number(one: Measured) -> float | None:
    """A number that stands for the answer's text: 52 bits of its hash, which a float holds exactly."""
    return float(int.from_bytes(one.answer[:8]) >> 12) if one.is_answered else None


MEASURES = (
    *(
        Measure(f"latency p{q:g}", "s", Kind.QUANTILE, lambda one: one.latency_s, q=q / 100)
        for q in (50, 95, 99)
    ),
    *(
        Measure(f"first token p{q:g}", "s", Kind.QUANTILE, lambda one: one.ttft_s, q=q / 100)
        for q in (50, 95, 99)
    ),
    Measure("tokens/s p50", "1/s", Kind.QUANTILE, lambda one: one.tokens_per_s, less_is_better=False),
    Measure("cost of 1,000 answers", "$", Kind.MEAN, _cost_of_thousand),
    Measure("failed requests", "%", Kind.SHARE, _failed),
    Measure("broken expectations", "%", Kind.SHARE, _broken),
    Measure("two answers agree", "%", Kind.AGREEMENT, _text_number, less_is_better=False),
    *(
        Measure(
            f"long prompts: latency p{q:g}",
            "s",
            Kind.QUANTILE,
            lambda one: one.latency_s,
            q=q / 100,
            of_long=True,
        )
        for q in (50, 95)
    ),
    Measure("long prompts: first token p50", "s", Kind.QUANTILE, lambda one: one.ttft_s, of_long=True),
    Measure("long prompts: failed", "%", Kind.SHARE, _failed, of_long=True),
)
"""The rows, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two targets in one row: the first's figure divided by the second's, or minus it, and the adjusted p-value.

    ``is_real`` says that such a difference comes by chance in any row at most once in twenty benches.
    """

    first: str
    second: str
    is_ratio: bool
    effect: Interval
    p_value: float
    p_value_alone: float

    @property
    def is_real(self) -> bool:
        """Whether chance hardly makes it."""
        return self.p_value <= ALPHA


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of all targets. ``leader`` has the best figure; it wins when its lead over every other is real."""

    measure: Measure
    figures: Mapping[str, Interval]
    counts: Mapping[str, int]
    leader: str | None = None
    differences: tuple[Difference, ...] = ()
    too_few: bool = False

    @property
    def winner(self) -> str | None:
        """The target whose lead over every other is real."""
        against = [one for one in self.differences if self.leader in (one.first, one.second)]
        is_sure = len(against) == len(self.figures) - 1 and all(one.is_real for one in against)
        return self.leader if against and is_sure else None


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is told of one target besides the rows.

    ``unique_answers`` are the different texts to a prompt, and the answers they are among, as means over the prompts.
    ``answers_per_s`` counts the time in which requests were under way.
    """

    requests: int
    answered: int
    errors: Mapping[str, int]
    broken: Mapping[str, int]
    unique_answers: tuple[float, float] | None
    same_always: int
    prompts: int
    long_input_tokens: float | None
    cost_usd: float | None
    answers_per_s: float | None
    late_p50_s: float
    late_max_s: float


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What a bench found."""

    targets: Mapping[str, TargetFacts]
    rows: tuple[Row, ...]


def report(found: Sequence[Measured], targets: Sequence[str], seed: int = 0) -> BenchReport:
    """The figures of the targets, and the differences between them. The same seed gives the same figures."""
    rng = np.random.default_rng(seed)
    by_target = {name: [one for one in found if one.target == name] for name in targets}
    rows = [row for measure in MEASURES if (row := _row(measure, by_target, rng)) is not None]
    return BenchReport({name: _facts(ones) for name, ones in by_target.items()}, tuple(_adjusted(rows)))


def _row(
    measure: Measure, by_target: Mapping[str, Sequence[Measured]], rng: np.random.Generator
) -> Row | None:
    values = {name: _values(measure, ones) for name, ones in by_target.items()}
    known = {name: ones for name, ones in values.items() if ones}
    if not known:
        return None
    figures = {name: _figure(measure, ones, rng) for name, ones in known.items()}
    counts = {name: len(ones) for name, ones in known.items()}
    if len(figures) < 2:
        return Row(measure, figures, counts)
    best = (min if measure.less_is_better else max)(figures, key=lambda name: figures[name].value)
    is_tie = all(one.value == figures[best].value for one in figures.values())
    if min(counts.values()) < measure.n_min:
        return Row(measure, figures, counts, None if is_tie else best, too_few=True)
    pairs = tuple(
        _difference(measure, (a, known[a], figures[a]), (b, known[b], figures[b]), rng)
        for a, b in combinations(known, 2)
    )
    return Row(measure, figures, counts, None if is_tie else best, pairs)


def _values(measure: Measure, ones: Sequence[Measured]) -> list[tuple[str, float]]:
    return [
        (one.canary, value)
        for one in ones
        if one.is_long is measure.of_long and (value := measure.read(one)) is not None
    ]


def _figure(measure: Measure, values: Sequence[tuple[str, float]], rng: np.random.Generator) -> Interval:
    numbers = [value for _, value in values]
    if measure.kind is Kind.QUANTILE:
        return quantile_of(numbers, measure.q)
    if measure.kind is Kind.SHARE:
        return share_of(round(sum(numbers)), len(numbers))
    if measure.kind is Kind.MEAN:
        return mean_of(numbers, rng)
    by_prompt = [np.array([[v for name, v in values if name == prompt]]) for prompt in dict(values)]
    agreed = [float(agreement_statistic([one])[0]) for one in by_prompt if one.shape[1] > 1]
    # Prompts are what varies here, so they are what is drawn again.
    return mean_of(agreed, rng) if agreed else Interval(math.nan)


_Side = tuple[str, Sequence[tuple[str, float]], Interval]


def _difference(measure: Measure, first: _Side, second: _Side, rng: np.random.Generator) -> Difference:
    groups = Groups.of(first[1], second[1])
    apart = (by_ratio if measure.is_ratio else by_difference)(measure.statistic)
    p_value = Permutations(groups, PERMUTATIONS, rng).p_value(groups, apart)
    effect = (
        ratio_of(groups, measure.statistic, rng) if measure.is_ratio else difference_of(first[2], second[2])
    )
    return Difference(first[0], second[0], measure.is_ratio, effect, p_value, p_value)


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    """The rows with p-values that are adjusted for there being so many rows and pairs."""
    adjusted = iter(holm_adjusted([one.p_value_alone for row in rows for one in row.differences]))
    return [
        replace(row, differences=tuple(replace(one, p_value=next(adjusted)) for one in row.differences))
        for row in rows
    ]


def _facts(ones: Sequence[Measured]) -> TargetFacts:
    answered = [one for one in ones if one.is_answered]
    texts: dict[str, list[bytes]] = {}
    for one in answered:
        if not one.is_long:
            texts.setdefault(one.canary, []).append(one.answer)
    several = [answers for answers in texts.values() if len(answers) > 1]
    costs = [one.cost_usd for one in answered if one.cost_usd is not None]
    long_tokens = [one.input_tokens for one in answered if one.is_long and one.input_tokens is not None]
    late = sorted(one.queued_s for one in ones)
    return TargetFacts(
        requests=len(ones),
        answered=len(answered),
        errors=Counter(one.outcome.value for one in ones if not one.is_answered),
        broken=Counter(name for one in answered for name in one.breaks or ()),
        unique_answers=(
            float(np.mean([len(set(answers)) for answers in several])),
            float(np.mean([len(answers) for answers in several])),
        )
        if several
        else None,
        same_always=sum(len(set(answers)) == 1 for answers in several),
        prompts=len(several),
        long_input_tokens=float(np.mean(long_tokens)) if long_tokens else None,
        cost_usd=sum(costs) if costs else None,
        answers_per_s=_answers_per_s(answered),
        late_p50_s=late[len(late) // 2] if late else 0.0,
        late_max_s=late[-1] if late else 0.0,
    )


def _answers_per_s(answered: Sequence[Measured]) -> float | None:
    """Answers by the time in which one was waited for: pauses, as between two sittings, do not count."""
    waits = sorted(
        (one.at.timestamp(), one.at.timestamp() + one.latency_s - one.queued_s)
        for one in answered
        if one.at is not None and one.latency_s is not None
    )
    busy_s, until = 0.0, -math.inf
    for begin, end in waits:
        busy_s += max(0.0, end - max(begin, until))
        until = max(until, end)
    return len(waits) / busy_s if busy_s > 0 else None
