"""The life of a baseline over weeks: refreshed by rule, canaries that come and go, what it never takes in, its log."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import Session
from watched_bot import BASELINE_RUNS, DOWN, START, STEADY, Answers, Bot, suite_of, watched_of

from alerts.finding import Finding, Severity, Source
from alerts.incident import AlertRule, Incident, State
from alerts.store import save_incident
from canaries import BaselineError
from canaries.baseline import Baseline, BaselineStatus
from canaries.baseline_events import Actor, BaselineEvent, Event, events
from canaries.baseline_store import BaselineSummary, collected_ids, list_baselines, load_baseline
from canaries.completion import Run
from canaries.features import extract
from canaries.store import forget_runs, load_features
from canaries.suite import Canary, Suite
from monitor.canary_flow.baseline_life import freeze_by_operator, is_comparable, renew_baseline
from monitor.canary_flow.baseline_succession import GUARD, Outlook, anchor_of, outlook
from monitor.canary_flow.watch_canaries import settle
from monitor.database import Database
from monitor.watched import House

DAYS = 5
"""After so many days the baselines here are refreshed: the guard of three, and two days of runs."""

GUARD_RUNS = 72
REFRESH_S = DAYS * 86_400.0
OFF_LABEL = Answers(off_label=True)
ALL = [canary.id for canary in suite_of().canaries]


@pytest.fixture
def old_bot(frozen_bot: Bot) -> Bot:
    """A target with a baseline of 48 runs that is refreshed after five days; no alarm by chance comes in between."""
    frozen_bot.watched = watched_of(refresh_after_s=REFRESH_S)
    frozen_bot.house = quiet(frozen_bot)
    return frozen_bot


def quiet(bot: Bot) -> House:
    budgets = replace(bot.house.budgets, tickets_per_quarter=0.01, pages_per_quarter=0.01)
    return replace(bot.house, budgets=budgets)


@pytest.fixture(scope="session")
def aged_file(frozen_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which the next run is the one that refreshes the baseline."""
    database = Database(Path(shutil.copy(frozen_file, tmp_path_factory.mktemp("aged") / "aged.sqlite")))
    aged = Bot(database, watched_of(refresh_after_s=REFRESH_S), hour=BASELINE_RUNS)
    aged.house = quiet(aged)
    assert not any(one.notes for one in aged.runs(24 * DAYS - 1))
    database.close()
    return database.path


@pytest.fixture
def aged_bot(aged_file: Path, tmp_path: Path) -> Iterator[Bot]:
    """A target whose next run refreshes its baseline."""
    database = Database(Path(shutil.copy(aged_file, tmp_path / "aged.sqlite")))
    aged = Bot(database, watched_of(refresh_after_s=REFRESH_S), hour=BASELINE_RUNS + 24 * DAYS - 1)
    aged.house = quiet(aged)
    yield aged
    database.close()


def baselines(bot: Bot) -> tuple[BaselineSummary, ...]:
    """The newest first."""
    return bot.database.read(list_baselines)


def current(bot: Bot) -> BaselineSummary:
    (found,) = [one for one in baselines(bot) if one.status is not BaselineStatus.RETIRED]
    return found


def document(bot: Bot, baseline_id: str) -> Baseline:
    return bot.database.read(lambda session: load_baseline(session, baseline_id))


def run_ids(baseline: Baseline) -> tuple[str, ...]:
    return (*baseline.train_ids, *baseline.calibration_ids)


def happened(bot: Bot) -> list[tuple[str, str]]:
    return [(one.baseline_id, one.event.value) for one in log(bot)]


def log(bot: Bot) -> tuple[Event, ...]:
    return bot.database.read(lambda session: events(session, "bot"))


def hours(bot: Bot, ids: tuple[str, ...]) -> list[int]:
    return [int(run_id.rpartition("-")[2]) for run_id in ids]


