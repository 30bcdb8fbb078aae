"""Filters over calls that an operator writes: which calls count, and of which others they are a share."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from typing import Annotated

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from canaries.duration import Duration

from ..calls import Call, CostBasis, ErrorClass, FinishReason
from ..windows.series import series_of
from .match import MatchConfig, Pattern, fits, matches
from .measures import SHARE, Kind, Measure, Unit

ATTRIBUTES_MAX = 10
"""How many attributes a filter may ask for."""

ATTRIBUTE_MAX = 128
"""The longest name of an attribute that can be chosen."""

Attribute = Annotated[str, Field(min_length=1, max_length=ATTRIBUTE_MAX)]


def _value(value: object) -> object:
    """Attributes are compared as text: ``true`` and ``"true"`` are the same."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return [_value(one) for one in value] if isinstance(value, list) else value


class FilterConfig(MatchConfig):
    """Which calls count: those that are all that is said here; what is left out matches all."""

    finish_reason: Pattern | None = Field(
        None, description="stop, length, tool_calls, content_filter, other."
    )
    error_class: Pattern | None = Field(None, description="rate_limit, overloaded, timeout, ...")
    failed: bool | None = Field(None, description="Whether it failed.")
    streaming: bool | None = Field(
        None, description="Whether it was streamed; a call that does not tell is neither."
    )
    cost_basis: Pattern | None = Field(None, description="exact, inferred, ambiguous, unpriced.")
    failed_check: Pattern | None = Field(
        None, description="A validator or evaluation that its answer failed."
    )
    slower_than: Annotated[Duration, Field(gt=0)] | None = Field(
        None, description="It took longer than this."
    )
    attributes: dict[Attribute, Annotated[Pattern, BeforeValidator(_value)]] = Field(
        default_factory=dict,
        max_length=ATTRIBUTES_MAX,
        description="Attributes of its spans or their resource, with the value of each.",
    )

    @property
    def is_all(self) -> bool:
        """Whether every call matches."""
        return not self.model_dump(exclude_defaults=True)

    @field_validator("finish_reason", "error_class", "cost_basis")
    @classmethod
    def _names_what_there_is(cls, value: Pattern | None, info: ValidationInfo) -> Pattern | None:
        known = _KNOWN[info.field_name or ""]
        for one in [value] if isinstance(value, str) else value or ():
            if not any(fits(one, name.value) for name in known):
                which = "is" if isinstance(value, str) else f'"{one}" is'
                raise ValueError(f"{which} none of {', '.join(name.value for name in known)}")
        return value


_KNOWN: dict[str, type[StrEnum]] = {
    "finish_reason": FinishReason,
    "error_class": ErrorClass,
    "cost_basis": CostBasis,
}


class ShareConfig(BaseModel):
    """A share of calls: of those that ``of`` matches, how many ``where`` matches as well.

    Of answers that failed a check it is a share of those that this check judged: what nobody looked at has not passed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    where: FilterConfig = Field(description="The calls that count.")
    of: FilterConfig = Field(default_factory=FilterConfig, description="Of which calls; without it of all.")

    @property
    def name(self) -> str:
        """Under what the calls that count are counted in windows: filters that say the same share it."""
        asked = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
        if self.where.failed_check is not None:
            asked += _OF_JUDGED
        return f"{SHARE}/{blake2b(asked, digest_size=6).hexdigest()}"

    @property
    def name_of(self) -> str:
        """Under what the calls are counted that it is a share of.

        Counted beside it, so that calls from before the filter was configured are in neither.
        """
        return f"{self.name}/of"

    @property
    def keys(self) -> frozenset[str]:
        """The attributes that it asks for."""
        return frozenset((*self.where.attributes, *self.of.attributes))

    @property
    def measure(self) -> Measure:
        """The share as a measure."""
        name, name_of = self.name, self.name_of
        return Measure(
            SHARE,
            Kind.SHARE,
            Unit.SHARE,
            counts=lambda window: (window.matched.get(name, 0), window.matched.get(name_of, 0)),
            calls_are="calls" if self.where.failed_check is None else "checked calls",
        )

    def passing(self) -> tuple["Passes", "Passes"]:
        """What tells whether a call counts, and what tells whether it is one of those that this is a share of."""
        where, of, judged = passing(self.where), passing(self.of), self.where.failed_check
        if judged is None:
            return where, of
        return where, lambda call, held: _is_judged(judged, call) and of(call, held)

    @model_validator(mode="after")
    def _says_something(self) -> "ShareConfig":
        if self.where.is_all:
            raise ValueError("where matches every call: name finish_reason, error_class, attributes, ...")
        return self


_OF_JUDGED = b" of those that the check judged"
"""What tells these counts from those of windows in which they were a share of all calls."""

Held = Mapping[str, str]
"""The configured attributes that a call has, with values."""

Passes = Callable[[Call, Held], bool]
"""Whether a call is what a filter wants."""


def passing(wanted: FilterConfig) -> Passes:
    """The filter as a function, which looks at nothing that the filter does not say: it is asked of every call."""
    checks = list(_checks(wanted))
    if len(checks) <= 1:
        return checks[0] if checks else _always
    return lambda call, held: all(check(call, held) for check in checks)


def _always(_call: Call, _held: Held) -> bool:
    return True


def _checks(wanted: FilterConfig) -> Iterator[Passes]:
    for name in _KNOWN:
        if (pattern := getattr(wanted, name)) is not None:
            yield partial(_has_one, name, pattern)
    if (failed := wanted.failed) is not None:
        yield lambda call, _: call.error is failed
    if (streaming := wanted.streaming) is not None:
        yield lambda call, _: call.streaming is streaming
    if (slower_than := wanted.slower_than) is not None:
        yield lambda call, _: call.duration_s > slower_than
    if (failed_check := wanted.failed_check) is not None:
        yield lambda call, _: any(fits(failed_check, one) for one in call.checks_failed)
    for key, pattern in wanted.attributes.items():
        yield partial(_holds, key, pattern)
    if any(getattr(wanted, name) is not None for name in MatchConfig.model_fields):
        yield lambda call, _: matches(wanted, series_of(call))


def _is_judged(check: Pattern, call: Call) -> bool:
    return any(fits(check, one) for names in (call.checks_passed, call.checks_failed) for one in names)


def _holds(key: str, pattern: Pattern, _call: Call, held: Held) -> bool:
    value = held.get(key)
    return value is not None and fits(pattern, value)


def _has_one(name: str, pattern: Pattern, call: Call, held: Held) -> bool:
    value = getattr(call, name)
    return value is not None and fits(pattern, value.value)
