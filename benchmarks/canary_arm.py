"""The canary arm over simulated answers: the product's own scores and ledger, without the network."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alerts.evidence import Alarm, Budgets, Ledger, Observation, observe, open_ledger, rank, tie_break
from benchmarks.streams import BASELINE_RUNS, PROMPTS, SAMPLES, Answers
from canaries.baseline import split
from canaries.features import AnswerFeatures, RunFeatures
from canaries.scores import FrozenScores, fit

SLOT_S = 3600.0
START = datetime(2026, 1, 5, tzinfo=UTC)
TRAIN_RUNS = len(split(range(BASELINE_RUNS), BASELINE_RUNS)[0])
SECRET = b"benchmark"

Scored = Mapping[str, float]


class Scorer:
    """The scores of simulated runs, frozen on the train runs of a baseline."""

    def __init__(self, baseline: Answers) -> None:
        self._features: dict[tuple[int, int], AnswerFeatures] = {}
        train = [self._run(answers) for answers in baseline[:TRAIN_RUNS]]
        self.scores: FrozenScores = fit(train, {_name(i): SAMPLES for i in range(PROMPTS)})

    def __call__(self, answers: Answers) -> list[Scored]:
        """The scores of each run."""
        return [self.scores.score(self._run(run)) for run in answers]

    def _run(self, run: Answers) -> RunFeatures:
        rows = enumerate(run.tolist())
        return RunFeatures("", tuple(self._answer(prompt, answer) for prompt, row in rows for answer in row))

    def _answer(self, prompt: int, answer: int) -> AnswerFeatures:
        """An answer's features, made once: they hold its hash, and it is a text of a single word."""
        known = self._features.get((prompt, answer))
        if known is None:
            word = f"{prompt}/{answer}"
            known = AnswerFeatures(_name(prompt), answer_hash=word, token_counts={word: 1}, length=1)
            self._features[prompt, answer] = known
        return known


def _name(prompt: int) -> str:
    return f"prompt-{prompt:02}"


def alarms(
    calibration: list[Scored],
    later: list[Scored],
    weights: Mapping[str, float],
    budgets: Budgets,
    *,
    forgetful: bool = False,
) -> Iterator[tuple[int, Alarm]]:
    """The alarms of the later runs, an hour apart, with the index of their run.

    ``forgetful`` ranks each run against the calibration runs alone, as ordinary conformal p-values do.
    """
    ties = [tie_break(SECRET, f"calibration {i}") for i in range(len(calibration))]
    ranks = rank(
        {name: [(run[name], tie, "") for run, tie in zip(calibration, ties, strict=True)] for name in weights}
    )
    ledger = open_ledger(ranks)
    for i, scores in enumerate(later):
        at = START + timedelta(seconds=i * SLOT_S)
        run = Observation(str(i), at, SLOT_S, tie_break(SECRET, str(i)), scores)
        step = observe(ranks, ledger, run, weights, budgets)
        ledger = forgotten(ledger, step.ledger) if forgetful else step.ledger
        yield from ((i, alarm) for alarm in step.alarms)


def forgotten(before: Ledger, after: Ledger) -> Ledger:
    """The later ledger without its count of the runs in between."""
    counts = before.accounts
    return replace(after, accounts=replace(after.accounts, j=counts.j, k=counts.k))
