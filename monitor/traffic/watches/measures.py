"""What watches measure, by name: ``latency_p95``, ``tokens_per_s_mean``, ``rate_limit_share``, ``calls_per_minute``.

A name is a quantity of calls and a statistic of it, or stands for itself; ``MEASURES`` has them all.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from ..calls import CostBasis, ErrorClass, FinishReason
from ..windows.window import Window

_THOUSANDS = {"k": 1e3, "M": 1e6}


class Unit(StrEnum):
    """What a threshold is counted in."""

    SECONDS = "seconds"
    SHARE = "share"
    DOLLARS = "dollars"
    TOKENS = "tokens"
    TOKENS_PER_S = "tokens per second"
    CALLS_PER_MINUTE = "calls per minute"
    TOKENS_PER_MINUTE = "tokens per minute"
    ATTEMPTS = "attempts per call"
    BURN = "times the allowed rate"
    VALUES = "values"


class Kind(StrEnum):
    """How a measure comes from its calls, and so how sure it can be."""

    QUANTILE = "quantile"
    MEAN = "mean"
    SHARE = "share"
    """Of calls."""
    TOKEN_SHARE = "token share"  # noqa: S105 - tokens of language models
    RATE = "rate"
    ATTEMPTS = "attempts"


Counts = Callable[[Window], tuple[int, int]]
"""Of a window: how many calls are hits, and how many there are to judge."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a watch looks at.

    ``histogram`` names the field of a window that a quantile or a mean is of, ``counts`` gives what a share is of.
    Latency is of answered calls and timeouts, cost of calls with a known price.
    """

    value: str
    kind: Kind
    unit: Unit
    histogram: str = ""
    quantile: float | None = None
    counts: Counts | None = None
    calls_are: str = "calls"

    LATENCY_P95: ClassVar["Measure"]
    TTFT_P95: ClassVar["Measure"]
    COST_P95: ClassVar["Measure"]
    COST_PER_CALL: ClassVar["Measure"]
    ERROR_SHARE: ClassVar["Measure"]
    VALIDATOR_FAILURES: ClassVar["Measure"]

    @property
    def is_share(self) -> bool:
        """Whether the measure is the share of calls that are hits in some way, which needs no limit."""
        return self.kind is Kind.SHARE

    @property
    def calls(self) -> str:
        """What the calls are called that the measure is of."""
        return _CALLS.get(self.value, self.calls_are)

    @property
    def hits(self) -> str:
        """What the calls do that a share counts, as a verb."""
        return _HITS.get(self.value, "match its filter" if self.value == SHARE else self.value)


SHARE = "share"
"""The name of the measure that an operator's own filters make."""

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

MEAN = "mean"


def _of_reason(reason: FinishReason) -> Counts:
    # Of the calls that tell why they stopped: one that does not is not known to be whole.
    return lambda window: (window.finish_reasons.get(reason, 0), sum(window.finish_reasons.values()))


def _of_error(error_class: ErrorClass) -> Counts:
    return lambda window: (window.errors.get(error_class, 0), window.calls)


def _priced(window: Window) -> tuple[int, int]:
    return window.cost_bases.get(CostBasis.UNPRICED, 0), sum(window.cost_bases.values())


_QUANTITIES = {
    "latency": ("latency_s", Unit.SECONDS),
    "ttft": ("ttft_s", Unit.SECONDS),
    "cost": ("cost_usd", Unit.DOLLARS),
    "input_tokens": ("input_tokens", Unit.TOKENS),
    "output_tokens": ("output_tokens", Unit.TOKENS),
    "tokens_per_s": ("tokens_per_s", Unit.TOKENS_PER_S),
}

_SHARES: Mapping[str, Counts] = {
    "error_share": lambda window: (window.failed, window.calls),
    **{f"{one.value}_share": _of_error(one) for one in ErrorClass if one is not ErrorClass.OTHER},
    "other_error_share": _of_error(ErrorClass.OTHER),
    "truncated_share": _of_reason(FinishReason.LENGTH),
    "content_filter_share": _of_reason(FinishReason.CONTENT_FILTER),
    "unpriced_share": _priced,
    "validator_failures": lambda window: (window.unsound, window.checked),
}

_CALLS = {
    "validator_failures": "checked calls",
    "truncated_share": "calls that tell why they stopped",
    "content_filter_share": "calls that tell why they stopped",
    "unpriced_share": "calls that should have a cost",
}

_HITS = {
    "error_share": "failed",
    "other_error_share": "failed in another way",
    **{f"{one.value}_share": f"failed ({one.value})" for one in ErrorClass if one is not ErrorClass.OTHER},
    "truncated_share": "were cut at their token limit",
    "content_filter_share": "were stopped by a content filter",
    "unpriced_share": "have no known price",
    "validator_failures": "failed a validator",
}


