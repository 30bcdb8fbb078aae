"""Versions of suites: which were in use when, what changed, and whose baselines are theirs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canaries import CanaryError
from canaries.baseline_store import ensure_baseline, retire_baseline
from canaries.config import TargetConfig
from canaries.contract import content_of, contract_of, is_made_of
from canaries.suite import Canary, Expectations, Message, Suite
from canaries.suite_history import Version, note_uses, suite_names, version_named, versions
from monitor.database import Database

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def at(day: int) -> datetime:
    return NOW + timedelta(days=day)


def canary(id: str, asked: str = "Why?", **more: Any) -> Canary:
    usual: dict[str, Any] = {"parameters": {}, "samples": None, "expectations": Expectations()}
    return Canary(id, (Message("user", asked),), **usual | more)


OLD = Suite("support", (canary("a"), canary("b")))
NEW = Suite("support", (canary("a", "Why not?"), canary("c", expectations=Expectations(not_empty=True))))


def note(database: Database, day: int, **suites: Suite) -> None:
    database.write(lambda session: note_uses(session, suites, at(day)))


def history(database: Database, suite: str = "support") -> tuple[Version, ...]:
    return database.read(lambda session: versions(session, suite))


def test_a_version_is_in_use_until_another_takes_its_place(database: Database) -> None:
    note(database, 0, bot=OLD)
    note(database, 1, bot=OLD)
    note(database, 2, bot=NEW, other=OLD)
    old, new = history(database)
    assert [(use.target, use.since, use.until) for use in old.uses] == [
        ("bot", at(0), at(2)),
        ("other", at(2), None),
    ]
    assert [(use.target, use.since, use.until) for use in new.uses] == [("bot", at(2), None)]
    assert new.changes == ("canary 'b': removed", "canary 'c': added", "canary 'a': messages changed")


def test_a_version_that_comes_back_is_the_same_version(database: Database) -> None:
    for day, suite in enumerate((OLD, NEW, OLD)):
        note(database, day, bot=suite)
    old, new = history(database)
    assert [use.until for use in old.uses] == [at(1), None]
    assert (old.is_in_use, new.is_in_use) == (True, False)


def test_a_target_without_a_suite_uses_none_any_more(database: Database) -> None:
    note(database, 0, bot=OLD)
    note(database, 1)
    assert [use.until for use in history(database)[0].uses] == [at(1)]
    assert database.read(suite_names) == ("support",)


def test_a_baseline_is_of_the_version_that_it_was_made_of(database: Database) -> None:
    target = TargetConfig(model="m", suite="support.yaml", samples=2)
    for day, suite in enumerate((OLD, NEW)):
        note(database, day, bot=suite)
        database.write(
            lambda session, suite=suite, day=day: ensure_baseline(
                session, "bot", "support", contract_of(suite, target), at(day)
            )
        )
        database.write(lambda session, day=day: retire_baseline(session, f"bot-{day + 1}", at(day)))
    assert [one.baselines for one in history(database)] == [("bot-1",), ("bot-2",)]


def test_no_prompt_is_kept(database: Database) -> None:
    note(database, 0, bot=Suite("support", (canary("a", "the secret question"),)))
    files = database.path.parent.glob(f"{database.path.name}*")
    assert not any(b"secret question" in file.read_bytes() for file in files)
    assert history(database)[0].content.canaries.keys() == {"a"}


SAME = {
    "another name": replace(OLD, name="other"),
    "another order": replace(OLD, canaries=OLD.canaries[::-1]),
    "samples said once": replace(OLD, samples=None),
}
OTHER = {
    "a question": replace(OLD, canaries=(canary("a", "How?"), canary("b"))),
    "an expectation": replace(
        OLD, canaries=(canary("a", expectations=Expectations(max_length=3)), canary("b"))
    ),
    "a parameter": replace(OLD, parameters={"temperature": 0}),
    "samples": replace(OLD, samples=3),
    "a scrubber": replace(OLD, scrub=("date",)),
    "a canary more": replace(OLD, canaries=(*OLD.canaries, canary("c"))),
}


@pytest.mark.parametrize("suite", SAME.values(), ids=SAME)
def test_what_asks_the_same_is_the_same_version(suite: Suite) -> None:
    assert content_of(suite).hash == content_of(OLD).hash


@pytest.mark.parametrize("suite", OTHER.values(), ids=OTHER)
def test_what_asks_something_else_is_another_version(suite: Suite) -> None:
    target = TargetConfig(model="m", suite="support.yaml")
    assert content_of(suite).hash != content_of(OLD).hash
    assert not is_made_of(contract_of(OLD, target), content_of(suite))
    assert is_made_of(contract_of(suite, target), content_of(suite))


def test_a_version_is_named_by_how_its_hash_begins(database: Database) -> None:
    note(database, 0, bot=OLD)
    note(database, 1, bot=NEW)
    found = history(database)
    assert version_named(found, found[1].short) == found[1]
    for wrong, why in (("", "several versions begin"), ("zz", "no version begins")):
        with pytest.raises(CanaryError, match=why):
            version_named(found, wrong)


def test_a_suite_that_was_never_used_is_told_with_those_that_were(database: Database) -> None:
    note(database, 0, bot=OLD)
    with pytest.raises(CanaryError, match="there are: support"):
        history(database, "suport")
