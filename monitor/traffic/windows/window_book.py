"""Windows by minute and series, into which calls are counted one by one or by the thousand."""

from collections.abc import Iterable, Iterator
from itertools import chain
from types import ModuleType

from ..calls import Call
from ..lookout.scanning import scanner
from ..rows import Floats, Integers, Rows
from .at_once import AtOnce, Look
from .groups import Groups, Place
from .heap import Heap
from .series import Series, minute_of
from .tallies import VALUES_MAX, Tallies, Tally, count
from .window import Window

PIECE = 64
"""How many windows are asked for at a time."""


class WindowBook:
    """What was counted since the book was opened."""

    def __init__(
        self,
        windows: Iterable[Window] = (),
        values_max: int = VALUES_MAX,
        scanner: ModuleType | None = scanner,
    ) -> None:
        """Start with the given windows; those of one minute and series are added up.

        Each will tell apart so many values of an attribute. ``scanner`` is the one in C, if there is: it counts, too.
        """
        self._values_max = values_max
        self._windows: dict[Place, Window] = {}
        self.groups = Groups()
        """Of the calls that are counted by the thousand."""
        self._heap = Heap(self.groups)
        self._at_once = None if scanner is None else AtOnce(self.groups, scanner)
        self.merge(windows)

    def add(self, call: Call, series: Series) -> None:
        """Count one call in the minute in which it ended."""
        self._at(minute_of(call.ended_at), series).add(call)

    def add_rows(self, rows: Rows, group: Integers, cost_usd: Floats, basis: Integers) -> None:
        """Count the calls of the rows, each in its group, with what it cost and how sure that is, by number."""
        if self._at_once is not None:
            self._at_once.add(rows, group, cost_usd, basis)
            return
        self._heap.add(rows, group, cost_usd, basis)
        if self._heap.is_full:
            self._heap.begin(self._at)

    @property
    def is_counting(self) -> bool:
        """Whether some calls are counted in part: ``step`` goes on with them. Who reads windows gets them whole."""
        return self._heap.is_counting

    def step(self, *, with_few: bool = False) -> bool:
        """Go on with counting, for a few milliseconds; gives whether there is more to do.

        ``with_few`` begins with what waits to be counted, too, however few that are.
        """
        if with_few and not self._heap.is_counting:
            self._heap.begin(self._at)
        else:
            self._heap.step()
        return self._heap.is_counting or (with_few and not self._heap.is_empty)

    def add_matched(self, minute: int, series: Series, names: Iterable[str], calls: int) -> None:
        """Count calls of the rows under these names, too."""
        matched = self._at(minute, series).matched
        for name in names:
            count(matched, name, calls)

    def add_chosen(
        self, minute: int, series: Series, chosen: Iterable[tuple[str, str]], tally: Tally
    ) -> None:
        """Count calls of the rows by the values of their chosen attributes, too."""
        tallies = self._at(minute, series).chosen
        for attribute, value in chosen:
            tallies.add(attribute, value, tally)

    def take_back(self, call: Call, series: Series) -> None:
        """Count one call less in the minute in which it ended."""
        self._at(minute_of(call.ended_at), series).take_back(call)

    def merge(self, windows: Iterable[Window]) -> None:
        """Count everything that ``windows`` counted."""
        for window in windows:
            self._at(window.minute, window.series).merge(window)

    def close(self) -> None:
        """Let go of what is only needed to count more calls of the rows."""
        self.groups.close()

    def _at(self, minute: int, series: Series) -> Window:
        key = (minute, series)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = self._empty(key)
        return window

    def __iter__(self) -> Iterator[Window]:
        return chain.from_iterable(self.pieces())

    def pieces(self) -> Iterator[list[Window]]:
        """The windows by time and service, few at a time, which takes a few milliseconds for each piece.

        Most are made when their turn comes and kept by nobody. Nothing must be counted before the last piece.
        """
        self._heap.count(self._at)
        look = None if self._at_once is None else self._at_once.look()
        places = list(self._windows) if look is None else list({*look.windows, *self._windows})
        places.sort(key=_time_and_service)
        for first in range(0, len(places), PIECE):
            yield [self._whole(place, look) for place in places[first : first + PIECE]]

    def _whole(self, place: Place, look: Look | None) -> Window:
        """The window of that minute and series, with all that was counted of it in one way or the other."""
        known = self._windows.get(place)
        if look is None and known is not None:
            return known
        whole = self._empty(place)
        if look is not None:
            look.add_to(whole)
        if known is not None:
            whole.merge(known)
        return whole

    def _empty(self, place: Place) -> Window:
        return Window(*place, chosen=Tallies(self._values_max))

    def __len__(self) -> int:
        """How many windows there are, or a few more."""
        return len(self._windows) + len(self._heap if self._at_once is None else self._at_once)


def _time_and_service(place: Place) -> tuple[int, str]:
    minute, series = place
    return minute, series.service