def _all() -> list[Measure]:
    found = []
    for quantity, (histogram, unit) in _QUANTITIES.items():
        for name, quantile in QUANTILES.items():
            found.append(Measure(f"{quantity}_{name}", Kind.QUANTILE, unit, histogram, quantile))
        # A name from before there were other means.
        mean = "cost_per_call" if quantity == "cost" else f"{quantity}_{MEAN}"
        found.append(Measure(mean, Kind.MEAN, unit, histogram))
    found += [Measure(name, Kind.SHARE, Unit.SHARE, counts=counts) for name, counts in _SHARES.items()]
    found.append(Measure("cached_share", Kind.TOKEN_SHARE, Unit.SHARE, "input_tokens"))
    found.append(Measure("calls_per_minute", Kind.RATE, Unit.CALLS_PER_MINUTE))
    found.append(Measure("tokens_per_minute", Kind.RATE, Unit.TOKENS_PER_MINUTE))
    found.append(Measure("attempts_per_call", Kind.ATTEMPTS, Unit.ATTEMPTS))
    return found


MEASURES: Mapping[str, Measure] = {one.value: one for one in _all()}
"""Every measure by its name."""

_OTHER_NAMES = {"cost_mean": "cost_per_call"}

Measure.LATENCY_P95 = MEASURES["latency_p95"]
Measure.TTFT_P95 = MEASURES["ttft_p95"]
Measure.COST_P95 = MEASURES["cost_p95"]
Measure.COST_PER_CALL = MEASURES["cost_per_call"]
Measure.ERROR_SHARE = MEASURES["error_share"]
Measure.VALIDATOR_FAILURES = MEASURES["validator_failures"]


def measure_named(name: object) -> Measure:
    """The measure with this name. Raises ValueError, saying which there are."""
    if isinstance(name, Measure):
        return name
    found = MEASURES.get(_OTHER_NAMES.get(name, name)) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(str(name), [*MEASURES, *_OTHER_NAMES], n=1, cutoff=_NEAR)
        raise ValueError(
            f'is no measure; did you mean "{near[0]}"?' if near else f"is none of the measures: {NAMES}"
        )
    return found


_NEAR = 0.75
"""How alike a name must be to be meant by a misspelt one."""


NAMES = (
    f"{', '.join(_QUANTITIES)} (each with _p50, _p95, _p99 or _mean), {', '.join(_SHARES)}, cached_share, "
    "calls_per_minute, tokens_per_minute, attempts_per_call"
)
"""The names of all measures, in a line."""

MeasureName = Annotated[
    Measure,
    PlainValidator(measure_named),
    PlainSerializer(lambda measure: measure.value, return_type=str),
    WithJsonSchema({"type": "string", "enum": [*MEASURES, *_OTHER_NAMES]}),
]
"""A measure in a model; its name in a document."""


def show(value: float, unit: Unit) -> str:
    """The value as a person would write it: ``8.12 s``, ``2.3 %``, ``$0.0204``, ``1,250 tokens``."""
    if unit is Unit.SHARE:
        return f"{value * 100:.3g} %"
    if unit is Unit.DOLLARS:
        return f"${value:,.2f}" if value >= 1_000 else f"${value:.3g}"
    if unit is Unit.SECONDS:
        return f"{value:.3g} s"
    number = f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
    return f"{number} {unit.value}"


_UNITS_OF_TIME_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_EXAMPLES = {
    Unit.SECONDS: '"8s" or "500ms"',
    Unit.SHARE: '"2%" or 0.02',
    Unit.DOLLARS: '"$0.02" or 0.02',
    Unit.TOKENS: '"20k" or 20000',
    Unit.TOKENS_PER_S: "25",
    Unit.CALLS_PER_MINUTE: "600",
    Unit.TOKENS_PER_MINUTE: '"450k" or 450000',
    Unit.ATTEMPTS: "1.5",
}


def parse_threshold(value: object, measure: Measure) -> float:
    """The threshold in the measure's own unit. Raises ValueError, saying what would be right."""
    return parse_quantity(value, measure.unit, measure.value)


def parse_quantity(value: object, unit: Unit, name: str) -> float:
    """A number of this unit. Raises ValueError, saying that ``name`` is in that unit and what would be right."""
    number = _number(value, unit)
    if number is None or number < 0 or (unit is Unit.SHARE and number > 1):
        raise ValueError(f"{name} is measured in {unit.value}: write {_EXAMPLES[unit]}")
    return number


def _number(value: Any, unit: Unit) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    written = re.fullmatch(r"(\$?)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%|ms|s|m|h|k|M)?", value.strip())
    if written is None:
        return None
    dollar, digits, suffix = written.groups()
    if bool(dollar) and unit is not Unit.DOLLARS:
        return None
    if suffix == "%":
        return float(digits) / 100 if unit is Unit.SHARE else None
    factor = _factor(suffix, unit)
    return None if factor is None else float(digits) * factor


def _factor(suffix: str | None, unit: Unit) -> float | None:
    """What the number before this suffix is multiplied by; ``None`` where the unit has no such suffix."""
    if suffix is None:
        return 1.0
    if unit is Unit.SECONDS:
        return _UNITS_OF_TIME_S.get(suffix)
    return _THOUSANDS.get(suffix) if unit in (Unit.TOKENS, Unit.TOKENS_PER_MINUTE) else None
