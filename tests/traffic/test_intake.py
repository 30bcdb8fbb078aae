import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from exported_spans import START_NS, payload_of, span_of
from sqlalchemy import text
from sqlmodel import Session, func, select

from monitor.database import Database
from monitor.traffic import OtlpError, OverloadError, StoreError, intake, store
from monitor.traffic.config import ModelPriceConfig
from monitor.traffic.counting import Unfolded
from monitor.traffic.intake import Intake
from monitor.traffic.joining.recent import KEEP_S
from monitor.traffic.lookout import AGE_MAX_S, FUTURE_MAX_S
from monitor.traffic.otlp import Encoding, Span
from monitor.traffic.pricing.book import PriceBook
from monitor.traffic.repeats import Accepted
from monitor.traffic.tables import TrafficJournalRow
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.watches.marking import Marking
from monitor.traffic.windows import at_once, heap
from monitor.traffic.windows.series import SERIES_MAX, Series, minute_of
from monitor.traffic.windows.tallies import OTHER_VALUES, VALUES_MAX
from monitor.traffic.windows.window import Window
from monitor.traffic.windows.window_book import WindowBook

from .conftest import CHAT, NOON, CountingMetrics, MakePayload

PROTOBUF = Encoding.PROTOBUF


@pytest.fixture
def taking(database: Database, clock, metrics: CountingMetrics) -> Intake:
    return Intake(database, clock, metrics)


async def counted(of: Intake) -> int:
    """How many calls there are in all windows, stored and not."""
    windows = await of.windows(0, minute_of(NOON) + 10**6)
    return sum(window.calls for window in windows)


def journal_entries(database: Database) -> int:
    return database.read(lambda session: session.exec(select(func.count(TrafficJournalRow.id))).one())


def stored_windows(database: Database) -> list[Window]:
    return database.read(lambda session: store.windows_between(session, 0, 10**10))


async def test_an_accepted_call_is_in_the_database_before_the_answer(taking, database, make_payload) -> None:
    accepted = await taking.accept(make_payload(spans=3), PROTOBUF)
    assert (accepted.calls, accepted.other, accepted.rejected) == (3, 0, {})
    assert journal_entries(database) == 1
    assert await counted(taking) == 3


async def test_a_fold_stores_the_windows(taking, database, make_payload) -> None:
    await taking.accept(make_payload(spans=3), PROTOBUF)
    assert await taking.fold() == 1
    (window,) = stored_windows(database)
    assert window.series == Series(
        "shop", "production", "1.0", "chat", "openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"
    )
    assert (window.calls, window.input_tokens.total, window.cost_bases) == (3, 3_000, {"exact": 3})
    assert window.cost_usd.mean == pytest.approx(0.00021)
    assert await counted(taking) == 3


async def test_the_journal_is_cut_when_no_further_report_of_its_calls_is_waited_for(
    taking, database, clock, make_payload
) -> None:
    await taking.accept(make_payload(), PROTOBUF)
    clock.advance(KEEP_S - 1)
    await taking.accept(make_payload(), PROTOBUF)
    await taking.fold()
    assert journal_entries(database) == 2
    clock.advance(2)
    await taking.fold()
    assert journal_entries(database) == 1
    clock.advance(KEEP_S)
    await taking.fold()
    assert (journal_entries(database), await counted(taking)) == (0, 2)


async def test_much_traffic_is_folded_without_waiting_for_the_next_time(
    taking, database, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "FOLD_AFTER_CALLS", 4)
    await taking.accept(make_payload(spans=3), PROTOBUF)
    assert taking._early_fold is None
    await taking.accept(make_payload(spans=2), PROTOBUF)
    await taking._early_fold
    assert sum(window.calls for window in stored_windows(database)) == 5


async def test_the_journal_is_not_cut_before_it_is_in_the_windows(
    taking, database, clock, make_payload
) -> None:
    await taking.accept(make_payload(), PROTOBUF)
    break_writes(database, "traffic_window")
    clock.advance(KEEP_S + 1)
    with pytest.raises(StoreError):
        await taking.fold()
    assert journal_entries(database) == 1


