"""The canary arm over simulated answers: the product's own baseline, scores, labels, ranks and ledger.

What is left out is the network, the text (an answer is one word) and the database.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alerts.evidence import Alarm, Budgets, Ledger, Observation, observe, open_ledger
from alerts.evidence.assumptions import Assumptions
from benchmarks.ledgers_together import Scope
from benchmarks.streams import Answers
from canaries.baseline import Baseline
from canaries.contract import Contract
from canaries.features import AnswerFeatures, RunFeatures
from monitor.canary_flow.guarantee import assumptions, frozen_on
from monitor.watched import House

HOUR_S = 3600.0
START = datetime(2026, 1, 5, tzinfo=UTC)
SECRET = b"benchmark"


class CanaryArm:
    """A target whose baseline was frozen on the first runs of a stream, one every ``slot_s``."""

    def __init__(self, baseline: Answers, slot_s: float = HOUR_S) -> None:
        runs, prompts, samples = baseline.shape
        # A house of its own: what a house keeps, it keeps by the baseline's id.
        self._house = House(SECRET)
        self.slot_s, self._next = slot_s, 0
        self._features: dict[tuple[int, int, int], AnswerFeatures] = {}
        contract = Contract({}, {_name(i): {"samples": samples} for i in range(prompts)})
        collecting = Baseline("simulated", "target", "suite", contract, START)
        self.baseline = frozen_on(
            collecting, self._runs(baseline), self._house, START + timedelta(seconds=runs * slot_s)
        )
        self.ranks = self._house.ranks(self.baseline)
        self.tickets_only = self.baseline.tickets_only()

    def assumptions(self) -> Assumptions:
        """Whether the promise of the page budget is in force, as `baseline show` says it."""
        return assumptions(self.baseline)

    def follow(self, later: Answers) -> list[Observation]:
        """The next runs of the stream, scored and labelled."""
        return [
            Observation(
                run.run_id,
                _at(run),
                self.slot_s,
                self._house.tie(run.run_id),
                self.baseline.score(run),
                self.baseline.label(run),
            )
            for run in self._runs(later)
        ]

    def alarms(
        self, observations: list[Observation], budgets: Budgets, *, forgetful: bool = False
    ) -> Iterator[tuple[int, Alarm]]:
        """The alarms of a ledger that begins with these runs, each with the index of its run.

        ``forgetful`` ranks each run against the calibration runs alone, as ordinary conformal p-values do.
        """
        ledger, weights = open_ledger(self.ranks), self.baseline.weights()
        for i, observation in enumerate(observations):
            step = observe(self.ranks, ledger, observation, weights, budgets, self.tickets_only)
            ledger = forgotten(ledger, step.ledger) if forgetful else step.ledger
            yield from ((i, alarm) for alarm in step.alarms)

    def scope(self, observations: list[Observation], share: float = 1.0) -> Scope:
        """What a ledger of this arm stands on, with the arm's share of the budgets, and these runs."""
        weights = {name: weight * share for name, weight in self.baseline.weights().items()}
        return Scope.of(self.ranks, weights, self.tickets_only, observations)

    def _runs(self, answers: Answers) -> list[RunFeatures]:
        """The next runs of the stream as the features that the product would have of them."""
        first, self._next = self._next, self._next + len(answers)
        return [
            RunFeatures(f"run-{number}", self._answers(run), START + timedelta(seconds=number * self.slot_s))
            for number, run in enumerate(answers, start=first)
        ]

    def _answers(self, run: Answers) -> tuple[AnswerFeatures, ...]:
        return tuple(
            self._answer(prompt, sample, answer)
            for prompt, row in enumerate(run.tolist())
            for sample, answer in enumerate(row)
        )

    def _answer(self, prompt: int, sample: int, answer: int) -> AnswerFeatures:
        """An answer's features, made once: they hold its hash, and it is a text of a single word."""
        key = prompt, sample, answer
        known = self._features.get(key)
        if known is None:
            word = f"{prompt}/{answer}"
            known = AnswerFeatures(_name(prompt), sample, answer_hash=word, token_counts={word: 1}, length=1)
            self._features[key] = known
        return known


def _name(prompt: int) -> str:
    return f"prompt-{prompt:02}"


def _at(run: RunFeatures) -> datetime:
    assert run.at is not None
    return run.at


def forgotten(before: Ledger, after: Ledger) -> Ledger:
    """The later ledger without its count of the runs in between."""
    counts = before.accounts
    return replace(after, accounts=replace(after.accounts, j=counts.j, k=counts.k))
