"""Which export requests were accepted of late, so that one that is sent again is answered and not counted again.

OTLP delivers at least once: a sender that has no answer in time sends the same request again, although it may
have been stored.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np

from .otlp import Encoding

MARK_BYTES = 16
"""How long a request's mark is: long enough that no two requests will ever share one."""

REQUESTS_MAX = 50_000
"""How many requests are remembered; beyond it the oldest are forgotten. 7 to 13 MB, and 80 minutes at ten a second."""

ANSWERS_MAX = 1_024
"""So many answers are held once, however many requests were answered so: most tell as many calls as others did."""

WHOLE_MAX = 16_384
"""Of a request of more bytes than this, the mark is made of samples."""

BEGINNING, END = 4_096, 1_024
SAMPLE = 32
STRIDE_MIN = 1_024
SAMPLES_MAX = 512
"""The samples: so many bytes from the beginning and from the end, and some of each stride in between, as many strides
as there are, and of a large request so many longer ones."""


def mark_of(body: bytes | memoryview, encoding: Encoding) -> bytes:
    """What stands for a request in place of its unpacked body.

    It is made of the size and of every byte, or of samples where there are many. Two large requests have one mark when
    they differ in nothing but what lies between the samples: then the second one is taken for the first, and its calls
    are lost. Each request of a sender that follows the protocol has random ids and times of its own in every span,
    those of the first span near to its beginning, so that nobody can make one that is taken for another's before that
    was sent. Where 4 kB about the resource come before the first span, and a sender whose spans differ in nothing but
    ids and times writes 2 kB for each, one sample in twenty holds part of an id: that none of 400 does happens in one
    of a thousand million such senders. To hash every byte takes 28 times as long.
    """
    digest = sha256(b"%s\n%d\n" % (encoding.value.encode(), len(body)))
    if len(body) <= WHOLE_MAX:
        digest.update(body)
        return digest.digest()[:MARK_BYTES]
    digest.update(body[:BEGINNING])
    stride = max(STRIDE_MIN, len(body) // SAMPLES_MAX)
    strides = len(body) // stride
    rows = np.frombuffer(body, dtype=np.uint8, count=strides * stride).reshape(strides, stride)
    digest.update(rows[:, :SAMPLE].tobytes())
    digest.update(body[-END:])
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
        self._known: dict[bytes, Accepted] = {}
        self._together: deque[_Together] = deque()
        self._forgotten_before = 0

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def add(self, requests: Iterable[Answered], at: float, entry_id: int = 0) -> None:
        """Remember requests whose calls are in one entry of the journal; without an entry they held none.

        They are forgotten together.
        """
        marks = []
        for one in requests:
            self._known[one.mark] = _held_once(one.accepted)
            marks.append(one.mark)
        self._together.append(_Together(at, entry_id, tuple(marks)))
        while len(self._known) > self._requests_max and len(self._together) > 1:
            self._forget_oldest()

    def find(self, mark: bytes) -> Accepted | None:
        """How a request was answered; ``None`` when it is not known."""
        return self._known.get(mark)

    def forget(self, now: float) -> int:
        """Let go of what is too old; gives the journal entry before which no request is remembered any more."""
        while self._together and self._together[0].at < now - self._keep_s:
            self._forget_oldest()
        return self._forgotten_before

    def _forget_oldest(self) -> None:
        oldest = self._together.popleft()
        for mark in oldest.marks:
            self._known.pop(mark, None)
        self._forgotten_before = max(self._forgotten_before, oldest.entry_id)


@dataclass(frozen=True, slots=True)
class _Together:
    """Requests that were accepted together."""

    at: float
    entry_id: int
    marks: Sequence[bytes]


def _held_once(accepted: Accepted) -> Accepted:
    return accepted if accepted.rejected else _nothing_rejected(accepted.calls, accepted.other)


@lru_cache(maxsize=ANSWERS_MAX)
def _nothing_rejected(calls: int, other: int) -> Accepted:
    return Accepted(calls, other, {})
