"""A request that is sent again is answered as before, and counted once."""

import asyncio

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.database import Database
from monitor.traffic import OverloadError, StoreError, store
from monitor.traffic.intake import Intake
from monitor.traffic.lookout import AGE_MAX_S
from monitor.traffic.otlp import Encoding
from monitor.traffic.repeats import WHOLE_MAX, Accepted, Answered, Repeats, mark_of

from .conftest import NOON, CountingMetrics
from .test_intake import SlowDatabase, break_writes, counted, fill_windows, mend_writes

PROTOBUF = Encoding.PROTOBUF


@pytest.fixture
def taking(database: Database, clock, metrics: CountingMetrics) -> Intake:
    return Intake(database, clock, metrics)


def stored_requests(database: Database) -> int:
    entries = database.read(lambda session: store.remembered(session, 0, 10**6))
    return sum(len(requests) for _, _, requests in entries)


async def test_a_repeated_request_is_answered_alike_and_counted_once(taking, metrics, make_payload) -> None:
    body = make_payload(spans=3) + make_payload(spans=2, ended_at=NOON - 2 * AGE_MAX_S)
    first = await taking.accept(body, PROTOBUF)
    await taking.fold()
    assert await taking.accept(body, PROTOBUF) == first
    assert (first.calls, sum(first.rejected.values())) == (3, 2)
    assert await counted(taking) == 3
    assert metrics.repeats == 1
    assert metrics.spans == {"call": 3, "rejected": 2}
    assert sum(metrics.calls.values()) == 3


@pytest.mark.parametrize("is_folded", [False, True], ids=["in the journal", "in the windows"])
async def test_a_request_is_recognised_after_a_restart(
    database, clock, metrics, make_payload, is_folded
) -> None:
    body = make_payload(spans=3) + make_payload(ended_at=NOON - 2 * AGE_MAX_S)
    before = Intake(database, clock, CountingMetrics())
    first = await before.accept(body, PROTOBUF)
    if is_folded:
        await before.fold()
    after = Intake(database, clock, metrics)
    await after.recover()
    assert await after.accept(body, PROTOBUF) == first
    assert await counted(after) == 3
    assert metrics.repeats == 1


async def test_requests_of_one_commit_are_all_recognised_after_a_restart(
    database, clock, metrics, make_payload
) -> None:
    bodies = [make_payload() for _ in range(30)]
    before = Intake(database, clock, CountingMetrics())
    await asyncio.gather(*(before.accept(body, PROTOBUF) for body in bodies))
    after = Intake(database, clock, metrics)
    await after.recover()
    for body in bodies:
        await after.accept(body, PROTOBUF)
    assert (await counted(after), metrics.repeats) == (30, 30)


async def test_a_request_without_calls_is_recognised_too(taking, database, metrics, make_payload) -> None:
    body = make_payload(spans=4, attributes={"http.route": "/"})
    assert await taking.accept(body, PROTOBUF) == await taking.accept(body, PROTOBUF)
    assert metrics.spans == {"other": 4}
    assert metrics.repeats == 1
    assert stored_requests(database) == 0, "nothing is written for what is not kept"


async def test_a_request_that_comes_again_before_it_is_stored_waits_for_it(
    database, clock, metrics, make_payload
) -> None:
    slow = SlowDatabase(database.path)
    taking = Intake(slow, clock, metrics)
    body = make_payload(spans=2)
    first = asyncio.create_task(taking.accept(body, PROTOBUF))
    await slow.asked.wait()
    second = asyncio.create_task(taking.accept(body, PROTOBUF))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not second.done()
    first.cancel()  # the sender gave up waiting, which is why it sends again
    slow.go_on.set()
    assert (await second).calls == 2
    assert (await counted(taking), metrics.repeats) == (2, 1)
    assert sum(metrics.calls.values()) == 2
    slow.close()


