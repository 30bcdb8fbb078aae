"""A target that answers as it is told to, and all that is stored of it: for the tests of the canary flow."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from alerts import store as alert_store
from alerts.evidence.ledger import Budgets
from alerts.incident import AlertRule, Incident
from alerts.outbox_store import notifications
from alerts.rollback import Mode, RollbackRule
from canaries.completion import Completion, Outcome, Run
from canaries.config import TargetConfig
from canaries.contract import contract_of
from canaries.features import extract
from canaries.suite import Canary, Expectations, Message, Suite
from monitor import schema
from monitor.canary_flow.watch_canaries import Settled, settle
from monitor.database import Database
from monitor.watched import House, Watched

START = datetime(2026, 3, 2, tzinfo=UTC)
BASELINE_RUNS = 48
"""24 train and 24 calibration runs: as few as may page."""

LABELS = ("billing", "bug", "feature", "account")
LETTER = "we will refund the order within three days please write to support about your invoice thank you"
WORDS = LETTER.split()


def suite_of(label_prompt: str = "Classify this ticket.", text_prompt: str = "Answer the customer.") -> Suite:
    """Three canaries that answer with a label, and three that write."""
    labels = [_canary(f"label-{n}", label_prompt, Expectations(labels=LABELS)) for n in range(3)]
    texts = [_canary(f"text-{n}", text_prompt, Expectations(not_empty=True)) for n in range(3)]
    return Suite("support", (*labels, *texts))


def _canary(name: str, prompt: str, expectations: Expectations) -> Canary:
    return Canary(name, (Message("user", f"{prompt} ({name})"),), {}, None, expectations)


def watched_of(suite: Suite | None = None, name: str = "bot", model: str = "m", **changes: Any) -> Watched:
    """The target under watch, as a configuration would have it."""
    suite = suite or suite_of()
    target = TargetConfig(model=model, suite="support.yaml")
    rule = AlertRule(notify=("oncall",), rollback="deploy")
    usual = Watched(
        name,
        suite.name,
        suite,
        contract_of(suite, target),
        slot_s=3600.0,
        baseline_runs=BASELINE_RUNS,
        rule=rule,
    )
    return replace(usual, **changes)


def house_of(**changes: Any) -> House:
    """Budgets so wide that a clear change pages within hours, and a rollback that is for real."""
    budgets = Budgets(pages_per_quarter=1.0, tickets_per_quarter=13.0, rollbacks_per_quarter=0.5)
    return House(
        b"the secret of the tests",
        **{"budgets": budgets, "rollbacks": {"deploy": RollbackRule(Mode.LIVE)}} | changes,
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """How the endpoint answers."""

    drifted: bool = False
    served_model: str | None = "m-2026-01"
    fingerprint: str | None = "fp-1"
    failed: frozenset[str] = frozenset()
    """Canaries whose request fails; ``all`` for every one."""
    outcome: Outcome = Outcome.CONNECTION
    off_label: bool = False
    """Whether canaries that should answer with a label answer with another word."""


STEADY, DRIFTED, DOWN = Answers(), Answers(drifted=True), Answers(failed=frozenset({"all"}))


def run_of(watched: Watched, hour: int, answers: Answers = STEADY, seed: int = 0) -> Run:
    """The run of this hour: the same for the same arguments."""
    rng = random.Random(f"{seed}/{watched.name}/{hour}")
    at = START + timedelta(hours=hour)
    canaries = watched.suite.canaries if watched.suite else ()
    completions = tuple(_completion(canary.id, answers, rng, at) for canary in canaries)
    return Run(
        f"{watched.name}-{hour:04d}",
        watched.name,
        watched.suite_name,
        at,
        completions,
        at + timedelta(minutes=1),
    )


def _completion(canary: str, answers: Answers, rng: random.Random, at: datetime) -> Completion:
    text = _text(canary, answers, rng)
    if answers.failed & {canary, "all"}:
        return Completion(canary, outcome=answers.outcome, error="connection refused", attempts=3, at=at)
    return Completion(
        canary, text=text, finish_reason="stop", served_model=answers.served_model,
        system_fingerprint=answers.fingerprint, latency_s=0.5, output_tokens=9, at=at,
    )  # fmt: skip


def _text(canary: str, answers: Answers, rng: random.Random) -> str:
    if canary.startswith("label"):
        weights = (1, 2, 6, 3) if answers.drifted else (8, 2, 1, 1)
        return "nonsense" if answers.off_label else rng.choices(LABELS, weights)[0]
    known = WORDS[8:] if answers.drifted else WORDS
    return " ".join(rng.choices(known, k=rng.randint(12, 30)))


@dataclass
class Bot:
    """A target under watch, and the database in which its runs are settled: one run an hour."""

    database: Database
    watched: Watched = field(default_factory=watched_of)
    house: House = field(default_factory=house_of)
    hour: int = 0
    seed: int = 0

    def next_run(self, answers: Answers = STEADY) -> Run:
        self.hour += 1
        return run_of(self.watched, self.hour, answers, self.seed)

    def settle(self, run: Run) -> Settled:
        now = run.finished_at or run.at
        features = extract(run, self.watched.suite, self.house.secret)
        return self.database.write(
            lambda session: settle(session, self.watched, self.house, run, features, now)
        )

    def runs(self, count: int, answers: Answers = STEADY) -> list[Settled]:
        return [self.settle(self.next_run(answers)) for _ in range(count)]

    def until(self, happened: Callable[[Settled], bool], answers: Answers, most: int = 40) -> Settled:
        """Runs until something happened; what it was."""
        for _ in range(most):
            settled = self.settle(self.next_run(answers))
            if happened(settled):
                return settled
        raise AssertionError(f"it did not happen in {most} runs")

    def open(self) -> dict[str, Incident]:
        """The open incidents, by key."""
        return {one.key: one for one in self.database.read(alert_store.open_incidents)}

    def told(self) -> list[tuple[str, str, str]]:
        """All messages so far: what each says, of which incident, and to whom."""
        rows = self.database.read(lambda session: notifications(session, limit=1000))
        return [(row.message.kind.value, row.message.key, row.receiver) for row in rows]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return everything(self.database)


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""

    def rows(session: Any) -> dict[str, list[tuple[Any, ...]]]:
        tables = schema.metadata.sorted_tables
        return {
            one.name: [
                tuple(row) for row in session.connection().execute(select(one).order_by(*one.primary_key))
            ]
            for one in tables
        }

    return database.read(rows)
