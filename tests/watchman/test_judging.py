"""What is wrong with the watch itself, and how loudly: both sides of each edge."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from alerts.finding import Severity
from alerts.receiver import Standing
from monitor.watchman.clocks import ClockFacts
from monitor.watchman.config import WatchmanConfig
from monitor.watchman.events import Event, Events, Trouble
from monitor.watchman.judging import Disk, Duty, Facts, Waiting, judge

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CONFIG = WatchmanConfig()


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def duty(due_at: datetime | None) -> Facts:
    return Facts(
        duties=[Duty("target/bot", "The canary run of bot", ago(900), due_at, 300, {"target": "bot"})]
    )


def waiting(age_s: float) -> Facts:
    return Facts(waiting=[Waiting("pager", 3, ago(age_s), "the pager answered 503")])


def disk(free: float, total: float = 100e9) -> Facts:
    return Facts(disk=Disk(int(free), int(total)))


def clock(*apart_s: float, most: float) -> Facts:
    return Facts(clock=ClockFacts(most, tuple((f"host-{n}", one) for n, one in enumerate(apart_s))))


def receiver(age_s: float = 0.0, **facts) -> Facts:
    return Facts(receivers=[Standing("pager", ago(age_s), **facts)])


def event(trouble: Trouble) -> Facts:
    return Facts(events={trouble: Event(trouble, "No daemon ran for 9 h.", ago(60))})


TICKET, PAGE, INFO = Severity.TICKET, Severity.PAGE, Severity.INFO
CASES = {
    "a run that is a little late": (duty(ago(300)), "run/target/bot", None),
    "a run that did not happen": (duty(ago(301)), "run/target/bot", TICKET),
    "a run that is never due": (duty(None), "run/target/bot", None),
    "messages that wait a little": (waiting(599), "outbox/pager", None),
    "messages that wait": (waiting(600), "outbox/pager", TICKET),
    "messages that wait for long": (waiting(1800), "outbox/pager", PAGE),
    "room enough": (disk(2e9), "disk", None),
    "little room": (disk(2e9 - 1), "disk", TICKET),
    "hardly any room": (disk(5e8 - 1), "disk", PAGE),
    "a small disk with room": (disk(1e8, total=1e9), "disk", None),
    "a small disk that fills": (disk(1e8 - 1, total=1e9), "disk", TICKET),
    "a small disk that is full": (disk(3e7 - 1, total=1e9), "disk", PAGE),
    "no server told the time": (Facts(), "clock", None),
    "a clock that is right": (clock(30, most=30), "clock", None),
    "a clock that is behind": (clock(31, 40, 0, most=31), "clock", TICKET),
    "a clock that is ahead": (clock(-31, most=-31), "clock", TICKET),
    "a clock that was set": (event(Trouble.CLOCK), "clock", TICKET),
    "a new receiver": (receiver(86_399), "receiver/pager", None),
    "a receiver never confirmed": (receiver(86_400), "receiver/pager", TICKET),
    "a receiver that works": (receiver(864_000, confirmed_at=ago(800_000)), "receiver/pager", None),
    "a receiver that fails": (
        receiver(90, confirmed_at=ago(60), failed_at=ago(30)),
        "receiver/pager",
        TICKET,
    ),
    "a receiver that did fail": (
        receiver(90, confirmed_at=ago(30), failed_at=ago(60)),
        "receiver/pager",
        None,
    ),
    "a gap": (event(Trouble.ABSENCE), "absence", TICKET),
    "a database that did refuse": (event(Trouble.DATABASE), "database", INFO),
}


@pytest.mark.parametrize(("facts", "key", "severity"), CASES.values(), ids=CASES)
def test_how_loudly_it_is_told(facts: Facts, key: str, severity: Severity | None) -> None:
    verdicts = {one.key: one for one in judge(facts, CONFIG, NOON)}
    finding = verdicts[f"watchman/{key}"].finding
    assert (finding.severity if finding else None) is severity
    wrong = [one for one in verdicts.values() if one.finding]
    assert len(wrong) == (severity is not None), "something else is wrong as well"
    if finding:
        assert finding.labels["watchman"] == key.split("/")[0]


WORDS = {
    "run": (duty(ago(4000)), ("did not run when it was due, at 2026-03-02 10:53:20 UTC", "late by", "1 h")),
    "outbox": (waiting(1800), ("Messages to pager do not get out", "30 min", "the pager answered 503")),
    "disk": (disk(1e8), ("100 MB of 100.0 GB are free", "traces are refused")),
    "one server": (clock(90, most=90), ("1 min behind that of host-0", "one of the two is wrong")),
    "most servers": (clock(90, 80, 0, most=80), ("1 min behind those of most of the 3", "agrees")),
    "receiver": (receiver(90_000), ("nobody knows whether a page would", "anchorwatch alerts test pager")),
}


@pytest.mark.parametrize(("facts", "said"), WORDS.values(), ids=WORDS)
def test_what_a_person_reads(facts: Facts, said: tuple[str, ...]) -> None:
    [finding] = [one.finding for one in judge(facts, CONFIG, NOON) if one.finding]
    text = f"{finding.summary} {finding.evidence}"
    assert all(part in text for part in said), text


def test_thresholds_are_those_of_the_configuration() -> None:
    config = WatchmanConfig.model_validate(
        {"disk": {"ticket_below": "50%", "page_below": "1.5GB"}, "ticket_after": "1m", "page_after": "2m"}
    )
    facts = Facts(disk=Disk(40, 100), waiting=[Waiting("pager", 1, ago(120))])
    severities = [one.finding.severity for one in judge(facts, config, NOON) if one.finding]
    assert severities == [PAGE, PAGE]  # 40 bytes of 100 are less than a page's 1.5 GB as well


@pytest.mark.parametrize(
    "odd", [{"disk": {"page_below": "little"}}, {"disk": {"page_below": "101%"}}, {"page_after": "5m"}]
)
def test_thresholds_that_mean_nothing_are_refused(odd) -> None:
    with pytest.raises(ValidationError, match=r"room on a disk|more than the disk|page_after"):
        WatchmanConfig.model_validate(odd)


def test_an_event_is_told_for_a_quarter_of_an_hour() -> None:
    events = Events()
    events.note(Trouble.ABSENCE, "No daemon ran.", NOON)
    assert Trouble.ABSENCE in events.lately(NOON + timedelta(minutes=15))
    assert events.lately(NOON + timedelta(minutes=15, seconds=1)) == {}
    assert Trouble.ABSENCE in events.lately(NOON - timedelta(hours=3)), "a clock that went back hides nothing"