class CountingDatabase(Database):
    """A database that knows how many entries the journal had after each commit."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entries: list[int] = []

    def commit(self, work):
        result = super().commit(work)
        self.entries.append(journal_entries(self))
        return result


async def test_a_long_journal_is_cut_little_by_little(
    database, clock, metrics, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "CUT_ENTRIES", 2)
    counting = CountingDatabase(database.path)
    taking = Intake(counting, clock, metrics)
    for _ in range(5):
        await taking.accept(make_payload(), PROTOBUF)
    clock.advance(KEEP_S + 1)
    await taking.fold()
    assert counting.entries == [1, 2, 3, 4, 5, 3, 1, 0]
    counting.close()


async def test_a_journal_that_cannot_be_cut_is_cut_by_the_next_fold_and_counted_once(
    taking, database, clock, make_payload
) -> None:
    await taking.accept(make_payload(spans=3), PROTOBUF)
    clock.advance(KEEP_S + 1)
    trigger = (
        "CREATE TRIGGER broken BEFORE DELETE ON traffic_journal BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    )
    database.write(lambda session: session.connection().execute(text(trigger)))
    with pytest.raises(StoreError, match="could not be cut: disk full"):
        await taking.fold()
    assert (journal_entries(database), await counted(taking)) == (1, 3)
    mend_writes(database)
    await taking.fold()
    assert (journal_entries(database), await counted(taking)) == (0, 3)


def told_by(scope: str, trace: int, number: int, **told: object) -> bytes:
    """A request with one report of the call of trace and number."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.id": "chatcmpl-0123456789abcdef",
        **told,
    }
    return payload_of([span_of(attributes, scope=scope, trace=trace, number=number)])