async def test_what_was_not_stored_is_taken_when_it_comes_again(
    taking, database, metrics, make_payload
) -> None:
    body = make_payload(spans=2)
    break_writes(database, "traffic_request")  # the last thing that is written: the calls must go with it
    with pytest.raises(StoreError):
        await taking.accept(body, PROTOBUF)
    mend_writes(database)
    assert (await taking.accept(body, PROTOBUF)).calls == 2
    assert (await counted(taking), metrics.repeats) == (2, 0)


async def test_a_repeat_is_answered_also_when_there_is_no_room_for_more(
    taking, metrics, make_payload
) -> None:
    body = make_payload()
    await taking.accept(body, PROTOBUF)
    fill_windows(taking)
    with pytest.raises(OverloadError):
        await taking.accept(make_payload(), PROTOBUF)
    assert (await taking.accept(body, PROTOBUF)).calls == 1


async def test_requests_are_forgotten_when_their_calls_would_be_too_old(
    taking, database, clock, metrics, make_payload
) -> None:
    bodies = [make_payload() for _ in range(3)]
    for body in bodies:
        await taking.accept(body, PROTOBUF)
    clock.advance(AGE_MAX_S)
    await taking.fold()
    assert stored_requests(database) == 3
    assert (await taking.accept(bodies[0], PROTOBUF)).calls == 1
    clock.advance(1)
    await taking.fold()
    assert stored_requests(database) == 1, "the last one stays until another is forgotten"
    assert (await taking.accept(bodies[0], PROTOBUF)).rejected, "it is refused for its age instead"
    assert metrics.repeats == 1


def answered(number: int) -> Answered:
    return Answered(number.to_bytes(16), Accepted(1, 0, {}))


def test_no_more_than_so_many_are_remembered() -> None:
    repeats = Repeats(keep_s=100, requests_max=3)
    for number in range(5):
        repeats.add([answered(number)], at=number, entry_id=number + 1)
    assert len(repeats) == 3
    assert [bool(repeats.find(number.to_bytes(16))) for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert repeats.forget(now=5) == 2


def test_requests_of_one_entry_are_forgotten_together() -> None:
    repeats = Repeats(keep_s=100, requests_max=2)
    repeats.add([answered(1), answered(2), answered(3)], at=0, entry_id=7)
    assert len(repeats) == 3, "those that came last are remembered, however many"
    assert repeats.forget(now=1) == 0
    repeats.add([answered(4)], at=50, entry_id=8)
    assert repeats.forget(now=101) == 7
    assert len(repeats) == 1
    assert repeats.forget(now=151) == 8


@pytest.mark.parametrize(
    "place", [0, 0.5, -1], ids=["the first byte", "a byte in the middle", "the last byte"]
)
def test_requests_of_some_spans_that_differ_anywhere_are_different(make_payload, place) -> None:
    body = make_payload(spans=50)
    changed = bytearray(body)
    changed[int(place * len(body)) if place == 0.5 else place] ^= 1
    assert mark_of(bytes(changed), PROTOBUF) != mark_of(body, PROTOBUF)


@pytest.mark.parametrize("spans", [60, 500], ids="{} spans".format)
@pytest.mark.parametrize("what", ["ids", "times", "length"])
def test_large_requests_with_spans_of_their_own_are_different(make_payload, spans, what) -> None:
    texts = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": "the same question " * 50}
    one = make_payload(spans=spans, attributes=texts)
    assert len(one) > WHOLE_MAX
    match what:
        case "ids":
            other = make_payload(spans=spans, attributes=texts)
            assert len(other) == len(one)
        case "times":
            request = ExportTraceServiceRequest.FromString(one)
            for span in request.resource_spans[0].scope_spans[0].spans:
                span.end_time_unix_nano += 1
            other = request.SerializeToString()
        case _:
            other = one + one[:1]
    assert mark_of(other, PROTOBUF) != mark_of(one, PROTOBUF)
    assert mark_of(bytes(one), PROTOBUF) == mark_of(one, PROTOBUF)


def test_the_same_bytes_in_another_encoding_are_another_request() -> None:
    assert mark_of(b"{}", Encoding.JSON) != mark_of(b"{}", PROTOBUF)
