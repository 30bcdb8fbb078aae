"""Each call counted once, whatever the requests in which its reports come."""

import random
from collections.abc import Iterable, Sequence

import pytest
from exported_spans import id_of
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.traffic.joining import chains, index, recent
from monitor.traffic.joining.counted import Counted
from monitor.traffic.joining.groups import join
from monitor.traffic.joining.recent import Recent, Settled
from monitor.traffic.otlp import Span
from monitor.traffic.rows import Rows, rows_of
from monitor.traffic.sightings import Shapes, sighting_of

from .test_joining import ID, ONE_CALL, OTHER_ID, TWO_CALLS, framework, otel, reports, untold, wrapper

SHAPES = Shapes()


def rows(spans: Iterable[Span]) -> Rows:
    return rows_of(sighting_of(one, SHAPES) for one in reports(list(spans)))


def admitted(settled: Settled) -> list[Counted]:
    """All calls that are counted from now on, those included that stayed rows."""
    plain = [Counted((settled.rows.sighting(place),)) for place in settled.plain.tolist()]
    return [*plain, *settled.admitted]


class Ledger:
    """What is counted, by what ``Recent`` says of each request."""

    def __init__(self, recent: Recent | None = None) -> None:
        self.recent = Recent() if recent is None else recent
        self.counted: list[Counted] = []
        self.entries = 0

    def take(self, spans: Iterable[Span], now: float = 0.0) -> Settled:
        settled = self.recent.settle(rows(spans), now)
        self.entries += 1
        self.recent.keep(settled, self.entries, now)
        for gone in settled.withdrawn:
            (same,) = [one for one in self.counted if _named(one) == _named(gone)]
            self.counted.remove(same)
        self.counted += admitted(settled)
        return settled

    @property
    def calls(self) -> set[frozenset[str]]:
        """The calls that are counted, by their spans; fails when a span is counted twice."""
        calls = [frozenset(one.call().span_ids) for one in self.counted if one.is_call]
        assert len(calls) == len(set(calls))
        return set(calls)


def _named(counted: Counted) -> object:
    return {(one.key, one.start_ns) for one in counted.sightings}, counted.is_call


def ids(*numbers: int) -> frozenset[str]:
    return frozenset(map(id_of, numbers))


def whole(spans: Sequence[Span]) -> set[frozenset[str]]:
    """The calls behind the spans when all of them come at once."""
    return {frozenset(one.call.span_ids) for one in join(reports(spans))[0]}


@pytest.mark.parametrize("spans", [*ONE_CALL.values(), *TWO_CALLS.values()], ids=[*ONE_CALL, *TWO_CALLS])
@pytest.mark.parametrize("is_turned", [False, True], ids=["in order", "turned"])
def test_reports_in_requests_of_their_own_count_as_those_of_one(
    spans: Sequence[Span], is_turned: bool
) -> None:
    ledger = Ledger()
    for span in reversed(spans) if is_turned else spans:
        ledger.take([span])
    assert ledger.calls == whole(spans)


def _busy_service(seed: int) -> list[Span]:
    """Calls in parallel, told by two libraries or one, wrapped, tried again, with and without ids."""
    chance = random.Random(seed)
    spans: list[Span] = []
    for n in range(30):
        number, at_s, tokens = 10 * (n + 1), chance.uniform(0, 6), (chance.randint(1, 4), 3)
        response_id = chance.choice([None, f"chatcmpl-{seed:08d}{n:08d}"])
        match chance.randrange(6):
            case 0:
                spans.append(otel(number, tokens, response_id, trace=number, at_s=at_s))
            case 1:
                spans.append(otel(number, tokens, response_id, trace=number, at_s=at_s))
                spans.append(framework(number + 1, tokens, trace=number + 1, at_s=at_s - 0.01))
            case 2:
                spans.append(otel(number, tokens, response_id, trace=number, at_s=at_s, parent=number + 1))
                spans.append(framework(number + 1, tokens, trace=number, at_s=at_s - 0.01))
            case 3:
                spans.append(otel(number, None, trace=number, at_s=at_s, error="Error code: 429", for_s=0.2))
                spans.append(otel(number + 1, tokens, response_id, trace=number, at_s=at_s + 0.3, for_s=1.0))
            case 4:
                spans += [wrapper(number, trace=number, at_s=at_s)] + [
                    otel(number + k, (k, 1), trace=number, at_s=at_s + 0.1 * k, for_s=0.1, parent=number)
                    for k in (1, 2)
                ]
            case _:
                spans.append(framework(number, tokens, trace=number, at_s=at_s, response_id=response_id))
    return spans


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_however_a_stream_is_cut_into_requests_it_gives_the_same_calls(seed: int, size: int) -> None:
    chance = random.Random(seed)
    spans = _busy_service(seed)
    if chance.random() < 0.7:
        spans.sort(key=lambda one: one.end_ns)
    else:
        chance.shuffle(spans)
    ledger = Ledger()
    for start in range(0, len(spans), size):
        ledger.take(spans[start : start + size])
    assert ledger.calls == whole(spans)


