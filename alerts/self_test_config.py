"""What the configuration says about the scheduled test of a receiver."""

from datetime import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .routing_config import ZoneName, days_of
from .self_test import SelfTest

DAILY: dict[str, Any] = {"on": None}
WEEKLY: dict[str, Any] = {}
_WORDS = {"daily": DAILY, "weekly": WEEKLY}


def _weekday(text: str) -> str:
    if len(days_of(text)) != 1:
        raise ValueError(f"{text!r} is more than one day; name one, or leave it null for each day")
    return text


class SelfTestConfig(BaseModel):
    """When a receiver is tested by itself: ``weekly`` is each Monday at 9, ``daily`` each day at 9."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: Annotated[str, AfterValidator(_weekday)] | None = Field(
        default="monday", description="The day of the week; null is each day."
    )
    at: str = Field(default="09:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="The time of day.")
    time_zone: ZoneName = Field(default="UTC", description="Whose clock: Europe/Berlin.")

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in _WORDS:
            raise ValueError(f"{value!r} is no time for a test; write weekly, daily, or on, at and time_zone")
        return _WORDS[value]

    def test(self) -> SelfTest:
        """The times as the alert arm knows them."""
        weekday = next(iter(days_of(self.on))) if self.on else None
        return SelfTest(time.fromisoformat(self.at), weekday, ZoneInfo(self.time_zone))
