"""From minute windows to what the alert arm is told of each watch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from alerts.finding import Finding, Label, Severity, Source
from monitor.traffic.calls import Call
from monitor.traffic.watches.config import WatchConfig
from monitor.traffic.windows.series import series_of
from monitor.traffic.windows.window import Window
from monitor.traffic.windows.window_book import WindowBook
from monitor.traffic_flow.watch_traffic import Look, incident_key, look

from .conftest import NOON, MakeCall

NOW = datetime.fromtimestamp(NOON + 30, UTC)


@dataclass
class Recorded:
    """Windows as the intake gives them; remembers what it was asked for."""

    calls: Sequence[Call]
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def windows(self, first_minute: int, last_minute: int) -> list[Window]:
        self.asked.append((first_minute, last_minute))
        book = WindowBook()
        for call in self.calls:
            book.add(call, series_of(call))
        return list(book)


def watch(name: str = "slow", **more: object) -> WatchConfig:
    return WatchConfig.model_validate({"name": name, "measure": "latency_p95", "above": "8s", **more})


async def finding(calls: Sequence[Call], one: WatchConfig) -> Finding:
    (said,) = await look(Recorded(calls), [one], NOW)
    verdict = said.verdict()
    assert verdict.finding is not None
    return verdict.finding


@pytest.fixture
def slow(make_call: MakeCall) -> list[Call]:
    return [make_call(duration_s=10.0) for _ in range(50)]


async def test_a_breach_says_what_was_seen_and_what_was_allowed(slow: list[Call]) -> None:
    found = await finding(slow, watch(match={"operation": "chat"}))
    assert (found.severity, found.source) == (Severity.PAGE, Source.WATCH)
    assert found.summary.startswith("slow: latency_p95 is 10")
    assert found.labels == {"watch": "slow", "operation": "chat"}
    lines = dict(found.evidence)
    assert lines["calls"] == "50"
    assert lines["threshold"] == "8 s"
    assert lines["latency_p95"].startswith("10")


async def test_a_watch_may_be_a_ticket(slow: list[Call]) -> None:
    assert (await finding(slow, watch(severity="ticket"))).severity is Severity.TICKET


async def test_labels_name_what_is_matched_by_one_pattern_only(slow: list[Call]) -> None:
    found = await finding(slow, watch(match={"operation": ["chat", "embeddings"]}))
    assert found.labels == {"watch": "slow"}


async def test_a_breach_asks_for_the_rollback_that_the_watch_names(slow: list[Call]) -> None:
    (said,) = await look(Recorded(slow), [watch(rollback="deploy", notify=["oncall"], **{"for": "5m"})], NOW)
    assert said.verdict().wants_rollback
    rule = said.rule()
    assert (rule.for_s, rule.notify, rule.rollback) == (300.0, ("oncall",), "deploy")


@pytest.mark.parametrize(
    ("duration_s", "count", "label"),
    [(1.0, 50, Label.STEADY), (10.0, 5, Label.NO_DATA), (10.0, 50, Label.BREACHED)],
    ids=["fast", "too few", "slow"],
)
async def test_the_verdict_is_the_judgement_in_the_alert_arms_words(
    make_call: MakeCall, duration_s: float, count: int, label: Label
) -> None:
    (said,) = await look(Recorded([make_call(duration_s=duration_s) for _ in range(count)]), [watch()], NOW)
    verdict = said.verdict()
    assert (verdict.key, verdict.label) == ("watch/slow", label)
    assert verdict.wants_rollback is (label is Label.BREACHED)
    assert verdict.note == ("" if label is Label.BREACHED else said.judgement.reason)


async def test_all_watches_are_judged_on_one_reading_that_reaches_as_far_as_the_longest(
    slow: list[Call],
) -> None:
    recorded = Recorded(slow)
    looks = await look(recorded, [watch("short", over="5m"), watch("long", over="1h")], NOW)
    assert [one.watch.name for one in looks] == ["short", "long"]
    ((first, last),) = recorded.asked
    assert first <= (NOW - timedelta(hours=1)).timestamp()
    assert last <= NOW.timestamp() < last + 60


async def test_without_watches_nothing_is_read() -> None:
    recorded = Recorded(())
    assert await look(recorded, [], NOW) == []
    assert recorded.asked == []


async def test_each_watch_is_an_incident_of_its_own(slow: list[Call]) -> None:
    looks: list[Look] = await look(Recorded(slow), [watch("one"), watch("other")], NOW)
    assert [one.verdict().key for one in looks] == [incident_key(one.watch) for one in looks]
    assert len({one.verdict().key for one in looks}) == 2