SDK = told_by("sdk", 1, 1)
FRAMEWORK = told_by("framework", 2, 2, **{"gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 9})


@pytest.mark.parametrize("when", ["at once", "after a fold", "after a crash", "after a fold and a crash"])
async def test_reports_of_one_call_in_two_requests_are_one_call(database, clock, metrics, when: str) -> None:
    clock.advance(START_NS / 1e9 + 5 - clock.now().timestamp())
    taking = Intake(database, clock, CountingMetrics())
    await taking.accept(SDK, PROTOBUF)
    if "fold" in when:
        await taking.fold()
    if "crash" in when:
        taking = Intake(database, clock, metrics)
        assert await taking.recover() == ("fold" not in when)
    await taking.accept(FRAMEWORK, PROTOBUF)
    (window,) = await taking.windows(0, 10**10)
    assert (window.calls, window.input_tokens.total, window.latency_s.n) == (1, 50, 1)
    await taking.fold()
    (window,) = [one for one in stored_windows(database) if one.calls]
    assert (window.calls, window.input_tokens.total, window.latency_s.n) == (1, 50, 1)


async def test_a_further_report_is_told_as_such_and_not_as_another_call(taking, clock, metrics) -> None:
    clock.advance(START_NS / 1e9 + 5 - clock.now().timestamp())
    for payload in (SDK, FRAMEWORK):
        await taking.accept(payload, PROTOBUF)
    assert (metrics.calls.total(), metrics.joined, metrics.spans["call"]) == (1, 1, 2)


async def test_a_further_report_that_cannot_be_stored_changes_nothing(taking, database, clock) -> None:
    clock.advance(START_NS / 1e9 + 5 - clock.now().timestamp())
    await taking.accept(SDK, PROTOBUF)
    break_writes(database, "traffic_journal")
    with pytest.raises(StoreError):
        await taking.accept(FRAMEWORK, PROTOBUF)
    mend_writes(database)
    (window,) = await taking.windows(0, 10**10)
    assert (window.calls, window.input_tokens.n) == (1, 0)
    await taking.accept(FRAMEWORK, PROTOBUF)
    (window,) = await taking.windows(0, 10**10)
    assert (window.calls, window.input_tokens.n) == (1, 1)


async def test_late_calls_are_added_to_the_stored_window(taking, database, make_payload) -> None:
    for spans in (1, 2, 4):
        await taking.accept(make_payload(spans=spans), PROTOBUF)
        await taking.fold()
    (window,) = stored_windows(database)
    assert (window.calls, window.latency_s.n) == (7, 7)


async def test_what_was_not_folded_is_counted_again_after_a_restart(
    database, clock, metrics, make_payload
) -> None:
    before = Intake(database, clock, CountingMetrics())
    await before.accept(make_payload(spans=3), PROTOBUF)
    await before.fold()
    await before.accept(make_payload(spans=2), PROTOBUF)
    after = Intake(database, clock, metrics)
    assert await after.recover() == 2
    assert await counted(after) == 5
    await after.fold()
    assert await counted(after) == 5
    assert await Intake(database, clock, CountingMetrics()).recover() == 0
    assert not metrics.calls, "a counter that was scraped before the restart must not see the calls again"


async def test_recovery_reads_a_long_journal_to_its_end(database, clock, metrics, make_payload) -> None:
    before = Intake(database, clock, metrics)
    entries = intake.RECOVER_ENTRIES + 5
    for _ in range(entries):
        await before.accept(make_payload(), PROTOBUF)
    assert await Intake(database, clock, metrics).recover() == entries


async def test_what_is_stored_is_answered_also_when_the_metrics_fail(database, clock, make_payload) -> None:
    class BrokenMetrics(CountingMetrics):
        def count_call(self, labels: tuple[str, ...], by: int = 1) -> None:
            raise ValueError("no such label")

    taking = Intake(database, clock, BrokenMetrics())
    await taking.recover()
    assert (await taking.accept(make_payload(spans=3), PROTOBUF)).calls == 3
    assert await counted(taking) == 3
    assert (await taking.accept(make_payload(spans=2), PROTOBUF)).calls == 2


async def test_requests_at_the_same_time_share_commits(taking, database, make_payload) -> None:
    await asyncio.gather(*(taking.accept(make_payload(), PROTOBUF) for _ in range(50)))
    assert await counted(taking) == 50
    assert journal_entries(database) < 50


async def test_who_comes_first_waits_for_those_who_shared_the_commit_before(
    taking, database, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_S", 3_600.0)
    await asyncio.gather(*(taking.accept(make_payload(), PROTOBUF) for _ in range(3)))
    assert journal_entries(database) == 1
    first = asyncio.create_task(taking.accept(make_payload(), PROTOBUF))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # its commit would have begun
    await asyncio.gather(first, *(taking.accept(make_payload(), PROTOBUF) for _ in range(2)))
    assert journal_entries(database) == 2


async def test_who_sends_alone_waits_for_nobody(
    taking, database, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_S", 3_600.0)
    for _ in range(3):
        await taking.accept(make_payload(), PROTOBUF)
    assert journal_entries(database) == 3


async def test_those_who_went_are_not_waited_for_for_ever(
    taking, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_S", 0.0)
    await asyncio.gather(*(taking.accept(make_payload(), PROTOBUF) for _ in range(3)))
    for _ in range(2):
        await taking.accept(make_payload(), PROTOBUF)
    monkeypatch.setattr(intake, "GATHER_S", 3_600.0)
    assert (await taking.accept(make_payload(), PROTOBUF)).calls == 1


async def answered_while_others_wait(
    taking: Intake, make_payload: MakePayload, first: int, others: int
) -> list[asyncio.Task[Accepted]]:
    """Have some requests answered while others wait; gives these, which are not answered yet."""
    answered = [asyncio.create_task(taking.accept(make_payload(), PROTOBUF)) for _ in range(first)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # their commit has begun
    waiting = [asyncio.create_task(taking.accept(make_payload(), PROTOBUF)) for _ in range(others)]
    await asyncio.gather(*answered)
    return waiting


async def test_who_waits_shares_a_commit_with_those_who_send_again_at_once(
    taking, database, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_S", 3_600.0)
    waiting = await answered_while_others_wait(taking, make_payload, first=1, others=2)
    await asyncio.gather(*waiting, taking.accept(make_payload(), PROTOBUF))
    assert journal_entries(database) == 2


async def test_who_waits_does_not_wait_again_for_those_who_did_not_come(
    taking, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_S", 0.0)
    await asyncio.gather(*await answered_while_others_wait(taking, make_payload, first=3, others=2))
    monkeypatch.setattr(intake, "GATHER_S", 3_600.0)
    await asyncio.gather(*await answered_while_others_wait(taking, make_payload, first=1, others=2))


async def test_a_fold_in_the_middle_of_traffic_counts_each_call_once(taking, database, make_payload) -> None:
    async def send() -> None:
        for _ in range(10):
            await taking.accept(make_payload(spans=2), PROTOBUF)

    async def fold() -> None:
        for _ in range(10):
            await taking.fold()
            await asyncio.sleep(0)

    await asyncio.gather(send(), send(), fold())
    assert await counted(taking) == 40
    await taking.fold()
    assert sum(window.calls for window in stored_windows(database)) == 40


def break_writes(database: Database, table: str) -> None:
    """Every insert into ``table`` fails, as on a full disk."""
    trigger = f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    database.write(lambda session: session.connection().execute(text(trigger)))


def mend_writes(database: Database) -> None:
    database.write(lambda session: session.connection().execute(text("DROP TRIGGER broken")))


async def test_what_cannot_be_stored_is_not_accepted(taking, database, metrics, make_payload) -> None:
    break_writes(database, "traffic_journal")
    with pytest.raises(StoreError, match=r"calls could not be stored: .*disk full") as error:
        await taking.accept(make_payload(), PROTOBUF)
    assert error.value.retry_after_s > 0
    assert await counted(taking) == 0
    assert not metrics.spans
    mend_writes(database)
    await taking.accept(make_payload(), PROTOBUF)
    assert await counted(taking) == 1


async def test_a_fold_that_fails_loses_nothing(taking, database, clock, make_payload) -> None:
    await taking.accept(make_payload(spans=2), PROTOBUF)
    break_writes(database, "traffic_window")
    with pytest.raises(StoreError, match="windows could not be stored"):
        await taking.fold()
    await taking.accept(make_payload(spans=3), PROTOBUF)
    assert await counted(taking) == 5
    mend_writes(database)
    await taking.fold()
    assert sum(window.calls for window in stored_windows(database)) == 5
    assert await Intake(database, clock, CountingMetrics()).recover() == 0


async def test_a_closed_database_refuses_instead_of_hanging(taking, database, make_payload) -> None:
    database.close()
    with pytest.raises(StoreError):
        await taking.accept(make_payload(), PROTOBUF)


class SlowDatabase(Database):
    """A database that says when it was asked to write, and waits to be told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._loop = asyncio.get_running_loop()
        self.asked, self.go_on = asyncio.Event(), threading.Event()

    def commit(self, work):
        self._loop.call_soon_threadsafe(self.asked.set)
        self.go_on.wait(10)
        return super().commit(work)


async def test_a_sender_that_hangs_up_leaves_the_call_stored(database, clock, metrics, make_payload) -> None:
    slow = SlowDatabase(database.path)
    taking = Intake(slow, clock, metrics)
    sending = asyncio.create_task(taking.accept(make_payload(), PROTOBUF))
    await slow.asked.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    slow.go_on.set()
    await taking.accept(make_payload(), PROTOBUF)
    assert await counted(taking) == 2
    slow.close()


async def test_a_fold_whose_caller_is_cancelled_is_finished(taking, database, make_payload) -> None:
    await taking.accept(make_payload(), PROTOBUF)
    folding = asyncio.ensure_future(taking.fold())
    await asyncio.sleep(0)
    folding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await folding
    await taking.fold()
    assert await counted(taking) == 1
    assert sum(window.calls for window in stored_windows(database)) == 1


@pytest.mark.parametrize(
    ("shift", "is_accepted"),
    [(FUTURE_MAX_S, True), (FUTURE_MAX_S + 1, False), (-AGE_MAX_S, True), (-AGE_MAX_S - 1, False)],
    ids=["a little ahead", "in the future", "a day late", "too old"],
)
async def test_calls_of_another_time_are_rejected_with_the_reason(
    taking, make_payload, shift, is_accepted
) -> None:
    accepted = await taking.accept(make_payload(ended_at=NOON + shift), PROTOBUF)
    assert accepted.calls == is_accepted
    assert sum(accepted.rejected.values()) == (not is_accepted)
    assert all("more than" in reason for reason in accepted.rejected)


async def test_spans_that_are_no_calls_are_counted_and_not_kept(
    taking, database, metrics, make_payload
) -> None:
    accepted = await taking.accept(make_payload(spans=4, attributes={"http.route": "/"}), PROTOBUF)
    assert (accepted.calls, accepted.other) == (0, 4)
    assert metrics.spans == {"other": 4}
    assert journal_entries(database) == 0


async def test_two_spans_of_a_request_that_report_one_call_are_one_call(taking, metrics, clock) -> None:
    model = {"gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini-2024-07-18"}
    told = model | {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
    told |= {"gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 100}
    told |= {"gen_ai.response.id": "chatcmpl-8f2e1c0b9a7d6e5f"}
    outer = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini-2024-07-18",
        "llm.token_count.prompt": 1_000,
        "llm.token_count.completion": 100,
        "output.value": '{"id": "chatcmpl-8f2e1c0b9a7d6e5f"}',
    }
    now_s = NOON - START_NS / 1e9 - 10
    spans = [
        span_of(told, scope="sdk", number=1, trace=1, at_s=now_s),
        span_of(
            outer, scope="openinference.instrumentation", number=2, trace=2, at_s=now_s - 0.01, for_s=2.02
        ),
    ]
    accepted = await taking.accept(payload_of(spans), PROTOBUF)
    assert (accepted.calls, accepted.other, accepted.rejected) == (2, 0, {})
    assert metrics.spans == {"call": 2}
    assert sum(metrics.calls.values()) == 1
    (window,) = await taking.windows(0, minute_of(NOON))
    assert (window.calls, window.input_tokens.total, window.cost_usd.n) == (1, 1_000, 1)


async def test_calls_are_told_to_the_metrics(taking, metrics, make_payload) -> None:
    unpriced = CHAT | {"gen_ai.request.model": "ours", "gen_ai.response.model": "ours"}
    await taking.accept(make_payload(spans=2), PROTOBUF)
    await taking.accept(make_payload(attributes=unpriced), PROTOBUF)
    await taking.accept(make_payload(is_error=True, status_message="Error code: 429 - slow down"), PROTOBUF)
    model = "gpt-4o-mini-2024-07-18"
    assert metrics.calls == {
        ("shop", "chat", "openai", model, "ok"): 2,
        ("shop", "chat", "openai", "ours", "ok"): 1,
        ("shop", "chat", "openai", model, "rate_limit"): 1,
    }
    assert metrics.unpriced == {("shop", "ours"): 1}
    assert metrics.costs == {("shop", "exact"): 3, ("shop", "unpriced"): 1}


async def test_a_failed_call_that_used_nothing_is_not_missing_a_cost(taking, metrics, make_payload) -> None:
    refused = {name: value for name, value in CHAT.items() if "usage" not in name}
    await taking.accept(make_payload(attributes=refused, is_error=True), PROTOBUF)
    await taking.accept(make_payload(attributes=refused), PROTOBUF)
    assert metrics.costs == {("shop", "unpriced"): 1}


async def test_calls_are_priced_as_the_operator_says(database, clock, metrics, make_payload) -> None:
    own = ModelPriceConfig(model="gpt-4o-mini*", input_usd_per_mtok=1, output_usd_per_mtok=10)
    taking = Intake(database, clock, metrics, PriceBook([own]))
    await taking.accept(make_payload(spans=2), PROTOBUF)
    (window,) = await taking.windows(0, 10**10)
    assert window.cost_usd.total == pytest.approx(2 * 0.002)
    assert window.cost_bases == {"exact": 2}


async def test_what_cannot_be_read_is_refused_and_nothing_is_kept(taking, database) -> None:
    with pytest.raises(OtlpError):
        await taking.accept(b"\x0a\xff", PROTOBUF)
    assert journal_entries(database) == 0


def fill_windows(taking: Intake) -> None:
    """Have as many windows wait for the next fold as may."""
    windows = WindowBook(
        Window(minute, Series(str(minute), "", "", "", "", "", "")) for minute in range(intake.UNFOLDED_MAX)
    )
    taking._counting.put_back(Unfolded(windows, 0, 0))


async def test_too_many_windows_between_two_folds_ask_senders_to_wait(taking, make_payload) -> None:
    fill_windows(taking)
    with pytest.raises(OverloadError):
        await taking.accept(make_payload(), PROTOBUF)
    await taking.fold()
    assert (await taking.accept(make_payload(), PROTOBUF)).calls == 1


async def test_no_sender_can_make_series_without_end(taking, metrics) -> None:
    services = range(SERIES_MAX + 10)
    spans = [
        span_of(
            CHAT,
            resource={"service.name": f"service-{number}"},
            trace=number + 1,
            number=number + 1,
            at_s=NOON - 2 - START_NS / 1e9,
        )
        for number in services
    ]
    await taking.accept(payload_of(spans), PROTOBUF)
    windows = await taking.windows(0, 10**10)
    assert len({window.series for window in windows}) == SERIES_MAX + 1
    assert sum(window.calls for window in windows) == len(services)
    assert metrics.overflowed == 10


async def test_only_the_minutes_asked_for_are_given(taking, make_payload: MakePayload) -> None:
    for shift in (-120, -60, 0):
        await taking.accept(make_payload(ended_at=NOON + shift), PROTOBUF)
        await taking.fold()
    await taking.accept(make_payload(ended_at=NOON - 180), PROTOBUF)
    minutes = [window.minute for window in await taking.windows(minute_of(NOON) - 120, minute_of(NOON) - 60)]
    assert minutes == [NOON - 120, NOON - 60]


def test_no_prompt_text_reaches_the_database(database, clock, metrics, make_payload) -> None:
    secret = "the patient's name is"
    payload = make_payload(attributes=CHAT | {"gen_ai.input.messages": secret, "gen_ai.prompt": secret})
    asyncio.run(Intake(database, clock, metrics).accept(payload, PROTOBUF))

    def bodies(session: Session) -> list[bytes]:
        return [row.body for row in session.exec(select(TrafficJournalRow))]

    assert database.read(bodies)
    assert all(secret.encode() not in body for body in database.read(bodies))


async def test_minutes_with_calls_are_told_by_service_whether_stored_or_not(taking, make_payload) -> None:
    await taking.accept(make_payload(spans=2, service="stored"), PROTOBUF)
    await taking.fold()
    await taking.accept(make_payload(service="new", ended_at=NOON - 60), PROTOBUF)
    await taking.accept(make_payload(service="old", ended_at=NOON - 600), PROTOBUF)
    found = await taking.active_minutes(minute_of(NOON - 120), minute_of(NOON))
    assert found == {(minute_of(NOON), "stored"), (minute_of(NOON - 60), "new")}


async def test_a_minute_whose_only_call_ended_later_than_was_told_first_is_no_minute_with_calls(
    taking, database, clock
) -> None:
    span = span_of(CHAT, at_s=NOON - 61 - START_NS / 1e9)
    await taking.accept(payload_of([span]), PROTOBUF)
    await taking.fold()
    (before,) = stored_windows(database)
    await taking.accept(payload_of([replace(span, end_ns=span.end_ns + 60 * 10**9)]), PROTOBUF)
    await taking.fold()
    found = await taking.active_minutes(minute_of(NOON - 600), minute_of(NOON))
    assert found == {(before.minute + 60, before.series.service)}
    assert [window.calls for window in stored_windows(database)] == [1]


async def test_a_call_is_taken_back_from_the_value_it_was_counted_by_however_many_others_came_since(
    database, clock, metrics
) -> None:
    watched = WatchConfig.model_validate({"name": "w", "values": {"attribute": "user.id", "tell": ["new"]}})
    taking = Intake(database, clock, metrics, marking=Marking([watched]))

    def call_of(user: int) -> Span:
        return span_of(
            CHAT | {"user.id": f"u{user}"}, trace=user + 1, number=user + 1, at_s=NOON - 61 - START_NS / 1e9
        )

    first = call_of(0)
    await taking.accept(payload_of([first]), PROTOBUF)
    await taking.fold()
    await taking.accept(payload_of([call_of(user) for user in range(1, VALUES_MAX + 50)]), PROTOBUF)
    await taking.accept(payload_of([replace(first, end_ns=first.end_ns + 60 * 10**9)]), PROTOBUF)
    await taking.accept(payload_of([call_of(VALUES_MAX + 100)]), PROTOBUF)
    looked_at = await taking.windows(0, 10**10)
    await taking.fold()
    for early, late in (looked_at, stored_windows(database)):
        by_user = early.chosen.of("user.id")
        assert (by_user["u0"].calls, by_user["u1"].calls, by_user[OTHER_VALUES].calls) == (0, 1, 51)
        assert len(by_user) == VALUES_MAX + 1
        assert late.chosen.of("user.id")["u0"].calls == 1


@pytest.mark.parametrize(
    ("sizes", "bytes_max", "read"),
    [
        ([10, 10, 10], 100, [[10, 10], [10]]),
        ([10, 10, 10], 20, [[10, 10], [10]]),
        ([10, 10, 10], 19, [[10], [10], [10]]),
        ([10, 500, 10], 20, [[10], [500], [10]]),
    ],
    ids=["few bytes", "as many as may be", "a byte too many", "one that is larger alone"],
)
def test_the_journal_is_read_again_few_entries_and_few_bytes_at_a_time(
    database, sizes, bytes_max, read
) -> None:
    for size in sizes:
        database.commit(lambda connection, size=size: store.journal(connection, 1, bytes(size), NOON))
    found, after = [], 0
    while entries := database.read(
        lambda session, after=after: store.journaled(session, after, limit=2, bytes_max=bytes_max)
    ):
        found.append([len(body) for _, _, body in entries])
        after = entries[-1][0]
    assert found == read


async def test_a_span_that_began_beyond_all_clocks_harms_nobody_else(taking, clock) -> None:
    clock.advance(START_NS / 1e9 + 5 - clock.now().timestamp())
    odd = replace(span_of(CHAT, trace=9, number=9), start_ns=2**63 + 5)
    accepted, refused = await asyncio.gather(
        taking.accept(SDK, PROTOBUF), taking.accept(payload_of([odd]), PROTOBUF)
    )
    assert (accepted.calls, refused.calls, sum(refused.rejected.values())) == (1, 0, 1)
    assert await counted(taking) == 1


async def test_calls_that_cannot_be_counted_are_refused_and_taken_when_they_come_again(
    taking, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(START_NS / 1e9 + 5 - clock.now().timestamp())

    def fail(*_: object) -> bytes:
        raise OverflowError("a number that no column holds")

    with monkeypatch.context() as broken:
        broken.setattr(taking._counting, "entry", fail)
        with pytest.raises(StoreError):
            await taking.accept(SDK, PROTOBUF)
    assert (await taking.accept(SDK, PROTOBUF)).calls == 1
    assert await counted(taking) == 1


async def test_stored_calls_that_could_not_be_counted_are_counted_by_the_next_start(
    taking, database, clock, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(taking._counting, "_add_batch", fail)
        assert (await taking.accept(make_payload(spans=3), PROTOBUF)).calls == 3
    await taking.accept(make_payload(spans=2), PROTOBUF)
    with pytest.raises(StoreError, match="a restart counts them"):
        await taking.fold()
    after = Intake(database, clock, CountingMetrics())
    assert await after.recover() == 5
    await after.fold()
    assert sum(window.calls for window in stored_windows(database)) == 5


async def test_calls_that_can_be_counted_in_part_only_are_counted_by_the_next_start(
    taking, database, clock, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(heap, "HEAP_MAX", 1)
        broken.setattr(taking._counting, "_unfolded", WindowBook(scanner=None))
        broken.setattr(taking._counting._unfolded, "step", fail)
        assert (await taking.accept(make_payload(spans=3), PROTOBUF)).calls == 3
        assert (await taking.accept(make_payload(spans=2), PROTOBUF)).calls == 2
    with pytest.raises(StoreError, match="a restart counts them"):
        await taking.fold()
    after = Intake(database, clock, CountingMetrics())
    assert await after.recover() == 5


async def test_calls_that_could_not_be_counted_for_a_reader_are_counted_by_the_next_start(
    taking, database, clock, make_payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    await taking.accept(make_payload(spans=3), PROTOBUF)
    with monkeypatch.context() as broken:
        broken.setattr(heap, "count_kind", fail)
        broken.setattr(at_once, "count_kind", fail)
        with pytest.raises(MemoryError):
            await counted(taking)
    with pytest.raises(StoreError, match="a restart counts them"):
        await taking.fold()
    after = Intake(database, clock, CountingMetrics())
    assert await after.recover() == 3
    assert await counted(after) == 3