def incident(bot: Bot, key: str, opened: int, resolved: int | None) -> None:
    """An incident from one hour to another, as if it had been."""
    finding = Finding(Severity.TICKET, Source.LEDGER, "something was wrong", {"target": "bot"})
    one = Incident(
        id=f"{key}-{opened}",
        key=key,
        state=State.FIRING if resolved is None else State.RESOLVED,
        severity=Severity.TICKET,
        finding=finding,
        opened_at=START + timedelta(hours=opened),
        updated_at=START + timedelta(hours=resolved or opened),
        resolved_at=None if resolved is None else START + timedelta(hours=resolved),
    )
    bot.database.write(lambda session: save_incident(session, one))


def without(suite: Suite, *gone: str) -> Suite:
    return replace(suite, canaries=tuple(one for one in suite.canaries if one.id not in gone))


def with_more(suite: Suite, prompt: str = "Say which team it is for.") -> Suite:
    label = suite.canaries[0]
    message = replace(label.messages[0], content=prompt)
    new: Canary = replace(label, id="label-9", messages=(message,))
    return replace(suite, canaries=(*suite.canaries, new))


def changed(bot: Bot, suite: Suite) -> None:
    bot.watched = watched_of(suite, refresh_after_s=REFRESH_S)


# --- refreshed by rule


def test_a_baseline_of_the_age_is_refreshed_from_the_latest_runs_before_the_guard(aged_bot: Bot) -> None:
    assert [one.id for one in baselines(aged_bot)] == ["bot-1"]
    (settled,) = aged_bot.runs(1)
    assert "bot-2 takes the place of bot-1: 48 runs from 2026-03-04" in settled.notes[0]
    new = document(aged_bot, "bot-2")
    end = BASELINE_RUNS + 24 * DAYS - GUARD_RUNS
    assert hours(aged_bot, run_ids(new)) == list(range(end - BASELINE_RUNS + 1, end + 1))
    assert [(one.id, one.status) for one in baselines(aged_bot)] == [
        ("bot-2", BaselineStatus.FROZEN),
        ("bot-1", BaselineStatus.RETIRED),
    ]
    assert happened(aged_bot)[-2:] == [("bot-1", "retired"), ("bot-2", "refreshed")]


def test_a_refreshed_baseline_begins_without_evidence(aged_bot: Bot) -> None:
    before, after = (aged_bot.runs(1)[0].evidence["suite_peak"] for _ in range(2))
    assert 0 < after < before / 5


NEVER = {"without an age": {"refresh_after_s": None}, "frozen by command": {"freezes_itself": False}}


@pytest.mark.parametrize("changes", NEVER.values(), ids=NEVER)
def test_where_only_a_command_renews_nothing_is_refreshed(
    old_bot: Bot, changes: dict[str, bool | None]
) -> None:
    old_bot.watched = replace(old_bot.watched, **changes)  # type: ignore[arg-type]  # the table above
    old_bot.runs(24 * DAYS + 2)
    assert [one.id for one in baselines(old_bot)] == ["bot-1"]
    now = START + timedelta(hours=old_bot.hour)
    assert (
        old_bot.database.read(lambda s: outlook(s, old_bot.watched, old_bot.house, current(old_bot), now))
        is None
    )


def test_an_open_incident_puts_the_refresh_off(aged_bot: Bot) -> None:
    opened = aged_bot.hour
    incident(aged_bot, "proof/bot/endpoint_down", opened, None)
    aged_bot.watched = replace(aged_bot.watched, baseline_runs=24, rule=AlertRule(keep_firing_s=3600.0))
    first, second = aged_bot.runs(2)  # the second of them ends it
    assert not first.notes
    assert "bot-2 takes the place" in second.notes[0]
    # Its guard goes back over runs that would have been taken: older ones take their place.
    assert max(hours(aged_bot, run_ids(document(aged_bot, "bot-2")))) == opened - GUARD_RUNS - 1


PERIODS = {
    "drift": "drift/bot",
    "a proof": "proof/bot/validator",
    "too few answers": "coverage/bot",
}


