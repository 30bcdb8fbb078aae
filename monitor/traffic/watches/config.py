"""Watches as an operator writes them; ``docs/watches.md`` has an example of each kind."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from alerts.incident import OnNoData
from canaries.duration import Duration

from .filters import ShareConfig
from .match import MatchConfig
from .measures import Kind, Measure, MeasureName, Unit, parse_quantity, parse_threshold
from .sections import (
    LOOK_BACK_MAX_S,
    VERSION,
    AgainstConfig,
    ServedModelConfig,
    ShiftConfig,
    SloConfig,
    TrafficBudgetConfig,
    ValuesConfig,
)

KEEP_FIRING_S = 900.0
"""How long a watch must be steady before its incident ends, unless it looks back further or is told otherwise."""


class Looks(StrEnum):
    """What a watch looks at: the key of its section."""

    MEASURE = "measure"
    SHARE = "share"
    BUDGET = "budget"
    VALUES = "values"
    SLO = "slo"
    SERVED_MODEL = "served_model"


def _against(value: object) -> object:
    if value == "previous":
        return {}
    if isinstance(value, str):
        raise ValueError('is "previous", or {attribute: ..., every: ...} where the defaults do not fit')
    return value


class WatchConfig(BaseModel):
    """A rule over production traffic: one thing that it looks at, and when that is wrong.

    With a threshold it is breached when the measure is surely beyond it, given how many calls were seen. With
    ``shift`` or ``against`` it is breached when the ledger has enough evidence, within the page budget.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(min_length=1, max_length=64, description="What the watch is called in messages.")
    match: MatchConfig = Field(default_factory=MatchConfig, description="Which calls it looks at.")
    measured: MeasureName | None = Field(
        None, alias="measure", description="The measure it looks at, by name."
    )
    share: ShareConfig | None = Field(None, description="Instead: the share of calls that match a filter.")
    budget: TrafficBudgetConfig | None = Field(
        None, description="Instead: what calls use in an hour, day or month."
    )
    values: ValuesConfig | None = Field(None, description="Instead: the values of an attribute.")
    slo: SloConfig | None = Field(
        None, description="Instead: how fast the error budget of an objective burns."
    )
    served_model: ServedModelConfig | None = Field(
        None, description="Instead: whether the model that answers is the one asked for."
    )
    above: float | None = Field(
        None, description='Breached when surely above this: "8s", "2%" or "$0.02", as the measure is.'
    )
    below: float | None = Field(None, description="Breached when surely below this; instead of above.")
    shift: ShiftConfig | None = Field(
        None,
        description="Breached when it has shifted from its own history or from a control; instead of a threshold.",
    )
    against: Annotated[AgainstConfig | None, BeforeValidator(_against)] = Field(
        None, description="previous: breached when the newest version is unlike the one before it."
    )
    over: Annotated[Duration, Field(ge=60, le=LOOK_BACK_MAX_S)] = Field(
        300.0, description="How far back it looks."
    )
    for_: Annotated[Duration, Field(ge=0)] = Field(
        0.0, alias="for", description="How long it must stay breached before anybody is told."
    )
    keep_firing_for: Annotated[Duration, Field(ge=0)] | None = Field(
        None,
        description="How long it must be steady before its incident ends; by default as long as `over`, "
        "and 15m at least; of a budget 0.",
    )
    min_calls: int = Field(
        20, ge=1, description="With fewer calls than this in the look-back it says nothing."
    )
    severity: Literal["page", "ticket"] = Field("page", description="How loudly it tells.")
    notify: list[str] = Field(default_factory=list, description="Receivers who are told, by name.")
    rollback: str | None = Field(None, description="The rollback that a breach asks for, by name.")
    on_no_data: OnNoData = Field(
        OnNoData.HOLD, description="With too little data to judge: hold the state, count as ok, or alert."
    )

    @property
    def looks(self) -> Looks:
        """What it looks at."""
        if self.measured is not None:  # nearly all do, and every look asks often
            return Looks.MEASURE
        return next(one for one in Looks if self._section(one) is not None)

    @property
    def measure(self) -> Measure:
        """The measure that it looks at. Raises ValueError when it looks at something else."""
        if self.measured is not None:
            return self.measured
        if self.share is not None:
            return self.share.measure
        raise ValueError(f"the watch {self.name} looks at {self.looks.value}, which is no measure")

    @property
    def bets(self) -> ShiftConfig | AgainstConfig | None:
        """What it compares with, when it is judged by evidence and within the page budget."""
        return self.shift or self.against

    @property
    def keep_firing_s(self) -> float:
        """How long it must be steady before its incident ends."""
        if self.keep_firing_for is not None:
            return self.keep_firing_for
        # A budget begins anew with its period: what is used up again so soon is told again.
        return 0.0 if self.looks is Looks.BUDGET else max(self.over, KEEP_FIRING_S)

    def _section(self, one: Looks) -> object:
        return self.measured if one is Looks.MEASURE else getattr(self, one.value)

    @field_validator("above", "below", mode="before")
    @classmethod
    def _threshold(cls, value: object, info: ValidationInfo) -> object:
        if value is None:
            return None
        if info.data.get("measured"):
            return parse_threshold(value, info.data["measured"])
        said = next((one for one in _SHARES if info.data.get(one)), None)
        # Without anything to look at, or with something that has no threshold, the problem is told there.
        return None if said is None else parse_quantity(value, Unit.SHARE, said)

    @model_validator(mode="after")
    def _looks_at_one_thing(self) -> "WatchConfig":
        if sum(self._section(one) is not None for one in Looks) != 1:
            raise ValueError(f"a watch looks at one thing: {', '.join(Looks)}")
        return self

    @model_validator(mode="after")
    def _one_threshold(self) -> "WatchConfig":
        said = [one is not None for one in (self.above, self.below, self.shift, self.against)]
        looks = self.looks
        if looks in (Looks.MEASURE, Looks.SHARE) and sum(said) != 1:
            raise ValueError("a watch has either above or below, or else shift or against, and one of them")
        if (
            looks in (Looks.BUDGET, Looks.SLO)
            and {"above", "below", "shift", "against"} & self.model_fields_set
        ):
            raise ValueError(f"above, below, shift, against: {looks.value} says itself when it is wrong")
        if looks is Looks.SERVED_MODEL and {"below", "shift", "against"} & self.model_fields_set:
            raise ValueError("below, shift, against: served_model has `above` only, and 0 without it")
        return self

    @model_validator(mode="after")
    def _what_values_tell(self) -> "WatchConfig":
        if self.values is None:
            return self
        if self.shift or self.against or self.below is not None:
            raise ValueError("below, shift, against: values has `above` or `tell`")
        if (self.above is None) == (not self.values.tell):
            raise ValueError("values tells of new or gone values (tell), or of a share that is `above`")
        if self.values.value is not None and self.above is None:
            raise ValueError("values: value goes with `above`, whose share it is")
        if self.above is None and self.over + self.values.before > LOOK_BACK_MAX_S:
            raise ValueError("over and values: before together reach back a day at most")
        return self

    @model_validator(mode="after")
    def _what_a_section_has_no_use_for(self) -> "WatchConfig":
        unused: dict[Looks, set[str]] = {Looks.BUDGET: {"over", "min_calls"}, Looks.SLO: {"over"}}
        if said := unused.get(self.looks, set()) & self.model_fields_set:
            raise ValueError(f"{', '.join(sorted(said))}: {self.looks.value} has its own periods")
        return self

    @model_validator(mode="after")
    def _what_can_be_compared(self) -> "WatchConfig":
        if self.bets is None:
            return self
        if said := {"over", "for_", "keep_firing_for"} & self.model_fields_set:
            names = ", ".join(sorted(name.rstrip("_") for name in said))
            word = "shift" if self.shift else "against"
            raise ValueError(
                f"{names}: belongs to a threshold; a {'shift' if self.shift else 'release'} is judged period by "
                f"period ({word}: every)"
            )
        if self.measure.kind not in (Kind.QUANTILE, Kind.MEAN, Kind.SHARE):
            raise ValueError(f"{self.measure.value} is not of calls one by one: it takes a threshold")
        if self.shift is not None:
            self._check_control(self.shift)
        return self

    def _check_control(self, shift: ShiftConfig) -> None:
        if shift.control is None:
            return
        self._check_mean("a control")
        if shift.control == self.match:
            raise ValueError("the control is what the watch itself looks at: name other calls")

    def _check_mean(self, other: str) -> None:
        if self.measure.kind is Kind.MEAN:
            tail = (
                "cost_p95"
                if self.measure is Measure.COST_PER_CALL
                else self.measure.value.replace("_mean", "_p95")
            )
            raise ValueError(
                f"{self.measure.value} is a mean, and {other} compares shares of calls: use {tail}"
            )

    @model_validator(mode="after")
    def _what_versions_tell(self) -> "WatchConfig":
        if self.against is None:
            return self
        self._check_mean("a release")
        service = self.match.service
        if not isinstance(service, str) or any(one in service for one in "*?["):
            raise ValueError(
                "against: match has to name one service: versions of two are not versions of each other"
            )
        if self.against.attribute != VERSION and self.measure is not Measure.ERROR_SHARE:
            raise ValueError(
                f"against: by another attribute than {VERSION} only error_share can be compared, as of the values of "
                f"attributes calls and failures are counted and no {self.measure.value}; send it as {VERSION} where "
                "it is the version that matters"
            )
        return self


_SHARES = ("share", "values", "served_model")
"""What has a share of calls as its threshold."""
