"""What was settled comes back from its entry in the journal."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.traffic.calls import Call, CostBasis, to_json
from monitor.traffic.counting import Counting
from monitor.traffic.dialects import Report
from monitor.traffic.entries import decode, encode
from monitor.traffic.joining.counted import Counted
from monitor.traffic.joining.recent import Recent
from monitor.traffic.rows import rows_of
from monitor.traffic.sightings import Shapes, call_of, sighting_of
from monitor.traffic.watches.marking import Marking
from monitor.traffic.windows.series import OVERFLOW, series_of
from monitor.traffic.windows.window import window_to_json
from monitor.traffic.windows.window_book import WindowBook

from .conftest import MakeCall
from .test_counting import WATCHES
from .test_joining import framework, otel, reports, wrapper

SHAPES = Shapes()
ANSWERED = {"gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.cache_read.input_tokens": 7}


def settled_calls() -> list[Counted]:
    spans = [
        otel(1, attributes=ANSWERED),
        otel(2, None, trace=2, error="Error code: 429"),
        framework(3, (4, 4), trace=3),
        otel(4, (4, 4), trace=4),
        wrapper(5, trace=5),
        otel(6, (1, 1), parent=5, trace=5, for_s=0.1),
        otel(7, (2, 1), parent=5, trace=5, for_s=0.1),
    ]
    sightings = [
        sighting_of(one, SHAPES, (("user.id", "ann"),), (("format", False),)) for one in reports(spans)
    ]
    settled = Recent().settle(rows_of(sightings), 0.0, np.ones(len(sightings), np.bool_))
    admitted = list(settled.admitted)
    for number, counted in enumerate(admitted):
        counted.series = OVERFLOW if number == 1 else series_of(counted.call())
        counted.matched = ("truncated",) if number == 2 else ()
        counted.chosen = {2: (("team", "search"),), 3: ()}.get(number)
        if number != 1:
            counted.cost_usd, counted.cost_basis = 0.1 * number, CostBasis.EXACT
    return admitted


def test_calls_come_back_as_they_were_settled() -> None:
    admitted = settled_calls()
    settled = Recent().restore(rows_of([]), admitted, [], 1, 0.0)
    entry = decode(encode(settled), Shapes())
    assert [one.call() for one in entry.admitted] == [one.call() for one in admitted]
    for name in ("is_call", "cost_usd", "cost_basis", "matched", "chosen", "series"):
        assert [getattr(one, name) for one in entry.admitted] == [getattr(one, name) for one in admitted]
    assert [len(one.sightings) for one in entry.admitted].count(2) == 1
    assert not all(one.is_call for one in entry.admitted)


def test_what_was_withdrawn_is_named() -> None:
    recent = Recent()
    first = recent.restore(rows_of([]), settled_calls(), [], 1, 0.0)
    settled = recent.restore(rows_of([]), [], [one.name for one in first.admitted[:2]], 2, 0.0)
    assert list(decode(encode(settled), SHAPES).withdrawn) == [one.name for one in first.admitted[:2]]


def test_an_entry_takes_about_a_hundred_bytes_a_call() -> None:
    chance = random.Random(1)
    spans = [
        otel(n, (chance.randint(1, 9999), n), f"chatcmpl-{chance.randbytes(14).hex()}", trace=n)
        for n in range(1, 501)
    ]
    batch = Counting().settle(rows_of(sighting_of(one, SHAPES) for one in reports(spans)), 0.0)
    assert len(batch.settled.plain) == 500
    assert len(Counting().entry(batch)) / 500 < 150


@pytest.mark.parametrize("error", [False, True])
def test_calls_that_an_earlier_version_wrote_are_still_read(make_call: MakeCall, error: bool) -> None:
    calls = [
        make_call(cost_usd=0.5, cost_basis=CostBasis.INFERRED, error=error, checks_failed=("format",)),
        make_call(span_ids=("0" * 15 + "2",), duration_s=2.0, started_at=make_call().ended_at - 2),
    ]
    entry = decode(b"\n".join(map(to_json, calls)), SHAPES)
    assert [one.call() for one in entry.admitted] == calls
    assert [one.series for one in entry.admitted] == [series_of(one) for one in calls]


def test_an_entry_is_read_whatever_its_size(make_call: MakeCall) -> None:
    for size in range(300):
        call = make_call(response_id="x" * size)
        assert written_and_read(call).response_id == call.response_id


def test_more_tokens_than_one_count_may_tell_come_back(make_call: MakeCall) -> None:
    call = written_and_read(make_call(input_tokens=2_700_000_000, output_tokens=None))
    assert (call.input_tokens, call.output_tokens) == (2_700_000_000, None)


def written_and_read(call: Call) -> Call:
    """The call as it comes back out of an entry, in whatever form it is there."""
    counting = Counting()
    report = Report(call, "", "lib", False, True, False, None, {})
    entry = decode(counting.entry(counting.settle(rows_of([sighting_of(report, SHAPES)]), 0.0)), SHAPES)
    calls = [call_of(entry.rows.sighting(place)) for place in range(len(entry.rows))]
    (read,) = [*calls, *(one.call() for one in entry.admitted)]
    return read


ATTRIBUTES = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=2).map(tuple)


@given(
    st.lists(
        st.tuples(st.text(max_size=20) | st.none(), ATTRIBUTES, st.integers(0, 9) | st.none()), min_size=1
    )
)
def test_plain_calls_come_back_with_what_they_are_counted_as(
    told: list[tuple[str | None, tuple[tuple[str, str], ...], int | None]],
) -> None:
    counting = Counting(marking=Marking(WATCHES))
    sightings = []
    for number, (response_id, chosen, tokens) in enumerate(told):
        (report,) = reports([otel(number + 1, (tokens or 0, 5), trace=number + 1)])
        sighting = sighting_of(report, SHAPES, chosen)
        sightings.append(sighting._replace(response_id=response_id, input_tokens=tokens))
    batch = counting.settle(rows_of(sightings), 0.0)
    entry = decode(counting.entry(batch), Shapes())
    assert batch.many is not None
    for place, sighting in enumerate(sightings):
        again = entry.rows.sighting(place)
        assert again[1:] == sighting[1:]
        assert series_of(again.shape) == series_of(sighting.shape)
        assert entry.values.marks.get(place) == batch.many.marks.get(place)
    assert entry.values.basis.tolist() == batch.many.basis.tolist()
    assert entry.values.cost_usd.tobytes() == batch.many.cost_usd.tobytes()


def test_a_restart_takes_back_the_right_one_of_two_calls_whose_ids_are_the_same() -> None:
    live, after = Counting(), Counting()
    requests = [
        [otel(1, response_id="chatcmpl-0123456789abcdef")],
        [otel(1, (70, 3), at_s=20, response_id="chatcmpl-fedcba9876543210")],
        [framework(2, None, response_id="chatcmpl-0123456789abcdef")],
    ]
    books = []
    for number, spans in enumerate(requests, 1):
        batch = live.settle(rows_of(sighting_of(one, SHAPES) for one in reports(spans)), 0.0)
        live.count(batch, number, 0.0)
        after.restore(number, 0.0, live.entry(batch), is_folded=False)
    assert len(batch.settled.withdrawn) == 1
    for counting in (live, after):
        book = WindowBook()
        counting.copy_to(book, 0, 10**10)
        books.append([window_to_json(one) for one in book])
    assert books[0] == books[1]
