"""From runs to pages in a real database: the life of a baseline, drift, proofs, and all of it in one transaction."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from watched_bot import (
    BASELINE_RUNS,
    DOWN,
    DRIFTED,
    START,
    STEADY,
    Answers,
    Bot,
    house_of,
    suite_of,
    watched_of,
)

from alerts.evidence.ledger import Budgets
from alerts.finding import Severity
from alerts.incident import AlertRule, NoticeKind
from alerts.rollback import Action, Mode, RollbackRule
from alerts.rollback_store import history as rollback_history
from alerts.store import incidents, load_ledger
from canaries.baseline import BaselineStatus
from canaries.baseline_store import (
    BaselineSummary,
    collected_ids,
    list_baselines,
    retire_baseline,
)
from canaries.completion import Outcome
from canaries.proofs import ProofKind
from canaries.store import recent_runs, score_series
from monitor.canary_flow.baseline_life import baseline_of, freeze_baseline
from monitor.canary_flow.watch_canaries import Settled
from monitor.database import Database

RENAMED = Answers(served_model="m-2026-07")
REFINGERED = Answers(fingerprint="fp-2")
OFF_LABEL = Answers(off_label=True)


def pages(settled: Settled) -> bool:
    return any(transition.is_page for transition in settled.transitions)


def resolves(settled: Settled) -> bool:
    return any(NoticeKind.RESOLVED in transition.notifications for transition in settled.transitions)


def told(settled: Settled) -> list[tuple[str, str]]:
    """What people are told by a run: of which incident, and what."""
    return [
        (one.incident.key, kind.value)
        for one in settled.transitions
        if one.incident is not None
        for kind in one.notifications
    ]


def baselines(bot: Bot) -> tuple[BaselineSummary, ...]:
    return bot.database.read(list_baselines)


def retire(bot: Bot) -> None:
    current = baselines(bot)[0]
    bot.database.write(lambda session: retire_baseline(session, current.id, START))


# --- the life of a baseline


def test_the_first_runs_collect_and_freeze_by_themselves(bot: Bot) -> None:
    first, *_, last = bot.runs(BASELINE_RUNS)
    assert (first.has_frozen, last.has_frozen) == (False, True)
    (current,) = baselines(bot)
    assert (current.id, current.status, current.collected_runs) == (
        "bot-1",
        BaselineStatus.FROZEN,
        BASELINE_RUNS,
    )
    assert (current.train_runs, current.calibration_runs) == (24, 24)
    assert bot.told() == []


def test_runs_are_scored_from_the_freezing_on(frozen_bot: Bot) -> None:
    (settled,) = frozen_bot.runs(1)
    assert not settled.has_frozen
    assert {"suite_surprise", "suite_peak", "canary:text-2"} <= set(settled.scores)
    assert set(settled.evidence) == set(settled.scores)
    series = frozen_bot.database.read(lambda s: score_series(s, "bot-1", "suite_surprise"))
    assert [(one.run_id, one.value) for one in series] == [(settled.run_id, settled.scores["suite_surprise"])]


def test_a_baseline_that_freezes_by_command_waits_for_it(bot: Bot) -> None:
    bot.watched = watched_of(freezes_itself=False)
    bot.runs(BASELINE_RUNS + 3)
    (current,) = baselines(bot)
    assert current.status is BaselineStatus.COLLECTING
    frozen = bot.database.write(lambda s: freeze_baseline(s, bot.house, current.id, START))
    assert len(frozen.train_ids) + len(frozen.calibration_ids) == BASELINE_RUNS + 3
    assert bot.runs(1)[0].scores


def test_runs_with_too_few_answers_are_stored_but_not_collected(bot: Bot) -> None:
    some_failed = Answers(failed=frozenset({"label-0", "text-0"}))  # 4 of 6 answered
    bot.runs(3)
    bot.runs(2, some_failed)
    assert len(bot.database.read(recent_runs)) == 5
    assert baselines(bot)[0].collected_runs == 3


def test_a_run_whose_last_answers_fail_still_counts(bot: Bot) -> None:
    bot.runs(2, Answers(failed=frozenset({"label-0"})))  # 5 of 6: more than 80 %
    assert baselines(bot)[0].collected_runs == 2


def test_runs_during_an_open_incident_are_not_collected(bot: Bot) -> None:
    bot.runs(5)
    bot.runs(bot.watched.down_after, DOWN)
    assert "proof/bot/endpoint_down" in bot.open()
    bot.runs(2)  # the second of them ends it
    assert bot.open() == {}
    # The last run before it is let go: the trouble may have begun in its middle.
    assert baselines(bot)[0].collected_runs == 4
    bot.runs(1)
    assert baselines(bot)[0].collected_runs == 5


def test_an_incident_of_something_else_does_not_hinder_collecting(bot: Bot) -> None:
    other = Bot(bot.database, watched_of(name="other"))
    other.runs(3, DOWN)
    assert "proof/other/endpoint_down" in bot.open()
    bot.runs(1)
    assert bot.database.read(lambda s: collected_ids(s, "bot-1")) == ("bot-0001",)


def test_runs_that_make_no_baseline_become_a_ticket_and_are_kept(bot: Bot) -> None:
    # Each run answers other canaries, so that no canary has enough of its own.
    bot.watched = watched_of(min_answered_share=0.01, baseline_runs=12)
    names = [canary.id for canary in suite_of().canaries]
    for n in range(13):
        answered = names[n % len(names)]
        settled = bot.settle(bot.next_run(Answers(failed=frozenset(names) - {answered})))
    assert told(settled) == []  # one ticket, not one a run
    ticket = bot.open()["baseline/bot"]
    assert ticket.severity is Severity.TICKET
    assert (
        "bot has collected its runs, but they make no baseline: none of the 6 canaries"
        in ticket.finding.summary
    )
    assert len(bot.database.read(recent_runs)) == baselines(bot)[0].collected_runs == 13


def test_a_baseline_that_collects_begins_anew_with_a_changed_suite(bot: Bot) -> None:
    bot.runs(5)
    bot.watched = watched_of(suite_of(label_prompt="Give this ticket a label."))
    bot.runs(1)
    new, old = baselines(bot)
    assert (old.status, new.status, new.collected_runs) == (
        BaselineStatus.RETIRED,
        BaselineStatus.COLLECTING,
        1,
    )
    assert bot.told() == []


def test_a_baseline_that_collects_begins_anew_on_another_model(bot: Bot) -> None:
    bot.runs(5)
    bot.runs(1, RENAMED)
    assert baselines(bot)[0].collected_runs == 0
    bot.until(resolves, RENAMED)
    assert baselines(bot)[0].collected_runs == 0
    bot.runs(1, RENAMED)
    assert baselines(bot)[0].collected_runs == 1


# --- drift


def test_steady_answers_page_nobody(frozen_bot: Bot) -> None:
    frozen_bot.runs(60)
    assert [kind for kind, _, _ in frozen_bot.told()] == []
    assert frozen_bot.open() == {}


def test_drift_becomes_a_ticket_then_a_page_and_ends_with_recovery(frozen_bot: Bot) -> None:
    frozen_bot.runs(5)
    paged = frozen_bot.until(pages, DRIFTED)
    incident = frozen_bot.open()["drift/bot"]
    assert incident.severity is Severity.PAGE
    assert incident.finding.summary.startswith("bot has drifted from its baseline: ")
    assert ("run", paged.run_id) in incident.finding.evidence
    assert told(paged)[0] == ("drift/bot", "escalated")  # the ticket had come before
    frozen_bot.runs(6, DRIFTED)
    frozen_bot.until(resolves, STEADY)
    assert frozen_bot.open() == {}
    to_people = [kind for kind, key, receiver in frozen_bot.told() if receiver == "oncall"]
    assert to_people == ["firing", "escalated", "resolved"]


def test_one_model_that_drifts_in_every_canary_is_one_page(frozen_bot: Bot) -> None:
    settled = frozen_bot.runs(25, DRIFTED)
    assert sum(map(pages, settled)) == 1
    assert len(frozen_bot.database.read(incidents)) == 1


def test_a_down_endpoint_raises_no_drift_and_holds_one_that_is_open(frozen_bot: Bot) -> None:
    before = frozen_bot.database.read(lambda s: load_ledger(s, "bot", "bot-1"))
    frozen_bot.runs(10, DOWN)
    assert set(frozen_bot.open()) == {"proof/bot/endpoint_down"}
    assert frozen_bot.database.read(lambda s: load_ledger(s, "bot", "bot-1")) == before
    frozen_bot.until(pages, DRIFTED)
    frozen_bot.runs(10, DOWN)
    assert set(frozen_bot.open()) == {"proof/bot/endpoint_down", "drift/bot"}


def test_a_run_with_too_few_answers_bets_on_nothing(frozen_bot: Bot) -> None:
    frozen_bot.runs(1)
    before = frozen_bot.database.read(lambda s: load_ledger(s, "bot", "bot-1"))
    (settled,) = frozen_bot.runs(1, Answers(failed=frozenset({"label-0", "text-0"})))
    assert (settled.scores, settled.evidence, told(settled)) == ({}, {}, [])
    assert frozen_bot.database.read(lambda s: load_ledger(s, "bot", "bot-1")) == before


def test_a_ledger_belongs_to_its_baseline(frozen_bot: Bot) -> None:
    frozen_bot.until(pages, DRIFTED)
    retire(frozen_bot)
    frozen_bot.runs(BASELINE_RUNS + 2, DRIFTED)
    assert baselines(frozen_bot)[0].status is BaselineStatus.FROZEN
    assert not any(map(pages, frozen_bot.runs(10, DRIFTED)))  # what it does now is what it was frozen on


def test_a_target_spends_its_share_of_the_budget(frozen_file: Path, tmp_path: Path) -> None:
    evidence = []
    for share in (1.0, 0.25):
        database = Database(Path(shutil.copy(frozen_file, tmp_path / f"{share}.sqlite")))
        one = Bot(database, watched_of(share=share), hour=BASELINE_RUNS)
        evidence.append(one.runs(5)[-1].evidence)
        database.close()
    whole, part = evidence
    assert part == {name: pytest.approx(0.25 * value) for name, value in whole.items()}
    assert {name for name, value in whole.items() if value == 0} <= {
        "latency",
        "ttft",
        "output_tokens",
    }  # tickets only


def test_targets_drift_on_their_own(frozen_bot: Bot) -> None:
    other = Bot(frozen_bot.database, watched_of(name="other"), frozen_bot.house)
    other.runs(BASELINE_RUNS)
    for _ in range(20):
        other.runs(1, DRIFTED)
        frozen_bot.runs(1)
    assert set(frozen_bot.open()) == {"drift/other"}
    assert {one.target for one in baselines(frozen_bot)} == {"bot", "other"}


# --- rollback


def rollbacks(bot: Bot) -> list[Action]:
    return [one.action for one in bot.database.read(lambda s: rollback_history(s, "deploy"))]


def test_a_rollback_is_ordered_once_and_after_the_page(frozen_bot: Bot) -> None:
    settled = frozen_bot.until(pages, DRIFTED)
    at_the_page = rollbacks(frozen_bot)
    frozen_bot.runs(15, DRIFTED)
    assert at_the_page == []
    assert rollbacks(frozen_bot) == [Action.SEND]
    assert [receiver for kind, _, receiver in frozen_bot.told() if kind == "rollback"] == ["rollback/deploy"]
    assert settled.run_id


def test_a_rollback_has_a_budget_of_its_own(frozen_bot: Bot) -> None:
    frozen_bot.house = house_of(budgets=Budgets(1.0, 13.0, rollbacks_per_quarter=0.0))
    frozen_bot.until(pages, DRIFTED)
    frozen_bot.runs(15, DRIFTED)
    assert rollbacks(frozen_bot) == []


def test_a_rehearsed_rollback_is_told_and_not_ordered(frozen_bot: Bot) -> None:
    frozen_bot.house = house_of(rollbacks={"deploy": RollbackRule(Mode.DRY_RUN)})
    frozen_bot.until(pages, DRIFTED)
    frozen_bot.runs(15, DRIFTED)
    assert rollbacks(frozen_bot) == [Action.DRY_RUN]
    assert ("rollback_news", "drift/bot", "oncall") in frozen_bot.told()


def test_a_changed_model_is_not_rolled_back_and_a_broken_check_is(frozen_bot: Bot) -> None:
    frozen_bot.runs(2, RENAMED)
    assert rollbacks(frozen_bot) == []
    settled = frozen_bot.until(lambda _: bool(rollbacks(frozen_bot)), OFF_LABEL, most=10)
    assert rollbacks(frozen_bot) == [Action.SEND]
    assert ("proof/bot/validator", False) in [
        (one.incident.key, one.is_page) for one in settled.transitions if one.incident
    ]


# --- proofs

REFUSED = replace(DOWN, outcome=Outcome.AUTH)
SERVES, BREAKS = (
    "serves a model it never served before: m-2026-07",
    "Check label-0/labels fails in every sample",
)
PROOFS = {
    "another model, while it collects": (10, RENAMED, 1, "served_model", SERVES),
    "another model": (BASELINE_RUNS, RENAMED, 1, "served_model", SERVES),
    "another fingerprint": (
        BASELINE_RUNS,
        REFINGERED,
        4,
        "fingerprint",
        "replaced all known ones in the last 4 runs",
    ),
    "answers off the list, while it collects": (10, OFF_LABEL, 10, "validator", BREAKS),
    "answers off the list": (BASELINE_RUNS, OFF_LABEL, 4, "validator", BREAKS),
    "no answer, while it collects": (10, DOWN, 3, "endpoint_down", "does not answer: 3 runs in a row"),
    "no answer": (BASELINE_RUNS, DOWN, 3, "endpoint_down", "does not answer: 3 runs in a row"),
    "no credentials": (10, REFUSED, 3, "endpoint_down", "The endpoint refuses our credentials"),
}


@pytest.mark.parametrize(("collected", "answers", "runs", "kind", "summary"), PROOFS.values(), ids=PROOFS)
def test_a_proof_pages_from_the_first_hours_on_and_resolves(
    bot: Bot, frozen_bot: Bot, collected: int, answers: Answers, runs: int, kind: str, summary: str
) -> None:
    one = frozen_bot if collected == BASELINE_RUNS else bot
    one.runs(collected - one.hour)
    *quiet, last = one.runs(runs, answers)
    assert not any(map(pages, quiet))
    assert pages(last)
    incident = one.open()[f"proof/bot/{kind}"]
    assert incident.severity is Severity.PAGE
    assert incident.finding.summary.startswith("bot: ")
    assert summary in incident.finding.summary
    assert incident.labels == {"target": "bot", "proof": kind}
    one.runs(6)
    assert f"proof/bot/{kind}" not in one.open()


def test_a_new_fingerprint_is_a_ticket_at_first(frozen_bot: Bot) -> None:
    (settled,) = frozen_bot.runs(1, REFINGERED)
    assert told(settled) == [("proof/bot/fingerprint", "firing")]
    assert frozen_bot.open()["proof/bot/fingerprint"].severity is Severity.TICKET


def test_many_broken_checks_are_one_incident(frozen_bot: Bot) -> None:
    frozen_bot.runs(3, OFF_LABEL)
    incident = frozen_bot.open()["proof/bot/validator"]
    assert incident.finding.summary.endswith("(and 2 more)")
    assert [kind for kind, _, receiver in frozen_bot.told() if receiver == "oncall"] == ["firing"]


LOUDNESS = {
    "a page by default": ({}, Severity.PAGE, ["firing"]),
    "a ticket": ({ProofKind.SERVED_MODEL: Severity.TICKET}, Severity.TICKET, ["firing"]),
    "only noted": ({ProofKind.SERVED_MODEL: Severity.INFO}, Severity.INFO, []),
    "off": ({ProofKind.SERVED_MODEL: None}, None, []),
}


@pytest.mark.parametrize(("proofs", "severity", "messages"), LOUDNESS.values(), ids=LOUDNESS)
def test_a_proof_is_as_loud_as_configured(
    frozen_bot: Bot, proofs: dict[ProofKind, Severity | None], severity: Severity | None, messages: list[str]
) -> None:
    frozen_bot.watched = replace(frozen_bot.watched, proofs=proofs)
    frozen_bot.runs(2, RENAMED)
    incident = frozen_bot.open().get("proof/bot/served_model")
    assert (incident.severity if incident else None) is severity
    assert [kind for kind, _, _ in frozen_bot.told()] == messages


def test_nobody_is_told_where_nobody_is_named(frozen_bot: Bot) -> None:
    frozen_bot.watched = replace(frozen_bot.watched, rule=AlertRule())
    assert pages(frozen_bot.runs(1, RENAMED)[0])
    assert frozen_bot.told() == []


# --- a suite or a target that changed


def test_a_changed_suite_is_not_compared_and_the_ticket_says_what_changed(frozen_bot: Bot) -> None:
    frozen_bot.watched = watched_of(suite_of(label_prompt="Give this ticket a label."))
    first, second = frozen_bot.runs(2)
    assert first.scores == second.scores == {}
    assert told(first) == [("baseline/bot", "firing")]
    assert told(second) == []
    ticket = frozen_bot.open()["baseline/bot"]
    assert ticket.severity is Severity.TICKET
    assert '`anchorwatch baseline renew bot --why "..."` starts a new one' in ticket.finding.summary
    assert ticket.finding.evidence == (
        ("changed", "canaries 'label-0', 'label-1', 'label-2': messages changed"),
    )


def test_comparing_goes_on_when_the_change_is_taken_back(frozen_bot: Bot) -> None:
    before, frozen_bot.watched = frozen_bot.watched, watched_of(suite_of(label_prompt="Label it."))
    frozen_bot.runs(2)
    frozen_bot.watched = before
    (settled,) = frozen_bot.runs(1)
    assert settled.scores
    assert told(settled) == [("baseline/bot", "resolved")]
    assert len(baselines(frozen_bot)) == 1


def test_after_retiring_a_new_baseline_begins(frozen_bot: Bot) -> None:
    frozen_bot.watched = watched_of(suite_of(label_prompt="Give this ticket a label."))
    frozen_bot.runs(1)
    retire(frozen_bot)
    (settled,) = frozen_bot.runs(1)
    assert told(settled) == [("baseline/bot", "resolved")]
    new, old = baselines(frozen_bot)
    assert (new.id, new.status, new.collected_runs) == ("bot-2", BaselineStatus.COLLECTING, 1)
    assert old.status is BaselineStatus.RETIRED


def test_drift_is_held_while_nothing_can_be_compared_and_ends_with_its_baseline(frozen_bot: Bot) -> None:
    frozen_bot.until(pages, DRIFTED)
    frozen_bot.watched = watched_of(suite_of(label_prompt="Give this ticket a label."))
    frozen_bot.runs(3)
    assert set(frozen_bot.open()) == {"drift/bot", "baseline/bot"}
    retire(frozen_bot)
    (settled,) = frozen_bot.runs(1)
    assert ("drift/bot", "resolved") in told(settled)
    assert frozen_bot.open() == {}


def test_a_model_that_we_changed_ourselves_is_a_ticket_and_not_a_page(frozen_bot: Bot) -> None:
    frozen_bot.watched = watched_of(model="m-next")
    settled = frozen_bot.runs(3, Answers(served_model="m-next-2026", fingerprint="fp-9", off_label=True))
    assert set(frozen_bot.open()) == {"baseline/bot"}
    assert not any(map(pages, settled))
    assert frozen_bot.open()["baseline/bot"].finding.evidence == (
        ("changed", 'target.model: "m" -> "m-next"'),
    )


def test_a_changed_target_that_is_down_still_pages(frozen_bot: Bot) -> None:
    frozen_bot.runs(1, DOWN)
    frozen_bot.watched = watched_of(model="m-next")
    settled = frozen_bot.runs(2, DOWN)
    assert pages(settled[-1])
    assert "proof/bot/endpoint_down" in frozen_bot.open()
    assert [("proof/bot/endpoint_down", "resolved") in told(one) for one in frozen_bot.runs(2)] == [
        False,
        True,
    ]


def test_what_was_known_is_still_known_when_a_change_is_taken_back(frozen_bot: Bot) -> None:
    before, frozen_bot.watched = frozen_bot.watched, watched_of(model="m-next")
    frozen_bot.runs(2, Answers(served_model="m-next-2026"))
    frozen_bot.watched = before
    assert pages(frozen_bot.runs(1, Answers(served_model="m-next-2026"))[0])


def test_a_suite_that_is_only_renamed_is_compared_on(frozen_bot: Bot) -> None:
    frozen_bot.watched = replace(frozen_bot.watched, suite_name="helpdesk")
    (settled,) = frozen_bot.runs(1)
    assert settled.scores
    assert [one.id for one in baselines(frozen_bot)] == ["bot-1"]
    current = frozen_bot.database.read(lambda s: baseline_of(s, "bot", "helpdesk"))
    assert current is not None
    assert current.id == "bot-1"


def test_another_suite_in_its_place_is_not_compared_and_named(frozen_bot: Bot) -> None:
    smaller = replace(suite_of(), name="helpdesk", canaries=suite_of().canaries[:5])
    frozen_bot.watched = watched_of(smaller)
    (settled,) = frozen_bot.runs(1)
    assert settled.scores == {}
    assert frozen_bot.open()["baseline/bot"].finding.evidence == (
        ("changed", "suite: 'support' -> 'helpdesk'"),
        ("changed", "canary 'text-2': removed"),
    )
    retire(frozen_bot)
    frozen_bot.runs(1)
    assert [(one.id, one.suite) for one in baselines(frozen_bot)] == [
        ("bot-2", "helpdesk"),
        ("bot-1", "support"),
    ]


def test_too_few_answers_for_too_long_is_a_ticket_that_ends_when_they_are_back(bot: Bot) -> None:
    bot.watched = watched_of(down_after=3)
    names = [canary.id for canary in suite_of().canaries]
    some_fail = Answers(failed=frozenset(names[:3]))
    bot.settle(bot.next_run(some_fail))
    bot.settle(bot.next_run(some_fail))
    assert "coverage/bot" not in bot.open()
    bot.settle(bot.next_run(some_fail))
    ticket = bot.open()["coverage/bot"]
    assert ticket.severity is Severity.TICKET
    assert "is not watched" in ticket.finding.summary
    bot.settle(bot.next_run(Answers()))
    assert "coverage/bot" not in bot.open()


def test_a_canary_that_never_answers_is_named(bot: Bot) -> None:
    bot.watched = watched_of(down_after=3, min_answered_share=0.5)
    silent = min(canary.id for canary in suite_of().canaries)
    for _ in range(3):
        bot.settle(bot.next_run(Answers(failed=frozenset({silent}))))
    assert f"no answer to {silent}" in bot.open()["coverage/bot"].finding.summary


def test_the_run_that_opens_an_incident_is_no_part_of_a_baseline(bot: Bot) -> None:
    bot.settle(bot.next_run(Answers()))
    before = baselines(bot)[0].collected_runs
    bot.settle(bot.next_run(Answers(served_model="another-model")))
    assert (before, baselines(bot)[0].collected_runs) == (1, 0)


def test_a_baseline_that_begins_anew_says_why(bot: Bot) -> None:
    bot.settle(bot.next_run(Answers()))
    bot.watched = watched_of(model="other")
    (note,) = bot.settle(bot.next_run(Answers())).notes
    assert "begins anew" in note
    assert "target.model" in note
