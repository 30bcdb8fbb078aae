"""Many calls are counted together exactly as each is counted by itself."""

from collections import Counter
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.traffic.calls import ErrorClass, FinishReason, Operation
from monitor.traffic.counting import Batch, Counting
from monitor.traffic.joining.counted import Counted
from monitor.traffic.pricing.book import PriceBook
from monitor.traffic.rows import EVERYDAY_MAX, RECORD, rows_of
from monitor.traffic.sightings import FACTS, Shapes, Sighting, call_of
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.marking import Marking
from monitor.traffic.windows import heap, window_book
from monitor.traffic.windows.exemplars import Kind
from monitor.traffic.windows.histogram import BUCKETS, buckets_of, nano
from monitor.traffic.windows.series import OVERFLOW
from monitor.traffic.windows.tallies import Tally
from monitor.traffic.windows.window import window_to_json
from monitor.traffic.windows.window_book import WindowBook

from .conftest import NOON
from .test_lookout import built_scanner

SHAPES = Shapes()
NOON_NS = int(NOON * 1e9)
MODELS = (
    "gpt-4o-mini-2024-07-18",
    "claude-sonnet-4-5",
    "gemini-2.5-pro",
    "text-embedding-3-small",
    "nobody-sells-this",
    None,
)

shapes = st.builds(
    lambda **facts: SHAPES.shape(
        tuple(
            {
                "service_version": "1.0",
                "environment": "production",
                "dialect": "otel_genai",
                "emitter": "lib",
                "is_first_hand": False,
                "is_declared": True,
                "is_ending": False,
                "http_status": None,
                "streaming": None,
                "error": facts["error_class"] is not None,
                **facts,
            }[name]
            for name in FACTS
        )
    ),
    operation=st.sampled_from(Operation),
    provider=st.sampled_from(["openai", "anthropic", None]),
    request_model=st.sampled_from(MODELS),
    response_model=st.sampled_from(MODELS),
    error_class=st.none() | st.sampled_from(ErrorClass),
    finish_reason=st.none() | st.sampled_from(FinishReason),
    service_name=st.sampled_from(["shop", "bot"]),
)
tokens = st.none() | st.integers(0, 3_000) | st.integers(10**4, 10**8)


@st.composite
def sightings(draw: st.DrawFn) -> list[Sighting]:
    found = []
    for number in range(draw(st.integers(1, 25))):
        end_ns = NOON_NS + draw(st.integers(-(10**11), 10**11))
        found.append(
            Sighting(
                draw(shapes),
                number.to_bytes(16, "big"),
                number.to_bytes(8, "big"),
                b"",
                end_ns - draw(st.integers(-1000, 10**7) | st.integers(10**8, 10**11) | st.just(10**15)),
                end_ns,
                None,
                None,
                *(draw(tokens) for _ in range(5)),
                ttft_s=draw(st.none() | st.floats(0, 60)),
                prompt=None,
                chosen=draw(st.just(()) | st.just((("team", "search"),))),
                checks=draw(st.just(()) | st.just((("format", False),))),
            )
        )
    return found


WATCHES = [
    WatchConfig.model_validate({"name": "w", **fields})
    for fields in (
        {"share": {"where": {"finish_reason": "length"}, "of": {"service": "shop"}}, "above": "1%"},
        {"share": {"where": {"attributes": {"team": "search"}, "failed": False}}, "above": "1%"},
        {"budget": {"usd": 5, "every": "day", "per": "team"}},
    )
]


def admitted(batch: Batch) -> list[Counted]:
    """All calls of a batch, each by itself."""
    plain = []
    for place in batch.settled.plain.tolist():
        counted = Counted((batch.settled.rows.sighting(place),))
        batch.value(place, counted)
        plain.append(counted)
    return [*plain, *batch.settled.admitted]


def one_by_one(many: Sequence[Sighting], marking: Marking | None = None) -> WindowBook:
    book, counting = WindowBook(), Counting(marking=marking)
    for sighting in many:
        (counted,) = admitted(counting.settle(rows_of([sighting]), NOON))
        assert counted.series is not None
        book.add(counted.call(), counted.series)
    return book


