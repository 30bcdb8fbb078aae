"""The lookout: export requests to sightings of calls, at the price of a few microseconds a span.

What a span tells is decided by the reader of the dialects, which takes its time. Most spans are like others before: of
those the lookout remembers what was decided, and reads their ids, times and numbers only (``plans``). Spans that are no
calls are stepped over where their bytes show it (``prefilter``). What comes out is what the reader would have said.

One thing is read more leniently: values of attributes that nobody asks for are not decoded, so that damage within them
does not cost the whole request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

from google.protobuf.message import DecodeError
from msgspec import MsgspecError
from orjson import JSONDecodeError

from .. import OtlpError
from ..kinds import Kinds
from ..otlp import Encoding, decode
from ..otlp_size import JSON_MARKS_MAX, check_json
from ..rows import Rows, RowsWriter
from ..sightings import Shapes, Sighting
from ..silence.ingest_counts import Arrived
from .book import PLANS_MAX
from .found import AGE_MAX_S, FUTURE_MAX_S, Checks, Found, NoChecks, Watch
from .json_request import JsonReader
from .protobuf import ProtobufReader
from .scanning import ScanningReader, scanner

__all__ = ["AGE_MAX_S", "FUTURE_MAX_S", "Checks", "Lookout", "NoChecks", "Sighted", "Watch"]


@dataclass(frozen=True, slots=True)
class Sighted:
    """What a request holds: the calls that its spans report, and what became of the other spans."""

    rows: Rows
    others: int
    """How many are no calls."""
    rejected: Mapping[str, int]
    """How many were left out, by the reason."""
    read_slowly: int
    """How many were decoded whole, nearly all of them for the reader of the dialects."""
    arrived: Arrived

    @property
    def sightings(self) -> Sequence[Sighting]:
        """The calls, each by itself."""
        return [self.rows.sighting(place) for place in range(len(self.rows))]


class Lookout:
    """Reads export requests; remembers how spans are to be read, from one request to the next."""

    def __init__(
        self,
        watch: Watch | None = None,
        shapes: Shapes | None = None,
        plans_max: int = PLANS_MAX,
        scanner: ModuleType | None = scanner,
    ) -> None:
        """Start with nothing known. ``watch`` says what is looked for beside the calls.

        ``shapes`` holds the shapes of the sightings, where others share them; ``scanner`` is the one in C, if there is.
        """
        watch, shapes = watch or Watch(), shapes or Shapes()
        self._protobuf = (
            ScanningReader(watch, shapes, plans_max, scanner)
            if scanner is not None
            else ProtobufReader(watch, shapes, plans_max)
        )
        self._json = JsonReader(watch, shapes, plans_max)
        self._kinds = Kinds()
        self._as_protobuf = scanner.as_protobuf if scanner is not None else None

    def _rewritten(self, body: bytes | memoryview) -> bytes | None:
        """A request in JSON as one in protobuf; ``None`` where the scanner leaves it to Python."""
        if self._as_protobuf is None:
            return None
        if len(body) > JSON_MARKS_MAX:
            check_json(bytes(body))
        rewritten: bytes | None = self._as_protobuf(body)
        return rewritten

    @property
    def emptied(self) -> int:
        """How often what was learnt became too much, and all of it was forgotten."""
        return self._protobuf.emptied + self._json.emptied

    def read(self, body: bytes | memoryview, encoding: Encoding, now: float) -> Sighted:
        """What is in the body of a request that came at ``now`` (unix seconds).

        Raises OtlpError when it is none, OversizeError when it holds more than one request may.
        """
        if self._kinds.is_full:
            self._kinds = Kinds()
        found = _nothing_at(now, self._kinds)
        try:
            if encoding is Encoding.PROTOBUF:
                self._protobuf.read(body, found)
            elif (rewritten := self._rewritten(body)) is not None:
                self._protobuf.read(rewritten, found)
            else:
                self._json.read(bytes(body), found)
        except _UNREADABLE:
            found = _nothing_at(now, self._kinds)
            # Who decodes it whole reads it nevertheless, or knows how to say what is wrong.
            decoded = decode(bytes(body), encoding)
            self._protobuf.read_decoded(decoded.spans, found)
            for reason, spans in decoded.rejected.items():
                found.came(spans, None)
                found.refuse(reason, None, spans)
        arrived = Arrived(found.by_service, found.lost)
        return Sighted(found.rows.rows(), found.others, found.rejected, found.read_slowly, arrived)


_UNREADABLE = (DecodeError, OtlpError, UnicodeDecodeError, JSONDecodeError, MsgspecError)


def _nothing_at(now: float, kinds: Kinds) -> Found:
    return Found(round((now - AGE_MAX_S) * 1e9), round((now + FUTURE_MAX_S) * 1e9), RowsWriter(kinds))
