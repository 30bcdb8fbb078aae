"""What the configuration says about who is told of what: the tree of routes, and the times that mute them."""

import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .duration import Duration
from .matcher import Matcher, parse_matcher
from .routing import EscalationStep, Policy, Route, Routing
from .silence import WEEK_DAYS, MuteTime, TimeRange

ROUTES_MAX = 200
"""How many routes may stand below one: a person has to read them."""

ROOT = "route"
"""What the uppermost route is called."""

GROUP_WAIT_S, GROUP_INTERVAL_S, REPEAT_INTERVAL_S = 30.0, 300.0, 4 * 3600.0
"""The waits of a tree that says nothing of them: those of Alertmanager."""

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME_RANGE = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]\d|2[0-3]):([0-5]\d)|(24:00))")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _matcher(text: str) -> str:
    parse_matcher(text)
    return text


def _weekdays(text: str) -> str:
    days_of(text)
    return text


def _time_range(text: str) -> str:
    range_of(text)
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is no time zone that this machine knows; write it like Europe/Berlin"
        ) from error
    return name


ZoneName = Annotated[str, AfterValidator(_zone)]
"""A time zone by its name."""


def days_of(text: str) -> frozenset[int]:
    """The days of ``monday`` or ``friday-sunday``, Monday being 0. ValueError says what would be right."""
    first, _, last = (part.strip().lower() for part in text.partition("-"))
    last = last or first
    if first not in _DAYS or last not in _DAYS:
        raise ValueError(f"{text!r} are no days; write them like monday or friday-sunday")
    start = _DAYS.index(first)
    length = (_DAYS.index(last) - start) % WEEK_DAYS
    return frozenset((start + offset) % WEEK_DAYS for offset in range(length + 1))


def range_of(text: str) -> TimeRange:
    """The range of ``22:00-07:00``. ValueError says what would be right."""
    found = _TIME_RANGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no part of a day; write it like 22:00-07:00 or 00:00-24:00")
    start_h, start_min, end_h, end_min, midnight = found.groups()
    end = time() if midnight else time(int(end_h), int(end_min))
    return TimeRange(time(int(start_h), int(start_min)), end)


class MuteTimeConfig(_Strict):
    """A time that comes back every week, in which routes that name it tell nobody."""

    weekdays: list[Annotated[str, AfterValidator(_weekdays)]] = Field(
        default=["monday-sunday"],
        min_length=1,
        max_length=WEEK_DAYS,
        description="Days: monday, friday-sunday.",
    )
    times: list[Annotated[str, AfterValidator(_time_range)]] = Field(
        default=["00:00-24:00"],
        min_length=1,
        max_length=24,
        description="Parts of those days; one that goes over midnight belongs to the day on which it begins.",
    )
    time_zone: ZoneName = Field(default="UTC", description="Whose clock: Europe/Berlin.")

    def mute_time(self) -> MuteTime:
        """The times as the alert arm knows them."""
        days = frozenset(day for text in self.weekdays for day in days_of(text))
        return MuteTime(days, tuple(range_of(text) for text in self.times), ZoneInfo(self.time_zone))


class EscalateConfig(_Strict):
    """Whom else to tell of what nobody has acknowledged."""

    after: Annotated[Duration, Field(gt=0)] = Field(description="How long after people were told.")
    notify: list[str] | str = Field(description="Receivers, by name.")

    def step(self) -> EscalationStep:
        """The step as the alert arm knows it."""
        return EscalationStep(
            self.after, (self.notify,) if isinstance(self.notify, str) else tuple(self.notify)
        )


class RouteConfig(_Strict):
    """Who is told of what fits; what is not said is as in the route above."""

    match: list[Annotated[str, AfterValidator(_matcher)]] = Field(
        default_factory=list,
        max_length=50,
        description='All of these must fit: service=checkout, severity!=info, model=~"gpt-.*".',
    )
    receivers: list[str] | None = Field(default=None, description="Who is told, by name.")
    group_by: list[str] | None = Field(
        default=None,
        description="What has the same values of these labels is told together; [...] each by itself.",
    )
    group_wait: Annotated[Duration, Field(ge=0, le=3600)] | None = Field(
        default=None, description="How long a new group waits for others to join it: 30s."
    )
    group_interval: Annotated[Duration, Field(ge=0, le=86_400)] | None = Field(
        default=None, description="How often changes of a group are told at most: 5m."
    )
    repeat_interval: Annotated[Duration, Field(ge=60)] | None = Field(
        default=None, description="How often people are told again of what nobody has acknowledged: 4h."
    )
    mute_times: list[str] | None = Field(default=None, description="When nobody is told, by name.")
    escalate: list[EscalateConfig] | None = Field(
        default=None, max_length=10, description="Who is told next when nobody acknowledges it."
    )
    goes_on: bool = Field(
        default=False,
        alias="continue",
        description="Whether the next route is looked at although this one fits.",
    )
    routes: list["RouteConfig"] = Field(
        default_factory=list, max_length=ROUTES_MAX, description="Routes below: the first that fits."
    )

    def tree(self) -> Route:
        """The tree as the alert arm knows it, of which this is the uppermost route."""
        policy = Policy(
            group_wait_s=GROUP_WAIT_S, group_interval_s=GROUP_INTERVAL_S, repeat_interval_s=REPEAT_INTERVAL_S
        )
        return self._route(ROOT, policy, ())

    def _route(self, name: str, above: Policy, group_by: tuple[str, ...]) -> Route:
        policy = self._policy(above)
        mine = group_by if self.group_by is None else tuple(self.group_by)
        return Route(
            name=name,
            matchers=self.matchers(),
            policy=policy,
            group_by=mine,
            goes_on=self.goes_on,
            children=tuple(
                route._route(f"{name}.routes[{number}]", policy, mine)
                for number, route in enumerate(self.routes)
            ),
        )

    def matchers(self) -> tuple[Matcher, ...]:
        """What this route fits, beside what those above it do."""
        return tuple(parse_matcher(text) for text in self.match)

    def _policy(self, above: Policy) -> Policy:
        steps = None if self.escalate is None else sorted((one.step() for one in self.escalate), key=_after)
        return Policy(
            receivers=above.receivers if self.receivers is None else tuple(self.receivers),
            group_wait_s=above.group_wait_s if self.group_wait is None else self.group_wait,
            group_interval_s=above.group_interval_s if self.group_interval is None else self.group_interval,
            repeat_interval_s=above.repeat_interval_s
            if self.repeat_interval is None
            else self.repeat_interval,
            escalation=above.escalation if steps is None else tuple(steps),
            mute_times=above.mute_times if self.mute_times is None else tuple(self.mute_times),
        )


def routing_of(
    route: RouteConfig | None, mute_times: Mapping[str, MuteTimeConfig], reopen_s: float
) -> Routing:
    """Who is told of what in a deployment with this configuration."""
    times = {name: one.mute_time() for name, one in mute_times.items()}
    return Routing(route.tree() if route else None, times, reopen_s)


def _after(step: EscalationStep) -> float:
    return step.after_s