def told(book: WindowBook) -> dict[object, object]:
    """What is in the windows; of calls as slow or dear as others it does not matter which are linked to."""
    return {
        (one.minute, one.series): window_to_json(one)
        | {"exemplars": {kind: [best.value for best in one.exemplars.of(kind)] for kind in Kind}}
        for one in book
    }


@pytest.fixture(params=["numpy", "scanner"], scope="module")
def counter(request: pytest.FixtureRequest) -> ModuleType | None:
    """What counts many calls: numpy, or the scanner in C."""
    return built_scanner() if request.param == "scanner" else None


@settings(max_examples=100, deadline=None)
@given(many=sightings())
def test_many_calls_count_as_each_does_by_itself(counter: ModuleType | None, many: list[Sighting]) -> None:
    # Reports of one library without ids: none of them is of another's call.
    counting = Counting(scanner=counter)
    counting.count(counting.settle(rows_of(many), NOON), 1, NOON)
    book = WindowBook()
    counting.copy_to(book, 0, 10**10)
    assert told(book) == told(one_by_one(many))


@settings(max_examples=25, deadline=None)
@given(many=sightings(), at_a_time=st.integers(1, 5), steps=st.integers(0, 30))
def test_calls_are_counted_in_steps_and_others_come_in_between(
    counter: ModuleType | None, many: list[Sighting], at_a_time: int, steps: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heap, "HEAP_MAX", 4)
        patch.setattr(window_book, "PIECE", 1)
        counting = Counting(scanner=counter)
        for first in range(0, len(many), at_a_time):
            batch = counting.settle(rows_of(many[first : first + at_a_time]), NOON)
            counting.count(batch, first + 1, NOON)
            for _ in range(steps):
                counting.step()
        unfolded = counting.take(NOON)
        while counting.finish(unfolded):
            pass
    if counter is None:
        assert len(unfolded.windows) == len(list(unfolded.windows))  # nothing was left for the last moment
    for _ in range(2):  # who looks takes nothing out
        assert told(unfolded.windows) == told(one_by_one(many))


@settings(max_examples=100, deadline=None)
@given(sightings())
def test_many_calls_are_marked_as_each_is_by_itself(many: list[Sighting]) -> None:
    counting = Counting(marking=Marking(WATCHES))
    counting.count(counting.settle(rows_of(many), NOON), 1, NOON)
    book = WindowBook()
    counting.copy_to(book, 0, 10**10)
    assert told(book) == told(one_by_one(many, Marking(WATCHES)))


@settings(max_examples=100, deadline=None)
@given(many=sightings())
def test_many_calls_cost_what_each_costs_by_itself(counter: ModuleType | None, many: list[Sighting]) -> None:
    prices = PriceBook(scanner=counter)
    for counted in admitted(Counting(prices, scanner=counter).settle(rows_of(many), NOON)):
        assert (counted.cost_usd, counted.cost_basis) == prices.cost_of(call_of(counted.sightings[0]))


def test_an_embedding_costs_the_same_among_calls_of_another_day(counter: ModuleType | None) -> None:
    facts = {
        "operation": Operation.EMBEDDINGS,
        "provider": "openai",
        "request_model": "text-embedding-3-small",
    }
    shape = SHAPES.shape(tuple(facts.get(name, _plain(name)) for name in FACTS))
    # It tells no output, as embeddings have none.
    numbers = (1_000, None, None, None, None)
    today = Sighting(
        shape, bytes(16), bytes(8), b"", NOON_NS - 10**9, NOON_NS, None, None, *numbers, None, None
    )
    a_day_ns = 86_400 * 10**9
    before = today._replace(
        span_id=b"12345678", start_ns=today.start_ns - a_day_ns, end_ns=today.end_ns - a_day_ns
    )
    costs, _ = PriceBook(scanner=counter).costs_of(rows_of([before, today]))
    assert costs.tolist() == pytest.approx([2e-5, 2e-5])


