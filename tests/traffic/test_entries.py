"""What was settled comes back from its entry in the journal."""

import random

import pytest

from monitor.traffic.calls import CostBasis, to_json
from monitor.traffic.dialects import Report
from monitor.traffic.entries import decode, encode
from monitor.traffic.joining.recent import Counted, Recent
from monitor.traffic.sightings import Shapes, sighting_of
from monitor.traffic.windows.series import OVERFLOW, series_of

from .conftest import MakeCall
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
    admitted = list(Recent().settle(sightings, 0.0).admitted)
    for number, counted in enumerate(admitted):
        counted.series = OVERFLOW if number == 1 else series_of(counted.call())
        counted.matched = ("truncated",) if number == 2 else ()
        counted.chosen = {2: (("team", "search"),), 3: ()}.get(number)
        if number != 1:
            counted.cost_usd, counted.cost_basis = 0.1 * number, CostBasis.EXACT
    return admitted


def test_calls_come_back_as_they_were_settled() -> None:
    admitted = settled_calls()
    settled = Recent().restore(admitted, [], 1, 0.0)
    entry = decode(encode(settled), Shapes())
    assert [one.call() for one in entry.admitted] == [one.call() for one in admitted]
    for name in ("is_call", "cost_usd", "cost_basis", "matched", "chosen", "series"):
        assert [getattr(one, name) for one in entry.admitted] == [getattr(one, name) for one in admitted]
    assert [len(one.sightings) for one in entry.admitted].count(2) == 1
    assert not all(one.is_call for one in entry.admitted)


def test_what_was_withdrawn_is_named() -> None:
    recent = Recent()
    first = recent.restore(settled_calls(), [], 1, 0.0)
    settled = recent.restore([], [one.name for one in first.admitted[:2]], 2, 0.0)
    assert list(decode(encode(settled), SHAPES).withdrawn) == [one.name for one in first.admitted[:2]]


def test_an_entry_takes_about_a_hundred_bytes_a_call() -> None:
    chance = random.Random(1)
    spans = [
        otel(n, (chance.randint(1, 9999), n), f"chatcmpl-{chance.randbytes(14).hex()}", trace=n)
        for n in range(1, 501)
    ]
    settled = Recent().settle([sighting_of(one, SHAPES) for one in reports(spans)], 0.0)
    for counted in settled.admitted:
        counted.series = series_of(counted.call())
    assert len(encode(settled)) / 500 < 150


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
        (sighting,) = (sighting_of(Report(call, "", "lib", False, True, False, None, {}), SHAPES),)
        settled = Recent().settle([sighting], 0.0)
        settled.admitted[0].series = series_of(call)
        (counted,) = decode(encode(settled), SHAPES).admitted
        assert counted.call().response_id == call.response_id


def test_more_tokens_than_one_count_may_tell_come_back(make_call: MakeCall) -> None:
    call = make_call(input_tokens=2_700_000_000, output_tokens=None)
    sighting = sighting_of(Report(call, "", "lib", False, True, False, None, {}), SHAPES)
    settled = Recent().settle([sighting], 0.0)
    settled.admitted[0].series = series_of(call)
    (counted,) = decode(encode(settled), SHAPES).admitted
    assert (counted.call().input_tokens, counted.call().output_tokens) == (2_700_000_000, None)


def test_a_restart_takes_back_the_right_one_of_two_calls_whose_ids_are_the_same() -> None:
    live, after = Recent(), Recent()
    requests = [
        [otel(1, response_id="chatcmpl-0123456789abcdef")],
        [otel(1, (70, 3), at_s=20, response_id="chatcmpl-fedcba9876543210")],
        [framework(2, None, response_id="chatcmpl-0123456789abcdef")],
    ]
    for number, spans in enumerate(requests, 1):
        settled = live.settle([sighting_of(one, SHAPES) for one in reports(spans)], 0.0)
        live.keep(settled, number, 0.0)
        for counted in settled.admitted:
            counted.series = series_of(counted.call())
        entry = decode(encode(settled), SHAPES)
        restored = after.restore(entry.admitted, entry.withdrawn, number, 0.0)
        assert [one.name for one in restored.withdrawn] == [one.name for one in settled.withdrawn]
    assert len(settled.withdrawn) == 1
