"""Whether the promise holds, worked out once for each baseline."""

from datetime import UTC, datetime, timedelta

from canaries.baseline import Baseline
from canaries.contract import Contract
from canaries.features import AnswerFeatures, RunFeatures
from monitor.canary_flow.guarantee import frozen_on, guarantee, known_assumptions
from monitor.watched import House

START = datetime(2026, 1, 5, tzinfo=UTC)


def runs(canaries: str, n: int = 60) -> list[RunFeatures]:
    """Runs in which canary ``s`` sticks to an answer for twelve runs, and the others alternate."""

    def answer(canary: str, i: int) -> AnswerFeatures:
        word = f"{(i // 12) % 2 * 5}" if canary == "s" else f"{i * i % 7}"
        length = 1 + (i // 12) % 2 * 20 if canary == "s" else 1 + i * i % 7
        return AnswerFeatures(canary, answer_hash=word, token_counts={word: length}, length=length)

    return [
        RunFeatures(f"r{i}", tuple(answer(c, i) for c in canaries), START + timedelta(hours=i))
        for i in range(n)
    ]


def collecting(canaries: str) -> Baseline:
    return Baseline("b-1", "b", "suite", Contract({}, {c: {"samples": 1} for c in canaries}), START)


def test_the_same_runs_without_a_canary_are_looked_at_anew() -> None:
    house = House(b"secret")
    with_sticky = frozen_on(collecting("abs"), runs("abs"), house, START)
    without = frozen_on(collecting("ab"), runs("ab"), house, START)
    assert with_sticky.calibration_ids == without.calibration_ids
    assert without.blocks == frozen_on(collecting("ab"), runs("ab"), House(b"secret"), START).blocks
    assert known_assumptions(house, with_sticky) != known_assumptions(house, without)


def test_the_guarantee_is_a_line_for_people() -> None:
    house = House(b"secret")
    short = frozen_on(collecting("ab"), runs("ab"), house, START)
    assert guarantee(house, short).startswith("not in force: the baseline covers 2.5 days")