@settings(max_examples=50, deadline=None)
@given(sightings())
def test_what_was_counted_among_many_can_be_taken_back_alone(many: list[Sighting]) -> None:
    counting, book = Counting(marking=Marking(WATCHES)), WindowBook()
    batch = counting.settle(rows_of(many), NOON)
    counting.count(batch, 1, NOON)
    counting.copy_to(book, 0, 10**10)
    for counted in admitted(batch):
        book.take_back(counted.call(), counted.series or OVERFLOW)
    for window in book:
        assert (window.calls, window.latency_s.n, window.latency_s.total, window.cost_usd.total) == (
            0,
            0,
            0,
            0,
        )
        assert window.matched == {}
        assert all(tally == Tally() for _, _, tally in window.chosen)
        assert (window.errors, window.cost_bases, window.finish_reasons, window.failed_checks) == (
            {},
            {},
            {},
            {},
        )


def test_a_call_of_uncommon_size_is_counted_by_itself() -> None:
    shape = SHAPES.shape(tuple(_plain(name) for name in FACTS))
    numbers = (int(EVERYDAY_MAX) + 1, None, None, 3, None)
    large = Sighting(
        shape, bytes(16), bytes(8), b"", NOON_NS - 10**9, NOON_NS, None, None, *numbers, None, None
    )
    batch = Counting().settle(rows_of([large, large._replace(span_id=b"12345678", input_tokens=10)]), NOON)
    assert [one.sightings[0].input_tokens for one in batch.settled.admitted] == [int(EVERYDAY_MAX) + 1]


def _plain(name: str) -> object:
    facts = {"operation": Operation.CHAT, "service_name": "shop", "is_declared": True, "emitter": "lib"}
    return facts.get(name, False if name in ("error", "is_first_hand", "is_ending") else None)


def test_the_scanner_counts_values_at_the_edges_of_buckets_as_numpy_does() -> None:
    edges = BUCKETS[0]
    values = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, np.inf), [0.0, 1e-9, 1e-300]])
    values = values[values < 1e9]
    counts, n = built_scanner().Counts(*BUCKETS), len(values)
    counts.know(np.zeros(1, np.int32), bytes([2]))
    counts.add(np.zeros(n, RECORD), np.zeros(n, np.int64), values, np.zeros(n, np.int64))
    measures, _, (slowest, dearest, failed) = counts.window(0)
    buckets, total_nano = measures[2]
    assert buckets == Counter(buckets_of(values).tolist())
    assert total_nano == sum(nano(values).tolist())
    assert [value for value, _ in dearest] == sorted(values.tolist())[-3:]
    assert ([value for value, _ in slowest], failed) == ([0.0], [])  # all of them have the same ids


def test_the_scanner_counts_a_sum_that_no_64_bits_hold() -> None:
    counts, n = built_scanner().Counts(*BUCKETS), 1_000
    counts.know(np.zeros(1, np.int32), bytes([2]))
    costs = np.full(n, 5e9)
    for _ in range(3):
        counts.add(np.zeros(n, RECORD), np.zeros(n, np.int64), costs, np.zeros(n, np.int64))
    assert counts.window(0)[0][2][1] == 3 * n * 5 * 10**18


@settings(max_examples=100, deadline=None)
@given(many=sightings())
def test_the_scanner_takes_the_same_calls_for_everyday_ones_as_numpy(many: list[Sighting]) -> None:
    rows = rows_of(many)
    assert rows.are_everyday(built_scanner()).tolist() == rows.are_everyday().tolist()


def test_the_scanner_refuses_calls_of_kinds_that_have_no_price() -> None:
    with pytest.raises(ValueError, match="no such kind"):
        built_scanner().costs(np.zeros(1, RECORD), b"", 3)


def test_the_scanner_refuses_calls_of_groups_and_windows_that_nobody_told_it_of() -> None:
    counts = built_scanner().Counts(*BUCKETS)
    counts.know(np.zeros(1, np.int32), bytes([2]))
    one = np.zeros(1, np.int64)
    for group, basis in ((1, 0), (-1, 0), (0, 4), (0, -1)):
        with pytest.raises(ValueError, match="a known group"):
            counts.add(np.zeros(1, RECORD), one + group, np.zeros(1), one + basis)
    with pytest.raises(ValueError, match="a known group"):
        counts.add(np.zeros(2, RECORD), one, np.zeros(2), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="no such window"):
        counts.know(np.full(1, -1, np.int32), bytes([0]))
    for number in (1, -1):
        with pytest.raises(IndexError):
            counts.window(number)
    with pytest.raises(TypeError, match="made once"):
        counts.__init__(*BUCKETS)
