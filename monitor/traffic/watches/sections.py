"""The sections of a watch: what it compares with, and what it looks at besides a measure."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from canaries.duration import Duration

from .filters import Attribute
from .match import MatchConfig, Pattern
from .measures import Unit, parse_quantity

LOOK_BACK_MAX_S = 86_400.0
"""How far back a watch may look: what it reads each time stays bounded."""

BASELINE_S = 7 * 86_400.0
"""How much history a shift is measured against, unless it is told otherwise: every hour of the week."""

CONTROL_BASELINE_S = 86_400.0
"""How much history says where the slowest calls begin, when they are then counted beside a control."""

BASELINE_MAX_S = 28 * 86_400.0
"""The longest baseline: windows are kept a little longer."""


VERSION = "service.version"
"""The attribute that tells releases apart, unless another is named."""


class ShiftConfig(BaseModel):
    """What a watch without a threshold compares with: its own history, or other calls of the same time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: Annotated[Duration, Field(ge=300, le=LOOK_BACK_MAX_S)] = Field(
        3_600.0,
        description="The period that is judged as one: whole minutes, of which a day has a whole number.",
    )
    baseline: Annotated[Duration, Field(ge=3_600, le=BASELINE_MAX_S)] | None = Field(
        None,
        description="How much history is frozen as what is usual; by default 1w, and 1d beside a control. What is "
        "stored already counts.",
    )
    since: AwareDatetime | None = Field(
        None, description="No history from before this moment: set it after a change that was meant."
    )
    control: MatchConfig | None = Field(
        None,
        description="Compare with these calls of the same time (the version before, another region or model) instead "
        "of with history: what both share, such as load, is no shift.",
    )
    importance: float = Field(
        1.0, gt=0, description="Share of the page budget, beside other shift watches and targets."
    )

    @property
    def baseline_s(self) -> float:
        """How much history is frozen."""
        if self.baseline is not None:
            return self.baseline
        return BASELINE_S if self.control is None else CONTROL_BASELINE_S

    @property
    def periods(self) -> int:
        """How many periods with enough calls make the baseline."""
        return max(2, round(self.baseline_s / self.every))

    @field_validator("every")
    @classmethod
    def _divides_the_day(cls, value: float) -> float:
        if value % 60 or 86_400 % value:
            raise ValueError(
                "a day has to be a whole number of periods, and each whole minutes: 15m, 1h, 4h, ..."
            )
        return value

    @model_validator(mode="after")
    def _enough_to_freeze(self) -> "ShiftConfig":
        if self.control is None and self.baseline_s < 8 * self.every:
            raise ValueError(
                "a baseline needs 8 periods at least, half of them to rank against; a week is usual"
            )
        return self


