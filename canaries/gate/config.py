"""What a gate asks of a candidate: the ``gate`` block of a configuration or of a suite, and what follows from it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from ..config import Samples
from ..duration import parse_duration

ALPHA = 0.05
"""How often a candidate that is the same may fail the statistics, when nobody says."""

ALPHA_MIN = 0.0001
"""The smallest such share: below, permutations take minutes."""

ANSWERS_WANTED = 100
"""How many answers a candidate is asked for, when nobody says how many runs: a change in a fifth of them shows then."""

RUNS_MIN, RUNS_MAX = 3, 20
"""The fewest and the most runs that are chosen for somebody: fewer say nothing of how runs differ."""

RUNS_LIMIT = 100
"""The most runs that somebody may ask for."""

_PERCENT = re.compile(r"([+-]\d+(?:\.\d+)?)\s*%")


class Reaction(StrEnum):
    """What a finding does to the verdict."""

    FAIL = "fail"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that something may be: seconds or dollars, or, where it is relative, so much more than the baseline."""

    value: float
    is_relative: bool = False

    def most(self, base: float) -> float:
        """The most that is allowed, beside a baseline with this value."""
        return base * (1 + self.value) if self.is_relative else self.value


def time_limit(value: object) -> Limit:
    """A limit on a time, from ``"3s"`` or ``"+20%"``. Raises ValueError with words for the writer."""
    relative = _relative(value)
    if relative is not None:
        return relative
    try:
        return Limit(_positive(parse_duration(value)))
    except ValueError as error:
        raise ValueError(
            'must be a time above 0 such as "3s" or "800ms", or relative to the baseline such as "+20%"'
        ) from error


def cost_limit(value: object) -> Limit:
    """A limit on dollars, from ``"0.8"`` or ``"+10%"``. Raises ValueError with words for the writer."""
    relative = _relative(value)
    if relative is not None:
        return relative
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        return Limit(_positive(float(value)))
    except ValueError as error:
        raise ValueError(
            'must be dollars above 0 such as "0.8", or relative to the baseline such as "+10%"'
        ) from error


def _relative(value: object) -> Limit | None:
    if isinstance(value, Limit):
        return value
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    share = float(found[1]) / 100
    if not -1 < share <= 100:
        raise ValueError("must be between -99% and +10000%")
    return Limit(share, is_relative=True)


def _positive(number: float) -> float:
    if not 0 < number < float("inf"):
        raise ValueError
    return number


_TimeLimit = Annotated[
    Limit,
    BeforeValidator(time_limit),
    WithJsonSchema({"type": ["string", "number"], "examples": ["3s", "+20%"]}),
]
_CostLimit = Annotated[
    Limit,
    BeforeValidator(cost_limit),
    WithJsonSchema({"type": ["string", "number"], "examples": [0.8, "+10%"]}),
]


class GateConfig(BaseModel):
    """What a release is asked for; what is not set is as a suite, the configuration or the default says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: int | None = Field(
        None, ge=1, le=RUNS_LIMIT, description="runs of the candidate [as many as make 100 answers, 3 to 20]"
    )
    samples: Samples | None = Field(
        None, description="answers to each canary in a run [as suite and target say]"
    )
    alpha: float | None = Field(
        None,
        ge=ALPHA_MIN,
        lt=1,
        description="how often a candidate that is the same may fail the statistics [0.05]",
    )
    floor: float | None = Field(
        None,
        ge=0,
        le=1,
        description="the smallest difference that counts: of shares, lengths and distances, 0.02 is 2 % [each "
        "score's own]",
    )
    detect: float | None = Field(
        None,
        gt=0,
        le=1,
        description="the share of answers whose change must be likely to show, for a candidate to pass [a third]",
    )
    changes: Reaction | None = Field(
        None, description="what answers that are different do; `warn` where a change is meant [fail]"
    )
    known_failures: Reaction | None = Field(
        None, description="what broken expectations do that the baseline breaks, too [fail]"
    )
    latency_p50: _TimeLimit | None = Field(None, description="the median latency, at most: 2s, or +20%")
    latency_p95: _TimeLimit | None = Field(None, description="the 95th percentile of latency, at most")
    cost_per_1000_usd: _CostLimit | None = Field(None, description="dollars for 1,000 calls, at most")
    max_spend_usd: float | None = Field(
        None,
        gt=0,
        description="what asking the candidate may cost; fewer runs are made rather than more spent",
    )

    def over(self, other: "GateConfig") -> "GateConfig":
        """These settings, and those of ``other`` where they say nothing."""
        return GateConfig(**{**_said(other), **_said(self)})

    @property
    def needs_baseline(self) -> tuple[str, ...]:
        """The limits that are relative to a baseline, by name."""
        return tuple(name for name, limit in self.limits().items() if limit.is_relative)

    def limits(self) -> dict[str, Limit]:
        """The limits that are set, by name."""
        found = {name: getattr(self, name) for name in ("latency_p50", "latency_p95", "cost_per_1000_usd")}
        return {name: limit for name, limit in found.items() if limit is not None}

    def runs_of(self, requests: int) -> int:
        """How many runs are made, where one asks so many ``requests``."""
        return self.runs or min(RUNS_MAX, max(RUNS_MIN, ceil(ANSWERS_WANTED / max(1, requests))))


def _said(config: GateConfig) -> dict[str, object]:
    return {name: value for name in config.model_fields_set if (value := getattr(config, name)) is not None}
