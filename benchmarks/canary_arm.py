"""The canary arm over simulated answers: the product's own baseline, scores, labels, ranks and ledger.

What is left out is the network, the text (an answer is one word) and the database.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from alerts.evidence import Alarm, Budgets, Kind, Ledger, Observation, observe, open_ledger
from alerts.evidence.accounts import Accounts, Faced, play
from alerts.evidence.assumptions import Assumptions
from alerts.evidence.ledger import KINDS, QUARTER_S
from alerts.evidence.ranks import Places
from benchmarks.streams import Answers
from canaries.baseline import Baseline, freeze
from canaries.contract import Contract
from canaries.features import AnswerFeatures, RunFeatures
from monitor.guarantee import assumptions
from monitor.watched import House

HOUR_S = 3600.0
START = datetime(2026, 1, 5, tzinfo=UTC)
HOUSE = House(b"benchmark")


class CanaryArm:
    """A target whose baseline was frozen on the first runs of a stream, one every ``slot_s``."""

    def __init__(self, baseline: Answers, slot_s: float = HOUR_S) -> None:
        runs, prompts, samples = baseline.shape
        self.slot_s, self._next = slot_s, 0
        self._features: dict[tuple[int, int, int], AnswerFeatures] = {}
        contract = Contract({}, {_name(i): {"samples": samples} for i in range(prompts)})
        collecting = Baseline("simulated", "target", "suite", contract, START)
        self.baseline = freeze(
            collecting, self._runs(baseline), HOUSE.tie, START + timedelta(seconds=runs * slot_s)
        )
        self.ranks = replace(HOUSE, ranked={}).ranks(self.baseline)
        self.tickets_only = self.baseline.scores.tickets_only() if self.baseline.scores else frozenset()

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
                HOUSE.tie(run.run_id),
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


Watched = tuple[CanaryArm, list[Observation]]
"""An arm and the runs that its ledger is to see."""


def alarms_together(watched: Sequence[Watched], budgets: Sequence[Budgets]) -> list[list[Counter[Kind]]]:
    """How many alarms of each kind every arm raises at each budget: what ``CanaryArm.alarms`` gives, only faster.

    The components of all arms are put behind one another, as their accounts do not depend on each other. The runs of
    all arms come at the same times.
    """
    arms = [arm for arm, _ in watched]
    sizes = [len(arm.ranks.names) for arm in arms]
    owner = np.repeat(np.arange(len(arms)), sizes)
    scores = np.concatenate([_scores(arm, observations) for arm, observations in watched], axis=1)
    drips = [np.concatenate([_drip_per_s(arm, one) for arm in arms], axis=1) for one in budgets]
    may_page = np.concatenate([[name not in arm.tickets_only for name in arm.ranks.names] for arm in arms])
    opened = Accounts.join([open_ledger(arm.ranks).accounts for arm in arms])
    accounts, counts = [opened] * len(budgets), np.zeros((len(budgets), len(KINDS), len(arms)), dtype=int)
    labels: tuple[str, ...] = ()
    for i, now in enumerate(zip(*(observations for _, observations in watched), strict=True)):
        if labels != (labels := tuple(one.label for one in now)):
            places = Places.join([arm.ranks.places(one) for arm, one in zip(arms, labels, strict=True)])
        tie = np.repeat([one.tie for one in now], sizes)
        for b, drip_per_s in enumerate(drips):
            run = Faced(
                scores[i], tie, now[0].at.timestamp(), now[0].slot_s, drip_per_s, places.may_page & may_page
            )
            played = play(places, accounts[b], run)
            accounts[b] = played.accounts
            if played.alarmed.any():
                kind, component = np.nonzero(played.alarmed)
                np.add.at(counts[b], (kind, owner[component]), 1)
    return [
        [Counter(dict(zip(KINDS, by_kind, strict=True))) for by_kind in by_arm.T.tolist()]
        for by_arm in counts
    ]


def _scores(arm: CanaryArm, observations: list[Observation]) -> NDArray[np.float64]:
    rows = [[one.scores.get(name, np.nan) for name in arm.ranks.names] for one in observations]
    return np.array(rows, dtype=np.float64)


def _drip_per_s(arm: CanaryArm, budgets: Budgets) -> NDArray[np.float64]:
    weights = arm.baseline.weights()
    shares = np.array([weights.get(name, 0.0) for name in arm.ranks.names])
    return np.array(budgets.per_quarter)[:, None] * (shares / QUARTER_S)