@pytest.mark.parametrize("key", PERIODS.values(), ids=PERIODS)
def test_no_run_is_taken_from_an_incident_or_from_the_guard_before_it(aged_bot: Bot, key: str) -> None:
    opened, resolved = 140, 142
    incident(aged_bot, key, opened, resolved)
    aged_bot.watched = replace(aged_bot.watched, baseline_runs=24)
    aged_bot.until(lambda one: bool(one.notes), STEADY, most=60)
    taken = hours(aged_bot, run_ids(document(aged_bot, "bot-2")))
    assert not set(range(opened - GUARD_RUNS, resolved + 1)) & set(taken)
    # A gap, not a new beginning: what lies before the incident is good, and completes the number.
    before = [hour for hour in taken if hour < opened]
    assert before == list(range(BASELINE_RUNS + 1, opened - GUARD_RUNS))
    assert len(taken) == 24


def test_incidents_of_others_do_not_matter(aged_bot: Bot) -> None:
    incident(aged_bot, "drift/other", 100, None)
    incident(aged_bot, "watch/latency", 100, None)
    aged_bot.runs(1)
    assert current(aged_bot).id == "bot-2"


def test_runs_with_too_few_answers_are_not_taken(old_bot: Bot) -> None:
    old_bot.watched = replace(old_bot.watched, baseline_runs=12, refresh_after_s=4 * 86_400.0)
    old_bot.runs(15)
    thin = old_bot.runs(2, Answers(failed=frozenset({"label-0", "text-0"})))
    old_bot.until(lambda one: bool(one.notes), STEADY, most=100)
    taken = run_ids(document(old_bot, "bot-2"))
    assert not {one.run_id for one in thin} & set(taken)
    first, last = min(taken), max(taken)
    assert first < thin[0].run_id < last


def test_the_outlook_says_when_and_with_how_many(aged_bot: Bot) -> None:
    found = seen_ahead(aged_bot)
    assert found is not None
    assert (found.runs, found.runs_needed) == (BASELINE_RUNS - 1, BASELINE_RUNS)
    assert found.due_at - START == timedelta(hours=BASELINE_RUNS + 24 * DAYS, minutes=1)


def seen_ahead(bot: Bot) -> Outlook | None:
    now = START + timedelta(hours=bot.hour, minutes=1)
    return bot.database.read(lambda s: outlook(s, bot.watched, bot.house, current(bot), now))


# --- the anchor


def test_the_first_baseline_of_a_line_is_the_anchor_of_all_later_ones(aged_bot: Bot) -> None:
    aged_bot.runs(1)
    aged_bot.watched = replace(aged_bot.watched, baseline_runs=12, refresh_after_s=86_400.0)
    aged_bot.until(lambda one: bool(one.notes), STEADY, most=90)
    third = document(aged_bot, current(aged_bot).id)
    assert (third.id, third.anchor_id, document(aged_bot, "bot-2").anchor_id) == ("bot-3", "bot-1", "bot-1")
    anchor = aged_bot.database.read(lambda s: anchor_of(s, aged_bot.house, third))
    assert anchor is not None
    assert anchor.id == "bot-1"
    assert aged_bot.database.read(lambda s: anchor_of(s, aged_bot.house, anchor)) is None
    assert "anchor" in aged_bot.runs(1)[0].evidence


def test_the_anchor_is_kept_when_its_runs_are_forgotten(aged_bot: Bot) -> None:
    aged_bot.runs(1)
    forget_all(aged_bot)
    assert stored(aged_bot, ("bot-0001",)) == []
    taken = run_ids(document(aged_bot, "bot-2"))
    assert stored(aged_bot, taken) == list(taken)
    aged_bot.house.frozen.clear()
    (settled,) = aged_bot.runs(1)
    assert "anchor" in settled.evidence


def forget_all(bot: Bot) -> None:
    """As when the time to keep runs is long over."""
    while bot.database.write(lambda s: forget_runs(s, START + timedelta(days=400))):
        pass


