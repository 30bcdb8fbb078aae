"""What an operator can set about the watch over the watch: who is told, and from when on."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alerts.duration import Duration

_BYTES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SPACE = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[kmgt]b)", re.IGNORECASE)

TICKET_SHARE, TICKET_BYTES = 0.10, 2 * 10**9
"""A disk with less free than this share of it, and less than so many bytes, is a ticket unless set otherwise."""

PAGE_SHARE, PAGE_BYTES = 0.03, 5 * 10**8
"""The same for a page."""


@dataclass(frozen=True, slots=True)
class Space:
    """Room on a disk: a share of it, so many bytes, or the smaller of both."""

    share: float = 1.0
    bytes: float = float("inf")

    def of(self, total: int) -> int:
        """How many bytes that is on a disk of this size."""
        return int(min(self.share * total, self.bytes))


def space_of(text: str) -> Space:
    """The room of ``10%`` or ``2GB``. ValueError says what would be right."""
    found = _SPACE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no room on a disk; write it like 10% or 2GB")
    number, unit = float(found[1]), found[2].lower()
    if unit != "%":
        return Space(bytes=number * _BYTES[unit])
    if number > 100:
        raise ValueError(f"{text!r} is more than the disk has")
    return Space(share=number / 100)


def _space(text: str) -> str:
    space_of(text)
    return text


SpaceText = Annotated[str, AfterValidator(_space)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DiskConfig(_Strict):
    """How little room the data folder's disk may have left."""

    ticket_below: SpaceText | None = Field(
        None, description="Free room for a ticket: 10% or 2GB; unless set, the smaller of both."
    )
    page_below: SpaceText | None = Field(
        None, description="Free room for a page: 3% or 500MB; unless set, the smaller of both."
    )

    def ticket(self) -> Space:
        """From when on it is a ticket."""
        return space_of(self.ticket_below) if self.ticket_below else Space(TICKET_SHARE, TICKET_BYTES)

    def page(self) -> Space:
        """From when on it is a page."""
        return space_of(self.page_below) if self.page_below else Space(PAGE_SHARE, PAGE_BYTES)


class WatchmanConfig(_Strict):
    """Findings about the watch itself."""

    notify: list[str] | None = Field(
        None,
        description="Receivers who are told, by name; unless set, all whom watches and targets name, or else all.",
    )
    disk: DiskConfig = Field(default_factory=DiskConfig, description="When a disk that fills is told.")
    ticket_after: Annotated[Duration, Field(ge=60, le=86_400)] = Field(
        600.0, description="How long a message may wait for its receiver before that is a ticket."
    )
    page_after: Annotated[Duration, Field(ge=60, le=86_400)] = Field(
        1800.0, description="The same for a page."
    )
    clock_apart: Annotated[Duration, Field(ge=5, le=86_400)] = Field(
        30.0, description="How far the clock may be from those of the servers that we talk to."
    )
    unconfirmed_after: Annotated[Duration, Field(ge=60)] = Field(
        86_400.0, description="How long a receiver may go without proof that it works, after it was set up."
    )

    @model_validator(mode="after")
    def _pages_later(self) -> "WatchmanConfig":
        if self.page_after < self.ticket_after:
            raise ValueError("page_after must be as long as ticket_after or longer")
        return self
