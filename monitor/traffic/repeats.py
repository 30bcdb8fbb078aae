"""Which export requests were accepted of late, so that one that is sent again is answered and not counted again.

OTLP delivers at least once: a sender that has no answer in time sends the same request again, although it may
have been stored.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from .otlp import Encoding

MARK_BYTES = 16
"""How long a request's mark is: long enough that no two requests will ever share one."""

REQUESTS_MAX = 50_000
"""How many requests are remembered; beyond it the oldest is forgotten. About 20 MB, and 80 minutes at ten a second."""


def mark_of(body: bytes, encoding: Encoding) -> bytes:
    """What stands for a request in place of its unpacked body.

    It is made of every byte. The ids and times of some of the spans would be cheaper, but a sender that gets
    one of them wrong would lose data unseen; and this takes a hundredth of the time that reading the body does.
    """
    digest = sha256(encoding.value.encode() + b"\n")
    digest.update(body)
    return digest.digest()[:MARK_BYTES]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a request's spans: those that report calls, those that do not, and why some were refused."""

    calls: int
    other: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was accepted, and how it was answered."""

    mark: bytes
    accepted: Accepted


class Repeats:
    """The latest accepted requests, in the order in which they were accepted."""

    def __init__(self, keep_s: float, requests_max: int = REQUESTS_MAX) -> None:
        """Start with none. They are forgotten after ``keep_s``, and when there are too many."""
        self._keep_s = keep_s
        self._requests_max = requests_max
        self._known: OrderedDict[bytes, tuple[Accepted, float, int]] = OrderedDict()
        self._forgotten_before = 0

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def add(self, requests: Iterable[Answered], at: float, entry_id: int = 0) -> None:
        """Remember requests whose calls are in one entry of the journal; without an entry they held none."""
        for one in requests:
            self._known[one.mark] = (one.accepted, at, entry_id)
        while len(self._known) > self._requests_max:
            self._forget_oldest()

    def find(self, mark: bytes) -> Accepted | None:
        """How a request was answered; ``None`` when it is not known."""
        known = self._known.get(mark)
        return known[0] if known else None

    def forget(self, now: float) -> int:
        """Let go of what is too old; gives the journal entry before which no request is remembered any more."""
        while self._known and next(iter(self._known.values()))[1] < now - self._keep_s:
            self._forget_oldest()
        return self._forgotten_before

    def _forget_oldest(self) -> None:
        _, (_, _, entry_id) = self._known.popitem(last=False)
        # Others of the same entry may still be remembered.
        self._forgotten_before = max(self._forgotten_before, entry_id)