def stored(bot: Bot, ids: tuple[str, ...]) -> list[str]:
    """Those of the runs whose answers are still there."""
    return [run.run_id for run in bot.database.read(lambda s: load_features(s, ids)) if run.answers]


# --- canaries that come and go


def test_a_removed_canary_costs_one_run_and_no_ticket(old_bot: Bot) -> None:
    old_bot.runs(5)
    changed(old_bot, without(suite_of(), "text-2"))
    first, second = old_bot.runs(2)
    assert first.notes == ("bot-2 takes the place of bot-1, on the same runs: canary 'text-2': removed.",)
    assert not first.scores
    assert "canary:text-1" in second.scores
    assert "canary:text-2" not in second.scores
    assert old_bot.open() == {}
    old, new = document(old_bot, "bot-1"), document(old_bot, "bot-2")
    assert run_ids(new) == run_ids(old)
    assert (new.frozen_at, new.anchor_id) == (old.frozen_at, None)
    assert happened(old_bot)[-1] == ("bot-2", "canary removed")
    assert set(old_bot.database.read(lambda s: collected_ids(s, "bot-2"))) == set(run_ids(new))


def test_the_anchor_goes_without_a_removed_canary_too(aged_bot: Bot) -> None:
    aged_bot.runs(1)
    changed(aged_bot, without(suite_of(), "text-2"))
    aged_bot.runs(1)
    assert document(aged_bot, current(aged_bot).id).anchor_id == "bot-3"
    before, anchor = document(aged_bot, "bot-1"), document(aged_bot, "bot-3")
    assert (anchor.status, anchor.frozen_at) == (BaselineStatus.RETIRED, before.frozen_at)
    assert run_ids(anchor) == run_ids(before)
    assert "text-2" not in anchor.contract.canaries
    assert "anchor" in aged_bot.runs(1)[0].evidence


def test_a_line_begins_anew_when_the_runs_of_its_anchor_are_gone(aged_bot: Bot) -> None:
    aged_bot.runs(1)
    forget_all(aged_bot)
    changed(aged_bot, without(suite_of(), "text-2"))
    aged_bot.runs(1)
    new = document(aged_bot, current(aged_bot).id)
    assert (new.id, new.anchor_id) == ("bot-3", None)
    assert "its anchor bot-1 is left behind" in log(aged_bot)[-1].why


def test_what_is_left_too_small_is_refused_once_and_not_tried_again(old_bot: Bot) -> None:
    old_bot.database.write(lambda session: session.connection().exec_driver_sql("DELETE FROM completion"))
    changed(old_bot, without(suite_of(), "text-2"))
    old_bot.runs(3)
    assert "baseline/bot" in old_bot.open()
    assert happened(old_bot).count(("bot-1", "refused")) == 1
    assert "the runs of bot-1 are not stored any more" in log(old_bot)[-1].why


def test_a_removed_canary_ends_an_incident_only_if_it_was_its_own(old_bot: Bot) -> None:
    old_bot.house = Bot(old_bot.database).house
    old_bot.runs(25, Answers(drifted=True))
    assert "drift/bot" in old_bot.open()
    changed(old_bot, without(suite_of(), "text-2"))
    old_bot.runs(3, Answers(drifted=True))
    assert "drift/bot" in old_bot.open()


@pytest.mark.parametrize(
    "gone", [("label-0", "label-1", "label-2"), tuple(ALL[:-1])], ids=["other checks are left", "one is left"]
)
def test_an_incident_of_a_check_that_is_gone_ends(old_bot: Bot, gone: tuple[str, ...]) -> None:
    old_bot.runs(4, OFF_LABEL)
    assert "proof/bot/validator" in old_bot.open()
    changed(old_bot, without(suite_of(), *gone))
    old_bot.runs(1)  # at once: where no check is left, no later run would say that one passes
    assert old_bot.open() == {}


