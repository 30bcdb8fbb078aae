"""What stored windows counted, read as fast as it can be by who adds up hundreds of thousands of them."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
from msgspec import Raw

from .distribution import Distribution, distribution
from .histogram import Histogram
from .window import HISTOGRAMS, text_of

Ints = npt.NDArray[np.int64]


class StoredHistogram(msgspec.Struct, array_like=True, gc=False):
    """A histogram as ``to_json`` gives it. Steps and counts stay text until many of them are added up."""

    zeros: int
    total_nano: str
    first: int
    steps: Raw
    counts: Raw


class StoredValues(msgspec.Struct, array_like=True, gc=False):
    """The same of which only the number and the sum are wanted."""

    zeros: int
    total_nano: str
    first: int
    steps: Raw
    counts: list[int]

    @property
    def n(self) -> int:
        """How many values there are."""
        return self.zeros + sum(self.counts)


class Bases(msgspec.Struct, frozen=True, gc=False):
    """How many calls have no price, and how many an ambiguous one."""

    unpriced: int = 0
    ambiguous: int = 0


class Counted(msgspec.Struct, gc=False):
    """What a window counted, as far as it is added up to tallies (see ``Window``)."""

    calls: int = 0
    checked: int = 0
    unsound: int = 0
    errors: dict[str, int] = {}
    finish_reasons: dict[str, int] = {}
    failed_checks: dict[str, int] = {}
    cost_bases: Bases = Bases()
    cost_usd: StoredValues | None = None
    input_tokens: StoredValues | None = None
    output_tokens: StoredValues | None = None
    latency_s: StoredHistogram | None = None
    ttft_s: StoredHistogram | None = None
    ambiguous_nano: str | None = None


_decode = msgspec.json.Decoder(Counted).decode


def counted_in(body: bytes) -> Counted:
    """What the window counted that is stored as ``body``, also by an earlier version."""
    text = text_of(body)
    try:
        return _decode(text)
    except msgspec.ValidationError:
        # Earlier versions wrote histograms by names, with each bucket's own index.
        plain = orjson.loads(text)
        plain |= {name: Histogram.from_json(plain[name]).to_json() for name in HISTOGRAMS if name in plain}
        return _decode(orjson.dumps(plain))


PILED_MAX = 4_000
"""So many histograms are added up at once; more would only need more memory."""


class Pile:
    """Stored histograms, each of a place, on a pile to be added up: many at once, and no Python object for a bucket.

    ``wholes`` say for several ways of adding up which whole each place is part of; -1 is of none. They may grow.
    """

    __slots__ = ("_counts", "_filled", "_firsts", "_lengths", "_steps", "_sums", "_wholes", "_zeros")

    def __init__(self, *wholes: Sequence[int]) -> None:
        """Start with none."""
        self._wholes = wholes
        self._sums = [_Sums() for _ in wholes]
        self._zeros: dict[int, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._filled: list[int] = []
        self._firsts: list[int] = []
        self._lengths: list[int] = []
        self._steps: list[bytes | Raw] = []
        self._counts: list[Raw] = []

    def add(self, place: int, histogram: StoredHistogram) -> None:
        """Put one more on the pile."""
        self._zeros[place] = self._zeros.get(place, 0) + histogram.zeros
        counts, first = histogram.counts, histogram.first
        if counts == _NONE:
            return
        length = bytes(counts).count(b",") + 1
        self._filled.append(place)
        self._firsts.append(first)
        self._lengths.append(length)
        self._counts.append(counts)
        self._steps.append(b"%d" % first)
        if length > 1:
            self._steps.append(histogram.steps)
        if len(self._filled) >= PILED_MAX:
            self._add_up()

    def distributions(self, way: int) -> dict[int, Distribution]:
        """By wholes, in one of the ways; a whole without a histogram is not there."""
        self._add_up()
        zeros: dict[int, int] = {}
        for place, count in self._zeros.items():
            if (whole := self._wholes[way][place]) >= 0:
                zeros[whole] = zeros.get(whole, 0) + count
        return {whole: self._sums[way].distribution(whole, count) for whole, count in zeros.items()}

    def _add_up(self) -> None:
        if not self._filled:
            return
        places, lengths = np.array(self._filled), np.array(self._lengths)
        along, counts = np.cumsum(_numbers(self._steps)), _numbers(self._counts).astype(np.float64)
        ends = np.cumsum(lengths)
        # Each begins with its first bucket and goes on by steps: what the others before it came to is taken away.
        before = np.append(0, along[ends[:-1] - 1])
        lowest, highest = min(self._firsts), int((along[ends - 1] - before).max())
        for wholes, sums in zip(self._wholes, self._sums, strict=True):
            sums.make_room(max(wholes) + 1, lowest, highest)
            # Those of no whole come to the row after the last.
            row = np.array(wholes)[places] % (sums.wholes + 1)
            sums.add(along + np.repeat(row * sums.width - sums.first - before, lengths), counts)
        self._clear()


_NONE = Raw(b"[]")


def _numbers(texts: Sequence[bytes | Raw]) -> Ints:
    joined = b",".join(texts).translate(None, b"[]")
    return np.fromstring(joined.decode(), dtype=np.int64, sep=",")


class _Sums:
    """The counts of each whole, by buckets from ``first`` on."""

    __slots__ = ("_counts", "first")

    def __init__(self) -> None:
        self.first = 0
        self._counts: Ints = np.zeros((0, 0), np.int64)

    @property
    def wholes(self) -> int:
        return len(self._counts)

    @property
    def width(self) -> int:
        return int(self._counts.shape[1])

    def make_room(self, wholes: int, first: int, last: int) -> None:
        """Have a place for these buckets of so many wholes."""
        if self.width:
            wholes, first = max(wholes, self.wholes), min(first, self.first)
            last = max(last, self.first + self.width - 1)
        if (wholes, last + 1 - first) != (self.wholes, self.width):
            counts = np.zeros((wholes, last + 1 - first), np.int64)
            counts[: self.wholes, self.first - first : self.first - first + self.width] = self._counts
            self._counts, self.first = counts, first

    def add(self, at: Ints, counts: npt.NDArray[np.float64]) -> None:
        """Count so many values each at a place of all wholes' buckets in a row."""
        # These sums are exact below 2**53.
        sums = np.bincount(at, counts, self._counts.size)[: self._counts.size]
        self._counts += sums.astype(np.int64).reshape(self._counts.shape)

    def distribution(self, whole: int, zeros: int) -> Distribution:
        """That of one whole, with these zeros."""
        counts = self._counts[whole] if whole < self.wholes else np.zeros(0, np.int64)
        return distribution(zeros, self.first, counts)