def test_a_further_report_replaces_the_call_and_adds_what_it_tells() -> None:
    ledger = Ledger()
    ledger.take([otel(1, None, ID)])
    settled = ledger.take([framework(2, (50, 9), response_id=ID)])
    (gone,), (counted,) = settled.withdrawn, admitted(settled)
    assert gone.call().span_ids == (id_of(1),)
    assert (counted.call().input_tokens, counted.call().response_id) == (50, ID)


def test_a_span_that_is_sent_again_changes_nothing() -> None:
    ledger = Ledger()
    ledger.take([otel(1, response_id=ID)])
    settled = ledger.take([otel(1, response_id=ID)])
    assert (len(settled), settled.withdrawn) == (0, [])


def test_a_span_that_was_sent_before_it_ended_is_counted_as_it_ended() -> None:
    ledger = Ledger()
    ledger.take([otel(1, None, ID, for_s=0.0), framework(2, response_id=ID)])
    ledger.take([otel(1, (50, 9), ID, for_s=2.0, attributes={"gen_ai.response.finish_reasons": ["stop"]})])
    ledger.take([otel(1, None, ID, for_s=0.0)])
    (counted,) = ledger.counted
    assert (ledger.calls, counted.call().finish_reason) == ({ids(1, 2)}, "stop")


def test_a_sender_that_uses_ids_again_loses_no_calls() -> None:
    ledger = Ledger(Recent(keep_s=10))
    for hour in range(3):
        ledger.take([otel(1, at_s=3600 * hour), otel(2, trace=2, at_s=3600 * hour)], now=hour)
    assert len(ledger.counted) == 6
    ledger.take([], now=100)
    assert len(ledger.take([otel(1)], now=101)) == 1


def test_what_turns_out_to_wrap_calls_is_counted_no_longer() -> None:
    ledger = Ledger()
    ledger.take([wrapper(1)])
    assert ledger.calls == {ids(1)}
    ledger.take([otel(2, (20, 4), parent=1, at_s=0.1, for_s=0.5)])
    ledger.take([otel(3, (30, 5), parent=1, at_s=0.8, for_s=0.5)])
    assert ledger.calls == {ids(2), ids(3)}


def test_a_call_waits_as_long_as_it_should_and_no_longer() -> None:
    ledger = Ledger(Recent(keep_s=10))
    ledger.take([otel(1, response_id=ID)], now=0)
    ledger.take([otel(2, response_id=OTHER_ID, trace=3)], now=5)
    ledger.take([framework(3, response_id=OTHER_ID)], now=14.9)
    ledger.take([framework(4, response_id=ID, trace=5)], now=14.9)
    assert ledger.calls == {ids(1), ids(2, 3), ids(4)}


def test_a_call_that_was_joined_waits_anew() -> None:
    ledger = Ledger(Recent(keep_s=10))
    ledger.take([otel(1, response_id=ID)], now=0)
    ledger.take([framework(2, response_id=ID)], now=9)
    ledger.take([framework(3, response_id=ID, scope="third", trace=3)], now=18)
    assert ledger.calls == {ids(1, 2, 3)}