def test_an_added_canary_is_taken_in_when_it_has_its_runs(old_bot: Bot) -> None:
    old_bot.runs(2)
    old_bot.watched = watched_of(with_more(suite_of()), baseline_runs=12)
    first, *rest = old_bot.runs(12 + GUARD_RUNS)
    assert first.scores
    assert "which takes in what was added once it has the runs: canary 'label-9': added" in first.notes[0]
    assert all(one.scores for one in rest)
    assert current(old_bot).id == "bot-1"
    assert old_bot.open() == {}
    taken_in = old_bot.runs(2)
    assert any("with label-9" in note for one in taken_in for note in one.notes)
    assert "canary:label-9" in old_bot.runs(1)[0].scores
    assert document(old_bot, "bot-2").anchor_id == "bot-1"


def test_a_canary_that_changes_while_it_is_taken_in_starts_over(old_bot: Bot) -> None:
    changed(old_bot, with_more(suite_of()))
    old_bot.runs(20)
    other = with_more(suite_of(), prompt="Say which person it is for.")
    old_bot.watched = watched_of(other, refresh_after_s=None, baseline_runs=12)
    old_bot.until(lambda one: any("with label-9" in note for note in one.notes), STEADY, most=100)
    assert happened(old_bot).count(("bot-1", "canary added")) == 2
    assert min(hours(old_bot, run_ids(document(old_bot, "bot-2")))) > BASELINE_RUNS + 20


def test_a_canary_added_and_taken_back_leaves_the_baseline_as_it_was(old_bot: Bot) -> None:
    changed(old_bot, with_more(suite_of()))
    old_bot.runs(2)
    changed(old_bot, suite_of())
    assert old_bot.runs(1)[0].scores
    old_bot.runs(2)
    assert happened(old_bot)[-2:] == [("bot-1", "canary added"), ("bot-1", "accepted")]


def test_one_canary_in_the_place_of_another_keeps_the_watch_going(old_bot: Bot) -> None:
    old_bot.runs(2)
    changed(old_bot, with_more(without(suite_of(), "text-2")))
    settled = old_bot.runs(4)
    assert [bool(one.scores) for one in settled] == [False, True, True, True]
    assert happened(old_bot)[-3:] == [
        ("bot-1", "retired"),
        ("bot-2", "canary removed"),
        ("bot-2", "canary added"),
    ]
    assert old_bot.open() == {}


def test_another_change_beside_it_is_refused(old_bot: Bot) -> None:
    changed(old_bot, without(suite_of(label_prompt="Give it a label."), "text-2"))
    old_bot.runs(2)
    assert set(old_bot.open()) == {"baseline/bot"}
    assert happened(old_bot)[-1] == ("bot-1", "refused")
    assert not old_bot.database.read(
        lambda s: is_comparable(s, old_bot.house, old_bot.watched, current(old_bot))
    )
    changed(old_bot, suite_of())
    old_bot.runs(2)
    assert happened(old_bot)[-1] == ("bot-1", "accepted")


# --- what a baseline that collects gives back


def test_the_runs_that_led_to_an_incident_are_given_back_and_the_older_ones_kept(bot: Bot) -> None:
    bot.watched = watched_of(baseline_runs=100)
    bot.runs(30)
    failing = 0
    while "proof/bot/validator" not in bot.open():
        bot.runs(1, OFF_LABEL)
        failing += 1
        assert failing < 20
    kept = hours(bot, bot.database.read(lambda s: collected_ids(s, "bot-1")))
    assert failing > 1
    # The first failing run follows the thirtieth, in the middle of which it may have begun.
    assert kept == list(range(1, 30))
    assert log(bot)[-1].event is BaselineEvent.RUNS_LET_GO
    assert "Check label-0/labels fails" in log(bot)[-1].why


def test_an_endpoint_that_is_down_every_other_day_still_gets_a_baseline(bot: Bot) -> None:
    while not any(one.status is BaselineStatus.FROZEN for one in baselines(bot)):
        bot.runs(20)
        bot.runs(3, DOWN)
        assert bot.hour < 120


