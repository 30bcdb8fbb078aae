"""Which stored runs may make the next baseline, and what is noted of a baseline."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlmodel import Session

from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus
from canaries.baseline_events import Actor, BaselineEvent, events, latest_event
from canaries.baseline_store import (
    Wanted,
    adopt_contract,
    collected_ids,
    compared_runs,
    current_baseline,
    ensure_baseline,
    let_go_of_last,
    load_baseline,
    retire_baseline,
    succeed_baseline,
)
from canaries.completion import Completion, Outcome, Run
from canaries.config import BaselineConfig
from canaries.contract import Contract
from canaries.features import extract
from canaries.store import Content, save_run, save_scores
from monitor.database import Database

NOW = datetime(2026, 3, 2, tzinfo=UTC)
CONTRACT = Contract({"target.model": "m"}, {"greeting": {"samples": 2}})


def at(hour: int) -> datetime:
    return NOW + timedelta(hours=hour)


def begin(session: Session) -> str:
    return ensure_baseline(session, "bot", "support", CONTRACT, NOW).id


def settle(
    session: Session,
    baseline: str,
    hour: int,
    outcome: Outcome = Outcome.ANSWERED,
    canary: str = "greeting",
    samples: int = 2,
    is_compared: bool = True,
    collected_for: str | None = None,
) -> str:
    """A run of this hour, stored, and compared with the baseline."""
    completions = tuple(Completion(canary, sample, outcome, text="hi") for sample in range(samples))
    run = Run(f"run-{hour:03d}", "bot", "support", at(hour), completions, finished_at=at(hour))
    save_run(session, run, extract(run, None, b"key"), Content.FULL, collected_for)
    if is_compared:
        save_scores(session, run.id, baseline, {"length": 1.0})
    return run.id


@pytest.fixture
def baseline(database: Database) -> str:
    return database.write(begin)


def found(database: Database, baseline: str, limit: int = 99, **wanted: Any) -> list[str]:
    asked = Wanted(**{"since": NOW, "before": at(999)} | wanted)
    return list(database.read(lambda session: compared_runs(session, baseline, asked, limit)))


def hours(*numbers: int) -> list[str]:
    return [f"run-{number:03d}" for number in numbers]


def many(database: Database, baseline: str, count: int) -> None:
    database.write(lambda session: [settle(session, baseline, hour) for hour in range(1, count + 1)])


def test_the_latest_runs_are_found_in_order_of_time(database: Database, baseline: str) -> None:
    many(database, baseline, 9)
    assert found(database, baseline, limit=3) == hours(7, 8, 9)


def test_each_bound_of_time_and_of_a_period_is_kept(database: Database, baseline: str) -> None:
    many(database, baseline, 9)
    taken = found(
        database,
        baseline,
        since=at(2),
        before=at(9),
        except_periods=[(at(3), at(4)), (at(7), at(7))],
    )
    assert taken == hours(2, 5, 6, 8)


NOT_TAKEN: dict[str, dict[str, Any]] = {
    "not compared": {"is_compared": False},
    "with fewer samples": {"samples": 1},
    "without an answer to the new canary": {"canary": "farewell", "outcome": Outcome.SERVER},
    "without the new canary": {"canary": "greeting"},
}


@pytest.mark.parametrize("lack", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_a_run_that_lacks_something_is_not_taken(
    database: Database, baseline: str, lack: dict[str, Any]
) -> None:
    good = {"canary": "farewell"}
    database.write(lambda s: [settle(s, baseline, 1, **good), settle(s, baseline, 2, **good | lack)])
    assert found(database, baseline, samples=2, canaries=["farewell"]) == hours(1)


def test_runs_that_were_compared_with_another_baseline_are_not_taken(
    database: Database, baseline: str
) -> None:
    many(database, baseline, 2)
    other = database.write(lambda s: [retire_baseline(s, baseline, NOW), begin(s)][1])
    assert found(database, str(other)) == []


def test_a_successor_takes_the_place_and_its_runs_are_kept_for_it(database: Database, baseline: str) -> None:
    many(database, baseline, 4)

    def make(id: str) -> Baseline:
        return Baseline(
            id, "bot", "support", CONTRACT, at(1), BaselineStatus.FROZEN, at(9), train_ids=tuple(hours(1, 2)),
            calibration_ids=tuple(hours(3)),
        )  # fmt: skip

    database.write(
        lambda s: succeed_baseline(s, baseline, make, BaselineEvent.REFRESHED, "it was time", at(9))
    )
    current = database.read(lambda s: current_baseline(s, "bot", "support"))
    assert current is not None
    assert (current.id, current.status) == ("bot-2", BaselineStatus.FROZEN)
    assert database.read(lambda s: load_baseline(s, baseline)).status is BaselineStatus.RETIRED
    assert list(database.read(lambda s: collected_ids(s, "bot-2"))) == hours(1, 2, 3)
    noted = database.read(lambda s: events(s, "bot"))[1:]
    assert [(one.baseline_id, one.event.value, one.why) for one in noted] == [
        ("bot-1", "retired", "bot-2 takes its place"),
        ("bot-2", "refreshed", "it was time"),
    ]


def test_a_successor_that_cannot_be_made_changes_nothing(database: Database, baseline: str) -> None:
    def make(id: str) -> Baseline:
        raise BaselineError("too few answers")

    def work(session: Session) -> None:
        with pytest.raises(BaselineError):
            succeed_baseline(session, baseline, make, BaselineEvent.REFRESHED, "", NOW)

    database.write(work)
    current = database.read(lambda s: current_baseline(s, "bot", "support"))
    assert current is not None
    assert current.id == baseline
    assert len(database.read(events)) == 1


def test_the_last_runs_are_given_back_and_no_others(database: Database, baseline: str) -> None:
    database.write(lambda s: [settle(s, baseline, hour, collected_for=baseline) for hour in (1, 2, 3)])
    database.write(lambda s: settle(s, baseline, 4))
    assert database.write(lambda s: let_go_of_last(s, baseline, 2)) == 1  # the fourth was not collected
    assert list(database.read(lambda s: collected_ids(s, baseline))) == hours(1, 2)
    assert database.write(lambda s: let_go_of_last(s, baseline, 0)) == 0


def test_only_a_baseline_without_runs_takes_another_contract(database: Database, baseline: str) -> None:
    other = Contract({"target.model": "n"}, CONTRACT.canaries)
    database.write(lambda s: adopt_contract(s, baseline, other, NOW, "model"))
    current = database.read(lambda s: current_baseline(s, "bot", "support"))
    assert current is not None
    assert (current.id, current.contract_hash) == (baseline, other.hash)
    database.write(lambda s: settle(s, baseline, 1, collected_for=baseline))
    with pytest.raises(BaselineError, match="of another contract"):
        database.write(lambda s: adopt_contract(s, baseline, CONTRACT, NOW, "model"))


def test_events_are_kept_by_target_in_order_with_who_and_why(database: Database, baseline: str) -> None:
    database.write(lambda s: ensure_baseline(s, "other", "support", CONTRACT, NOW))
    database.write(lambda s: retire_baseline(s, baseline, at(5), Actor.OPERATOR, "wrong prompt"))
    ours = database.read(lambda s: events(s, "bot"))
    assert [(one.event, one.actor, one.at, one.why) for one in ours] == [
        (BaselineEvent.BEGUN, Actor.DAEMON, NOW, ""),
        (BaselineEvent.RETIRED, Actor.OPERATOR, at(5), "wrong prompt"),
    ]
    assert len(database.read(events)) == 3
    assert database.read(lambda s: latest_event(s, "bot", baseline)) == ours[-1]
    assert database.read(lambda s: latest_event(s, "bot", "bot-7")) is None


CHANGES: dict[str, Callable[[Session, str], object]] = {
    "retired": lambda s, id: retire_baseline(s, id, NOW),
    "begun anew": lambda s, id: [retire_baseline(s, id, NOW), begin(s)],
    "another contract": lambda s, id: adopt_contract(s, id, Contract({}, {}), NOW, ""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_and_its_event_are_undone_together(
    database: Database, baseline: str, change: Callable[[Session, str], object]
) -> None:
    before = database.read(lambda s: (load_baseline(s, baseline), events(s)))

    def work(session: Session) -> None:
        change(session, baseline)
        assert len(events(session)) > 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(work)
    assert database.read(lambda s: (load_baseline(s, baseline), events(s))) == before


AGES: dict[str, tuple[dict[str, Any], float | None]] = {
    "a month, where nobody says": ({}, 30 * 86_400.0),
    "as written": ({"refresh": "2w"}, 14 * 86_400.0),
    "a day at least": ({"refresh": "24h"}, 86_400.0),
    "never": ({"refresh": "off"}, None),
    "not by itself where a command freezes": ({"freeze": "command"}, None),
}


@pytest.mark.parametrize(("config", "age_s"), AGES.values(), ids=AGES)
def test_the_age_of_a_refresh(config: dict[str, Any], age_s: float | None) -> None:
    assert BaselineConfig(**config).refresh_after_s == age_s


@pytest.mark.parametrize("refresh", ["23h", "monthly", False, None])
def test_an_age_that_is_none_is_refused(refresh: object) -> None:
    with pytest.raises(ValidationError, match="refresh"):
        BaselineConfig(refresh=refresh)
