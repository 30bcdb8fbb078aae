"""What an operator can set about silence: how loudly it is told, and what is known better than by any rhythm."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from canaries.duration import Duration

from ..watches.match import fits
from .active_minutes import SERVICES_MAX

HOLIDAYS_MAX = 400
"""How many days may be named: some for each of many years."""


class ExpectedServiceConfig(BaseModel):
    """A service of which it is known how long it may be silent, or how loudly its silence is to be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str = Field(min_length=1, description="Its service.name.")
    within: Annotated[Duration, Field(ge=120, le=7 * 86_400)] | None = Field(
        None,
        description="It makes at least one call in any such time, at night and on holidays as well; unless set, its "
        "rhythm tells.",
    )
    severity: Literal["page", "ticket"] | None = Field(
        None, description="How loudly the silence of this service is told; as of silence unless set."
    )

    @field_validator("service")
    @classmethod
    def _is_one(cls, value: str) -> str:
        if set(value) & set("*?"):
            raise ValueError(
                "is one service by its whole name: of a pattern nobody could tell who is missing"
            )
        return value

    @model_validator(mode="after")
    def _says_something(self) -> "ExpectedServiceConfig":
        if self.within is None and self.severity is None:
            raise ValueError("says nothing of the service: name within, severity or both")
        return self


class SilenceConfig(BaseModel):
    """Findings of silence: no traffic, a silent service, requests that are refused, spans that are lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Literal["page", "ticket"] = Field(
        "ticket", description="How loudly it tells; lost spans are never more than a ticket."
    )
    notify: list[str] | None = Field(
        None, description="Receivers who are told, by name; unless set, all whom watches and targets name."
    )
    services: Annotated[list[ExpectedServiceConfig], Field(max_length=SERVICES_MAX)] = Field(
        default_factory=list,
        description="Services of which you know how long they may be silent, or whose silence is louder than others'.",
    )
    holidays: Annotated[list[date], Field(max_length=HOLIDAYS_MAX)] = Field(
        default_factory=list,
        description="Days, in UTC, on which no more calls are due than on the quietest day of the week.",
    )
    ignore: list[str] = Field(
        default_factory=list, description="Services whose own silence means nothing; * and ? as in a match."
    )

    def of(self, service: str) -> ExpectedServiceConfig | None:
        """What is known of the service."""
        return next((one for one in self.services if one.service == service), None)

    def ignores(self, service: str) -> bool:
        """Whether the service's own silence means nothing."""
        return bool(self.ignore) and fits(self.ignore, service)

    @model_validator(mode="after")
    def _says_one_thing_of_each(self) -> "SilenceConfig":
        names = [one.service for one in self.services]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"services: named twice: {', '.join(twice)}")
        if both := [name for name in names if self.ignores(name)]:
            raise ValueError(f"both expected and ignored: {', '.join(both)}")
        return self