def test_another_model_starts_a_collection_over_and_the_log_says_so(bot: Bot) -> None:
    bot.runs(5)
    bot.runs(1, Answers(served_model="m-2026-07"))
    assert bot.database.read(lambda s: collected_ids(s, "bot-1")) == ()
    (last,) = log(bot)[1:]
    assert (last.event, last.actor) == (BaselineEvent.RESTARTED, Actor.DAEMON)
    assert last.why.startswith("5 runs: ")


# --- an operator


def test_nothing_is_frozen_by_command_while_an_incident_is_open_unless_forced(bot: Bot) -> None:
    bot.watched = watched_of(freezes_itself=False)
    bot.runs(20)
    bot.runs(3, DOWN)

    def freeze(is_forced: bool) -> Callable[[Session], Baseline]:
        return lambda s: freeze_by_operator(
            s, bot.house, current(bot), START, "we know of it", is_forced=is_forced
        )

    with pytest.raises(
        BaselineError, match=r"an incident of bot is open: .* Wait for its end, or freeze with --force"
    ):
        bot.database.write(freeze(is_forced=False))
    bot.database.write(freeze(is_forced=True))
    assert (log(bot)[-1].event, log(bot)[-1].actor, log(bot)[-1].why) == (
        BaselineEvent.FROZEN,
        Actor.OPERATOR,
        "we know of it",
    )


def test_a_renewed_baseline_begins_a_line_without_an_anchor(aged_bot: Bot) -> None:
    aged_bot.runs(1)
    aged_bot.database.write(lambda s: renew_baseline(s, current(aged_bot), START, "m -> m-next"))
    aged_bot.watched = watched_of(model="m-next", baseline_runs=12)
    aged_bot.runs(12, Answers(served_model="m-next-2026"))
    new = document(aged_bot, current(aged_bot).id)
    # It began before the daemon knew of the new model, and collects the new one's runs all the same.
    assert (new.id, new.status, new.anchor_id) == ("bot-3", BaselineStatus.FROZEN, None)
    assert new.contract.shared["target.model"] == "m-next"
    (renewed,) = [one for one in log(aged_bot) if one.event is BaselineEvent.RENEWED]
    assert (renewed.baseline_id, renewed.actor, renewed.why) == ("bot-2", Actor.OPERATOR, "m -> m-next")


# --- all or nothing


class UndoneError(Exception):
    """The transaction ends here."""


def test_a_refresh_is_undone_with_the_run_that_brought_it(aged_bot: Bot) -> None:
    run = aged_bot.next_run()
    undone(aged_bot, run)
    assert aged_bot.settle(run).notes
    assert current(aged_bot).id == "bot-2"


def test_a_removed_canary_is_undone_with_the_run_that_brought_it(old_bot: Bot) -> None:
    old_bot.runs(3)
    changed(old_bot, without(suite_of(), "text-2"))
    run = old_bot.next_run()
    undone(old_bot, run)
    changed(old_bot, without(suite_of(), "text-1"))  # the operator thinks better of it
    assert (
        "canary 'text-1': removed" in old_bot.settle(replace(run, completions=run.completions[:4])).notes[0]
    )
    (settled,) = old_bot.runs(1)
    assert "canary:text-2" in settled.scores


def undone(bot: Bot, run: Run) -> None:
    """Settle the run in a transaction that fails at its end: nothing of it may be left."""
    features = extract(run, bot.watched.suite, bot.house.secret)
    before = bot.everything()

    def work(session: Session) -> None:
        assert settle(session, bot.watched, bot.house, run, features, run.finished_at or run.at).notes
        raise UndoneError

    with pytest.raises(UndoneError):
        bot.database.write(work)
    assert bot.everything() == before


def test_the_guard_is_three_days() -> None:
    assert timedelta(hours=GUARD_RUNS) == GUARD
