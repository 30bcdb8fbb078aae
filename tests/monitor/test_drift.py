"""What the ledger's alarms mean for a target, on steps made by hand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from alerts.evidence.bets import Side
from alerts.evidence.ledger import Alarm, Kind
from alerts.finding import Finding, Label, Severity, Source
from monitor.drift import (
    COMPONENTS_SHOWN,
    CONFIRMING_RUNS,
    Bets,
    Drifting,
    DriftMemory,
    incident_key,
    remember,
    subject,
    verdict,
)

SINCE = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
NAMES = ("peak", "length", "words")
INSIDE, LAST_QUARTER, LAST_TWENTIETH, BEYOND_ALL = 0, 1, 2, 3
RUNS = dict.fromkeys(NAMES, 40)


def alarm(kind: Kind, name: str = "peak", side: Side = Side.HIGH, evidence: float = 1.5) -> Alarm:
    return Alarm(kind, name, side, evidence, SINCE)


def step(*alarms: Alarm, beyond: int | None = None, steady: Sequence[str] = ()) -> Bets:
    """What a run did; ``beyond`` is the level of the score ``peak``, ``None`` when the run has no such score."""
    return Bets(alarms, {} if beyond is None else {"peak": beyond}, frozenset(steady))


def after(*steps: Bets) -> DriftMemory:
    memory = DriftMemory()
    for one in steps:
        memory = remember(memory, one)
    return memory


def said(memory: DriftMemory) -> Finding:
    finding = verdict("bot", memory, RUNS, {"peak": "how far it is"}, (("run", "r-9"),)).finding
    assert finding is not None
    return finding


# --- what is remembered


def test_without_an_alarm_nothing_is_remembered() -> None:
    assert after(step(beyond=BEYOND_ALL)) == DriftMemory()


@pytest.mark.parametrize(
    ("kind", "severity"),
    [(Kind.TICKET, Severity.TICKET), (Kind.PAGE, Severity.PAGE), (Kind.ROLLBACK, Severity.TICKET)],
)
def test_an_alarm_is_as_loud_as_its_budget_pays_for(kind: Kind, severity: Severity) -> None:
    assert said(after(step(alarm(kind)))).severity is severity


def test_a_ticket_becomes_a_page_and_a_page_stays_one() -> None:
    memory = after(step(alarm(Kind.TICKET)), step(alarm(Kind.PAGE)), step(alarm(Kind.TICKET)))
    assert said(memory).severity is Severity.PAGE


def test_a_score_that_looks_steady_ends_its_drift() -> None:
    memory = after(step(alarm(Kind.PAGE)), step(steady=["peak"]))
    assert memory == DriftMemory()
    assert verdict("bot", memory, RUNS, {}, ()).label is Label.STEADY


def test_the_target_drifts_until_each_of_its_scores_has_looked_steady() -> None:
    both = step(alarm(Kind.PAGE), alarm(Kind.TICKET, "length"))
    one = after(both, step(steady=["peak"]))
    assert said(one).severity is Severity.PAGE
    assert set(one.drifting) == {"peak", "length"}
    # Not together: of many scores one or the other is always restless, by chance.
    assert not after(both, step(steady=["peak"]), step(steady=["length"])).drifting
    assert not after(both, step(steady=["peak", "length"])).drifting


def test_a_score_that_alarms_again_is_not_steady_any_more() -> None:
    memory = after(
        step(alarm(Kind.PAGE), alarm(Kind.TICKET, "length")), step(alarm(Kind.TICKET), steady=["peak"])
    )
    assert not memory.drifting["peak"].is_steady


def test_the_memory_is_the_same_after_it_was_stored() -> None:
    memory = after(
        step(alarm(Kind.ROLLBACK, evidence=1 / 3), alarm(Kind.TICKET, "length", Side.LOW)),
        step(beyond=BEYOND_ALL),
    )
    assert DriftMemory.from_json(memory.to_json()) == memory
    assert DriftMemory.from_json(DriftMemory().to_json()) == DriftMemory()


# --- when a rollback is asked for

CONFIRMED = step(beyond=LAST_TWENTIETH)
NOT_CONFIRMED = step(beyond=LAST_QUARTER)
UNSCORED = step()
ROLLBACK = step(alarm(Kind.ROLLBACK), beyond=BEYOND_ALL)

ROLLBACKS = {
    "the page ledger's alarm is not enough": ([step(alarm(Kind.PAGE)), *[CONFIRMED] * 5], False),
    "nor the rollback ledger's alone": ([ROLLBACK], False),
    "nor one confirming run": ([ROLLBACK, CONFIRMED], False),
    "two confirming runs are": ([ROLLBACK, CONFIRMED, CONFIRMED], True),
    "so are more": ([ROLLBACK, *[CONFIRMED] * 4], True),
    "beyond everything confirms": ([ROLLBACK, *[step(beyond=BEYOND_ALL)] * 2], True),
    "beyond the quarter does not": ([ROLLBACK, NOT_CONFIRMED, NOT_CONFIRMED], False),
    "the other side does not": ([ROLLBACK, *[step(beyond=-BEYOND_ALL)] * 2], False),
    "they must follow each other": ([ROLLBACK, CONFIRMED, NOT_CONFIRMED, CONFIRMED], False),
    "and may begin again": ([ROLLBACK, CONFIRMED, NOT_CONFIRMED, CONFIRMED, CONFIRMED], True),
    "a run without the score counts neither way": ([ROLLBACK, CONFIRMED, UNSCORED, CONFIRMED], True),
    "it may alarm after a page": ([step(alarm(Kind.PAGE)), ROLLBACK, CONFIRMED, CONFIRMED], True),
    "runs before its alarm do not count": ([step(alarm(Kind.PAGE)), CONFIRMED, ROLLBACK, CONFIRMED], False),
    "a second alarm does not count anew": ([ROLLBACK, CONFIRMED, ROLLBACK], True),
    "a steady score wants none": ([ROLLBACK, CONFIRMED, CONFIRMED, step(beyond=INSIDE, steady=["peak"])], False),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "wanted"), ROLLBACKS.values(), ids=ROLLBACKS)
def test_a_rollback_needs_its_own_ledger_and_two_confirming_runs(steps: list[Bets], wanted: bool) -> None:
    memory = after(*steps)
    assert memory.wants_rollback is wanted
    assert verdict("bot", memory, RUNS, {}, ()).wants_rollback is wanted


def test_a_drop_is_confirmed_on_its_own_side() -> None:
    low = step(alarm(Kind.ROLLBACK, side=Side.LOW))
    assert after(low, *[step(beyond=-LAST_TWENTIETH)] * CONFIRMING_RUNS).wants_rollback
    assert not after(low, *[CONFIRMED] * CONFIRMING_RUNS).wants_rollback


def test_the_confirming_side_is_that_of_the_rollback_ledger() -> None:
    ticket = step(alarm(Kind.TICKET, side=Side.LOW))
    memory = after(ticket, ROLLBACK, CONFIRMED, CONFIRMED)
    assert memory.wants_rollback
    assert "unusually high" in said(memory).summary


def test_only_the_steady_score_is_kept_from_rolling_back() -> None:
    both = step(alarm(Kind.ROLLBACK), alarm(Kind.TICKET, "length"), beyond=BEYOND_ALL)
    memory = after(both, CONFIRMED, step(beyond=LAST_TWENTIETH, steady=["length"]))
    assert memory.drifting["length"].is_steady
    assert memory.wants_rollback


# --- what people read


def test_the_finding_says_what_is_wrong_since_when_and_against_what() -> None:
    finding = said(after(step(alarm(Kind.PAGE))))
    assert finding.summary == "bot has drifted from its baseline: peak is unusually high (how far it is)"
    assert finding.labels == {"target": "bot"}
    assert finding.source is Source.LEDGER
    assert finding.evidence == (
        ("peak", "high, against 40 calibration runs, after 2026-03-01 08:30 UTC"),
        ("run", "r-9"),
    )


def test_a_drop_is_called_low_and_an_unknown_start_is_not_told() -> None:
    finding = said(after(step(replace(alarm(Kind.PAGE, side=Side.LOW), since=None))))
    assert "peak is unusually low" in finding.summary
    assert finding.evidence[0] == ("peak", "low, against 40 calibration runs")


def test_the_loudest_and_then_the_strongest_score_leads() -> None:
    memory = after(
        step(alarm(Kind.PAGE, "length", evidence=1.2), alarm(Kind.TICKET, evidence=90.0)),
        step(alarm(Kind.PAGE, "words", evidence=1.3)),
    )
    finding = said(memory)
    assert [name for name, _ in finding.evidence[:3]] == ["words", "length", "peak"]
    assert finding.summary.endswith(", and 2 more scores")
    assert subject(finding) == "words"


def test_many_scores_are_counted() -> None:
    drifting = {f"canary:{n}": Drifting(int(Severity.PAGE), "high", 1.0, None) for n in range(30)}
    finding = said(DriftMemory(drifting))
    assert len(finding.evidence) == COMPONENTS_SHOWN + 2
    assert ("further scores", "25") in finding.evidence


def test_all_drift_of_a_target_is_one_incident() -> None:
    keys = {verdict("bot", after(step(alarm(kind))), RUNS, {}, ()).key for kind in Kind}
    assert keys == {incident_key("bot"), verdict("bot", DriftMemory(), RUNS, {}, ()).key}


@pytest.mark.parametrize(
    ("finding", "word"),
    [
        (Finding(Severity.PAGE, Source.PROOF, "", {"proof": "served_model"}), "served_model"),
        (Finding(Severity.TICKET, Source.SELF_CHECK, "", {"target": "bot"}), "baseline"),
        (Finding(Severity.PAGE, Source.LEDGER, "", evidence=(("length", "high"),)), "length"),
    ],
    ids=["proof", "self-check", "ledger"],
)
def test_a_finding_is_about_something_in_a_word(finding: Finding, word: str) -> None:
    assert subject(finding) == word