def test_no_more_calls_are_remembered_than_the_limit() -> None:
    ledger = Ledger(Recent(held_max=3))
    for number in range(1, 6):
        ledger.take([otel(number, (number, 1), trace=number)])
        assert len(ledger.recent) <= 4  # the limit is looked at when a request comes
    ledger.take([framework(10, (1, 1), trace=10), framework(11, (5, 1), trace=11)])
    assert ledger.calls == {ids(1), ids(2), ids(3), ids(4), ids(5, 11), ids(10)}
    assert recent.HELD_MAX >= 10_000


def test_nothing_is_left_of_what_is_remembered_no_longer() -> None:
    ledger = Ledger(Recent(keep_s=10))
    spans = _busy_service(1)
    ledger.take(spans[:20], now=0)
    ledger.take(spans[20:], now=1)
    ledger.take([], now=100)
    assert len(ledger.recent) == 0
    assert ledger.recent.oldest_entry is None
    ledger.take(spans, now=101)
    assert ledger.recent.oldest_entry == 4


def test_what_could_not_be_stored_is_undone() -> None:
    ledger, twin = Ledger(), Ledger()
    first, second, third = (_busy_service(7)[start::3] for start in range(3))
    for one in (ledger, twin):
        one.take(first)
    ledger.recent.undo(ledger.recent.settle(rows(second), 0.0))
    for one in (ledger, twin):
        one.take(third)
        one.take(second)
    assert ledger.calls == twin.calls == whole(_busy_service(7))


def test_a_restart_remembers_what_was_settled() -> None:
    before, after = Ledger(), Recent()
    halves = _busy_service(3)[::2], _busy_service(3)[1::2]
    settled = before.take(halves[0])
    restored = after.restore(settled.rows.take(settled.plain), settled.admitted, [], 1, 0.0)
    assert len(restored) == len(settled)
    on = Ledger(after)
    on.counted = list(before.counted)
    on.take(halves[1])
    before.take(halves[1])
    assert on.calls == before.calls


def test_a_restart_withdraws_by_name_what_was_withdrawn() -> None:
    one, joined = Ledger(), Recent()
    first = one.take([otel(1, response_id=ID)])
    second = one.take([framework(2, response_id=ID)])
    joined.restore(first.rows.take(first.plain), first.admitted, [], 1, 0.0)
    again = joined.restore(rows([]), second.admitted, [gone.name for gone in second.withdrawn], 2, 0.0)
    assert [gone.call().span_ids for gone in again.withdrawn] == [(id_of(1),)]


def test_no_sender_can_make_us_know_services_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SHAPES_MAX", 10)
    ledger = Ledger(Recent(keep_s=10))
    for number in range(50):
        ledger.take([otel(number, trace=number, resource={"service.name": f"s{number}"})], now=number)
    ledger.take([framework(99, trace=99, resource={"service.name": "s49"})], now=50)
    assert ids(49, 99) in ledger.calls


def test_the_providers_own_sdk_is_joined_with_whoever_tells_more() -> None:
    for spans in ([untold("gpt-4.1"), framework(2)], [framework(2), untold("gpt-4.1")]):
        ledger = Ledger()
        for span in spans:
            ledger.take([span])
        assert ledger.calls == {ids(1, 2)}


def test_alike_calls_of_one_library_are_all_counted_without_a_second_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("these reports have nothing to do with each other")

    monkeypatch.setattr(recent, "join", refuse)
    ledger = Ledger()
    # In one trace, one below the other, as agents write them: their ids say that they are different calls.
    spans = [
        otel(n, response_id=f"chatcmpl-{n:016d}", parent=n - 1 if n > 1 else None) for n in range(1, 100)
    ]
    ledger.take(spans)
    assert len(ledger.calls) == 99


