"""What a simulation of a baseline is asked for, and what it comes to."""

from dataclasses import dataclass
from typing import Any

HORIZON_S = 14 * 86_400.0
"""For how long a change may stay unnoticed before it counts as not found, in seconds."""


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of change: what people call it, and the share of the answers that it takes."""

    name: str
    share: float
    is_of_one_canary: bool = False
    is_sharpening: bool = False


CHANGES = (
    Change("5 % of all answers moved", 0.05),
    Change("10 % of all answers moved", 0.10),
    Change("20 % of all answers moved", 0.20),
    Change("50 % of all answers moved", 0.50),
    Change("70 % of one canary's answers moved", 0.70, is_of_one_canary=True),
    Change("50 % of all answers more ordinary", 0.50, is_sharpening=True),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. ``pages_per_quarter`` is the whole deployment's budget, ``share`` the target's part of it.

    ``samples`` cuts the samples of each canary in a run. ``quarters`` are watched without a change in all,
    ``repetitions`` times each change comes, and ``splits`` times the runs are split anew (by default as often as takes
    half a minute).
    """

    slot_s: float
    pages_per_quarter: float = 0.25
    share: float = 1.0
    samples: int | None = None
    quarters: int = 100
    repetitions: int = 100
    seed: int = 0
    splits: int | None = None
    changes: tuple[Change, ...] = CHANGES


@dataclass(frozen=True, slots=True)
class FalsePages:
    """Pages without a change: how many a quarter, the standard error of that, the most in any one, and the budget."""

    per_quarter: float
    standard_error: float
    most: int
    budget: float
    quarters: int


@dataclass(frozen=True, slots=True)
class Delay:
    """How many runs it takes from a change to its page; ``None`` where that share was not found in time."""

    change: str
    median_runs: float | None
    q90_runs: float | None
    found_share: float
    repetitions: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """What may be expected. ``stretch_runs`` is how many runs in a row were drawn together, on average."""

    baseline: str
    target: str
    plan: Plan
    runs: int
    splits: int
    answers_a_run: int
    stretch_runs: int
    false_pages: FalsePages
    delays: tuple[Delay, ...]

    def to_plain(self) -> dict[str, Any]:
        """The simulation for machines: delays in runs, hours and answers."""
        plan, false = self.plan, self.false_pages
        return {
            "baseline": self.baseline,
            "target": self.target,
            "every_s": plan.slot_s,
            "samples": plan.samples,
            "answers_a_run": self.answers_a_run,
            "pages_per_quarter": plan.pages_per_quarter,
            "share": plan.share,
            "seed": plan.seed,
            "recorded_runs": self.runs,
            "splits": self.splits,
            "stretch_runs": self.stretch_runs,
            "false_pages": {
                "per_quarter": false.per_quarter,
                "standard_error": false.standard_error,
                "most_in_a_quarter": false.most,
                "budget_per_quarter": false.budget,
                "quarters": false.quarters,
            },
            "delays": [
                {
                    "change": one.change,
                    "median": self._delay(one.median_runs),
                    "q90": self._delay(one.q90_runs),
                    "found_share": one.found_share,
                    "within_s": HORIZON_S,
                    "repetitions": one.repetitions,
                }
                for one in self.delays
            ],
        }

    def _delay(self, runs: float | None) -> dict[str, float] | None:
        if runs is None:
            return None
        hours = runs * self.plan.slot_s / 3600
        return {"runs": runs, "hours": round(hours, 3), "answers": runs * self.answers_a_run}
