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

    __slots__ = ("_counts", "_lengths", "_places", "_steps", "_sums", "_wholes", "_zeros")

    def __init__(self, *wholes: Sequence[int]) -> None:
        """Start with none."""
        self._wholes = wholes
        self._sums = [_Sums() for _ in wholes]
        self._clear()

    def _clear(self) -> None:
        self._places: list[int] = []
        self._zeros: list[int] = []
        self._lengths: list[int] = []
        self._steps: list[bytes] = []
        self._counts: list[bytes] = []

    def add(self, place: int, histogram: StoredHistogram) -> None:
        """Put one more on the pile."""
        counts = bytes(histogram.counts)[1:-1]
        self._places.append(place)
        self._zeros.append(histogram.zeros)
        if counts:
            steps = bytes(histogram.steps)[1:-1]
            self._steps.append(b"%d,%b" % (histogram.first, steps) if steps else b"%d" % histogram.first)
            self._counts.append(counts)
            self._lengths.append(counts.count(b",") + 1)
        else:
            self._lengths.append(0)
        if len(self._places) >= PILED_MAX:
            self._add_up()

    def distributions(self, way: int) -> dict[int, Distribution]:
        """By wholes, in one of the ways; a whole without a histogram is not there."""
        self._add_up()
        return self._sums[way].distributions()

    def _add_up(self) -> None:
        if not self._places:
            return
        places, lengths = np.array(self._places), np.array(self._lengths)
        along, counts = np.cumsum(_numbers(self._steps)), _numbers(self._counts)
        starts = np.cumsum(lengths) - lengths
        # Each begins with its first bucket and goes on by steps: what the others before it came to is taken away.
        before = np.append(0, along)[starts]
        buckets = along - np.repeat(before, lengths)
        zeros = np.array(self._zeros)
        for wholes, sums in zip(self._wholes, self._sums, strict=True):
            whole = np.array(wholes)[places]
            sums.add(whole, zeros, np.repeat(whole, lengths), buckets, counts)
        self._clear()


def _numbers(texts: Sequence[bytes]) -> Ints:
    return np.fromstring(b",".join(texts).decode(), dtype=np.int64, sep=",")


class _Sums:
    """The zeros and buckets of each whole, added up."""

    __slots__ = ("_counts", "_first", "_zeros")

    def __init__(self) -> None:
        self._zeros: dict[int, int] = {}
        self._first = 0
        self._counts: Ints = np.zeros((0, 0), np.int64)

    def add(self, whole: Ints, zeros: Ints, of: Ints, buckets: Ints, counts: Ints) -> None:
        """Count histograms of wholes with so many zeros, and buckets of wholes with so many values."""
        is_of_one = whole >= 0
        whole, zeros = whole[is_of_one], zeros[is_of_one]
        found = np.bincount(whole, zeros)
        for one in np.unique(whole).tolist():
            self._zeros[one] = self._zeros.get(one, 0) + int(found[one])
        is_of_one = of >= 0
        of, buckets, counts = of[is_of_one], buckets[is_of_one], counts[is_of_one]
        if len(of):
            self._make_room(int(of.max()) + 1, int(buckets.min()), int(buckets.max()) + 1)
            wholes, width = self._counts.shape
            # Sums of weights are exact below 2**53.
            sums = np.bincount(of * width + buckets - self._first, counts, wholes * width)
            self._counts += sums.astype(np.int64).reshape(wholes, width)

    def _make_room(self, wholes: int, first: int, end: int) -> None:
        were, width = self._counts.shape
        if width:
            wholes, first, end = max(wholes, were), min(first, self._first), max(end, self._first + width)
        if (wholes, end - first) != (were, width):
            counts = np.zeros((wholes, end - first), np.int64)
            counts[:were, self._first - first : self._first - first + width] = self._counts
            self._counts, self._first = counts, first

    def distributions(self) -> dict[int, Distribution]:
        """The distribution of each whole."""
        nothing = np.zeros(0, np.int64)
        return {
            whole: distribution(
                zeros, self._first, self._counts[whole] if whole < len(self._counts) else nothing
            )
            for whole, zeros in self._zeros.items()
        }