class AgainstConfig(BaseModel):
    """Compare the newest version with the one before it, while both have calls: what a release changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: Attribute = Field(VERSION, description="What tells versions apart.")
    every: Annotated[Duration, Field(ge=60, le=86_400, multiple_of=60)] = Field(
        300.0, description="The period that is compared as one, whole minutes."
    )
    history: Annotated[Duration, Field(ge=3_600, le=LOOK_BACK_MAX_S)] = Field(
        LOOK_BACK_MAX_S,
        description="How far back calls say which versions there were, and what is slow or dear.",
    )
    importance: float = Field(
        1.0, gt=0, description="Share of the page budget, beside other shift watches and targets."
    )


class Period(StrEnum):
    """The calendar period of a budget, in UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class TrafficBudgetConfig(BaseModel):
    """What calls may use in a period of the calendar: dollars or tokens, all of them or each value of an attribute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    usd: float | None = Field(None, gt=0, description="Dollars; instead of tokens.")
    tokens: float | None = Field(
        None, gt=0, description='Input and output together, as in "20M"; instead of usd.'
    )
    every: Period = Field(description="hour, day or month, as the calendar has them in UTC.")
    per: Attribute | None = Field(
        None, description="Each value of this attribute has the budget for itself: user.id, tenant.id, ..."
    )
    ticket_at: float | None = Field(0.8, description="A ticket is opened at this share of it; null: none.")

    @property
    def limit(self) -> float:
        """How much it is, in dollars or tokens."""
        return self.usd or self.tokens or 0.0

    @property
    def unit(self) -> Unit:
        """What it is counted in."""
        return Unit.DOLLARS if self.usd else Unit.TOKENS

    @field_validator("usd", mode="before")
    @classmethod
    def _dollars(cls, value: object) -> object:
        return None if value is None else parse_quantity(value, Unit.DOLLARS, "usd")

    @field_validator("tokens", mode="before")
    @classmethod
    def _tokens(cls, value: object) -> object:
        return None if value is None else parse_quantity(value, Unit.TOKENS, "tokens")

    @field_validator("ticket_at", mode="before")
    @classmethod
    def _before_the_end(cls, value: object) -> object:
        if value is None:
            return None
        share = parse_quantity(value, Unit.SHARE, "ticket_at")
        if not 0 < share < 1:
            raise ValueError('is a share of the budget below all of it, such as "80%"')
        return share

    @model_validator(mode="after")
    def _one_limit(self) -> "TrafficBudgetConfig":
        if (self.usd is None) == (self.tokens is None):
            raise ValueError("a budget has either usd or tokens, and one of them")
        return self


class ValuesConfig(BaseModel):
    """Which values of an attribute calls have: told when a new one appears, one is gone, or its share is too large."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: Attribute = Field(description="The attribute, of the span of a call or of its resource.")
    tell: list[Literal["new", "gone"]] = Field(
        default_factory=list,
        description="new: a value that was not there before; gone: one that no call has now.",
    )
    before: Annotated[Duration, Field(ge=300, le=LOOK_BACK_MAX_S)] = Field(
        43_200.0, description="How long before the look-back says which values there were."
    )
    value: Pattern | None = Field(
        None, description="With above or below: the value whose share it is; without it, the share of any."
    )


class GoodConfig(BaseModel):
    """Which calls are good ones; a call has to be all that is said here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    no_error: bool = Field(True, description="It did not fail.")
    latency_below: Annotated[Duration, Field(gt=0)] | None = Field(
        None, description="It took less than this."
    )
    ttft_below: Annotated[Duration, Field(gt=0)] | None = Field(
        None, description="Its first token came within this; calls that do not tell count as good."
    )

    @model_validator(mode="after")
    def _says_something(self) -> "GoodConfig":
        if not self.no_error and self.latency_below is None and self.ttft_below is None:
            raise ValueError("every call is good then: name no_error, latency_below or ttft_below")
        if self.latency_below is not None and self.ttft_below is not None:
            raise ValueError("latency_below and ttft_below together need two objectives: write two watches")
        return self


class SloConfig(BaseModel):
    """A service level objective: the share of good calls over a period, told when its error budget burns too fast."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: float = Field(description='The share of calls that are to be good: "99.5%".')
    good: GoodConfig = Field(default_factory=GoodConfig, description="Which calls are good ones.")
    period: Annotated[Duration, Field(ge=7 * 86_400, le=30 * 86_400)] = Field(
        30 * 86_400.0, description="The rolling period that the error budget is for."
    )
    min_bad: int = Field(
        5, ge=2, description="Fewer bad calls than this never tell anybody, however few calls there are."
    )

    @property
    def allowed(self) -> float:
        """The share of calls that may be bad."""
        return 1 - self.objective

    @field_validator("objective", mode="before")
    @classmethod
    def _leaves_a_budget(cls, value: object) -> object:
        share = parse_quantity(value, Unit.SHARE, "objective")
        if not 0.5 <= share < 1:
            raise ValueError('is a share of good calls from 50% to below 100%, such as "99.5%"')
        return share


class ServedModelConfig(BaseModel):
    """That the model which answers is the one asked for: a served model that it does not stand for is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aliases: dict[str, Pattern] = Field(
        default_factory=dict,
        description="What a requested name stands for besides itself and its own dated versions: the name of a "
        "deployment, or of a route.",
    )
