"""The lookout: export requests to sightings of calls, at the price of a few microseconds a span.

What a span tells is decided by the reader of the dialects, which takes its time. Most spans are like others before: of
those the lookout remembers what was decided, and reads their ids, times and numbers only (``plans``). Spans that are no
calls are stepped over where their bytes show it (``prefilter``). What comes out is what the reader would have said.

One thing is read more leniently: values of attributes that nobody asks for are not decoded, so that damage within them
does not cost the whole request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from .. import OtlpError
from ..otlp import Encoding, decode
from ..sightings import Sighting
from .book import PLANS_MAX
from .found import AGE_MAX_S, FUTURE_MAX_S, Checks, Found, NoChecks, Watch
from .protobuf import ProtobufReader

__all__ = ["AGE_MAX_S", "FUTURE_MAX_S", "Checks", "Lookout", "NoChecks", "Sighted", "Watch"]


@dataclass(frozen=True, slots=True)
class Sighted:
    """What a request holds: the calls that its spans report, and what became of the other spans."""

    sightings: Sequence[Sighting]
    others: int
    """How many are no calls."""
    rejected: Mapping[str, int]
    """How many were left out, by the reason."""
    read_slowly: int
    """How many the reader of the dialects had to read."""


class Lookout:
    """Reads export requests; remembers how spans are to be read, from one request to the next."""

    def __init__(self, watch: Watch | None = None, plans_max: int = PLANS_MAX) -> None:
        """Start with nothing known. ``watch`` says what is looked for beside the calls."""
        self._protobuf = ProtobufReader(watch or Watch(), plans_max)

    @property
    def emptied(self) -> int:
        """How often what was learnt became too much, and all of it was forgotten."""
        return self._protobuf.emptied

    def read(self, body: bytes, encoding: Encoding, now: float) -> Sighted:
        """What is in the body of a request that came at ``now`` (unix seconds).

        Raises OtlpError when it is none, OversizeError when it holds more than one request may.
        """
        found = self._found(now)
        if encoding is Encoding.PROTOBUF:
            try:
                self._protobuf.read(body, found)
            except (DecodeError, OtlpError, UnicodeDecodeError):
                found = self._found(now)  # whoever decodes it whole knows how to say what is wrong
            else:
                return _sighted(found)
        decoded = decode(body, encoding)
        self._protobuf.read_decoded(decoded.spans, found)
        found.rejected.update(decoded.rejected)
        return _sighted(found)

    def _found(self, now: float) -> Found:
        return Found(round((now - AGE_MAX_S) * 1e9), round((now + FUTURE_MAX_S) * 1e9))


def _sighted(found: Found) -> Sighted:
    return Sighted(found.sightings, found.others, found.rejected, found.read_slowly)
