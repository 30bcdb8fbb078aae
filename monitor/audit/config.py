"""The nightly audit as an operator writes it, and notes on models."""

import re
from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from canaries.duration import Duration
from dashboards.audit.report import Against

from ..traffic.watches.match import Pattern

PERIOD_MIN_S, PERIOD_MAX_S = 3_600.0, 31 * 86_400.0
"""The shortest and the longest period of an audit: of less there is too little, of more a month tells enough."""

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class AuditConfig(BaseModel):
    """When the audit is made each night, of what period, and who gets it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str = Field("06:30", description='The time of day, as in "06:30".')
    timezone: str = Field("UTC", description="Where that is: a name of the time zone database.")
    notify: list[str] = Field(default_factory=list, description="Receivers who get it, by name.")
    period: Annotated[Duration, Field(ge=PERIOD_MIN_S, le=PERIOD_MAX_S)] = Field(
        86_400.0, description="The period that is audited; it ends at `at`."
    )
    against: Literal["previous", "baseline"] = Field(
        "previous", description="What its headline goes by: the period before, or the baseline."
    )

    @field_validator("at")
    @classmethod
    def _is_a_time_of_day(cls, value: str) -> str:
        if not _TIME.fullmatch(value):
            raise ValueError('must be a time of day, such as "06:30"')
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as error:  # a path, a folder, and a name that is not there
            raise ValueError('is no time zone; names are such as "Europe/Zurich" or "UTC"') from error
        return value

    @property
    def time_of_day(self) -> time:
        """When it is due, on the clock of its time zone."""
        return time.fromisoformat(self.at)

    @property
    def reference(self) -> Against:
        """What its headline goes by."""
        return Against(self.against)


class ModelNoteConfig(BaseModel):
    """What the operator noted of models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Pattern = Field(description="The model that answered, or the one asked for; * and ? as elsewhere.")
    provider: Pattern | None = Field(None, description="Of this provider alone, by its OpenTelemetry name.")
    use: str = Field(min_length=1, max_length=500, description="What it is best used for, or not.")