@pytest.mark.parametrize(
    "other", [otel(1, trace=1), framework(1, response_id="chatcmpl-another-one", trace=1)],
    ids=["of the same library", "of another answer"],
)  # fmt: skip
def test_calls_of_a_service_with_two_libraries_are_not_looked_at_beside_those_that_cannot_be_the_same(
    other: Span, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    ledger.take([framework(1_000, trace=1_000, at_s=-100.0), otel(1_001, trace=1_001, at_s=-90.0), other])

    def refuse(*_: object) -> None:
        raise AssertionError("these reports have nothing to do with each other")

    monkeypatch.setattr(recent, "join", refuse)
    ledger.take([otel(n, response_id=f"chatcmpl-{n:016d}", trace=n) for n in range(2, 100)])
    assert len(ledger.calls) == 101


@pytest.mark.parametrize("calls", [100, 250])
def test_calls_that_fail_alike_in_an_outage_pair_up_in_whatever_number_they_come(calls: int) -> None:
    spans = [
        made(kind * 1000 + n, None, trace=kind * 1000 + n, at_s=0.01 * n, for_s=10.0, error="Error code: 503")
        for kind, made in ((1, otel), (2, framework))
        for n in range(calls)
    ]
    spans.sort(key=lambda span: span.end_ns)
    ledger = Ledger()
    ledger.take(spans)
    assert len(ledger.calls) == calls


def test_a_call_below_a_span_whose_ids_are_used_again_is_counted() -> None:
    ledger = Ledger()
    ledger.take([otel(1), otel(2, parent=1, scope="sdk", at_s=0.1, for_s=1.8)])
    ledger.take([otel(1, (333, 44), at_s=50.0)])
    assert sorted(len(one.sightings) for one in ledger.counted) == [1, 2]


def test_a_span_that_is_there_before_and_after_its_end_takes_nothing_back_that_was_not_counted() -> None:
    ledger = Ledger()
    ledger.take([framework(7, response_id=ID)])
    ledger.take([otel(1, None, response_id=ID, for_s=1.0), otel(1, (70, 3), for_s=2.0)])
    assert ids(1) in ledger.calls or ids(1, 7) in ledger.calls


def test_what_was_undone_leaves_the_earlier_answer_known() -> None:
    recent = Recent()
    recent.keep(recent.settle(rows([otel(1, response_id=ID)]), 0.0), 1, 0.0)
    recent.undo(recent.settle(rows([otel(2, response_id=ID, trace=5, at_s=30)]), 0.0))
    assert len(recent.settle(rows([framework(3, None, response_id=ID)]), 0.0).withdrawn) == 1


def test_more_reports_than_there_is_room_for_take_the_place_of_those_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recent, "ROOM", 64)
    monkeypatch.setattr(chains, "ROOM", 64)
    ledger = Ledger()
    for start in range(1, 400, 20):
        ledger.take(otel(number, (number, 1), trace=number) for number in range(start, start + 20))
        assert len(ledger.recent) <= 64
    ledger.take([framework(1_001, (399, 1), trace=1_001), framework(1_002, (1, 1), trace=1_002)])
    assert {ids(399, 1_001), ids(1), ids(1_002)} <= ledger.calls


def test_an_entry_may_hold_more_reports_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "ROOM", 64)
    monkeypatch.setattr(chains, "ROOM", 64)
    ledger = Ledger()
    ledger.recent.restore(rows([otel(number, trace=number) for number in range(1, 101)]), [], [], 1, 0.0)
    ledger.take([otel(1_001, response_id=ID)])
    ledger.take([framework(1_002, response_id=ID)])
    assert ledger.calls == {ids(1_001, 1_002)}


def test_a_database_that_is_full_for_long_uses_up_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "ROOM", 64)
    monkeypatch.setattr(chains, "ROOM", 64)
    ledger = Ledger()
    for _ in range(30):
        ledger.recent.undo(ledger.recent.settle(rows([otel(n, trace=n) for n in range(1, 10)]), 0.0))
    ledger.take([otel(1, response_id=ID)])
    ledger.take([framework(2, response_id=ID)])
    assert ledger.calls == {ids(1, 2)}


def test_answers_of_a_cache_are_told_apart_from_those_that_several_libraries_tell() -> None:
    cached = [otel(n, response_id=ID, trace=n, at_s=n) for n in range(1, 40)]
    ledger = Ledger()
    ledger.take(cached[:20])
    ledger.take(cached[20:])
    assert len(ledger.calls) == 39
    ledger.take([framework(99, response_id=ID, trace=99, at_s=39)])
    assert ids(39, 99) in ledger.calls
