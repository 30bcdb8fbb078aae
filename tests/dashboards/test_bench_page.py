"""A bench as a page: complete in itself, with a curve for each target and the winner of each row."""

import math
import random
import re

import pytest

from canaries.bench.measured import Measured
from canaries.bench.report import BenchReport, report
from canaries.completion import Outcome
from dashboards.bench_drawings import (
    HEIGHT,
    LABEL,
    MARGIN,
    NAME,
    POINTS_MAX,
    WIDTH,
    figure_rows,
    times_picture,
)
from dashboards.bench_page import headline, render_bench

CHANCE = random.Random(5)


def asked(target: str, latency_s: float | None, **more: object) -> Measured:
    fields = {"ttft_s": None if latency_s is None else latency_s / 4, "answer": b"12345678"} | more
    return Measured(target, f"c{CHANCE.randrange(5)}", Outcome.ANSWERED, latency_s=latency_s, **fields)  # type: ignore[arg-type]


def bench(**seconds: float) -> list[Measured]:
    return [asked(name, s * CHANCE.uniform(0.8, 1.2)) for name, s in seconds.items() for _ in range(100)]


@pytest.fixture(scope="module")
def measured() -> list[Measured]:
    return bench(**{"slow": 2.0, "fast<1>": 0.5})


@pytest.fixture(scope="module")
def found(measured: list[Measured]) -> BenchReport:
    return report(measured, ["slow", "fast<1>"])


def latency(one: Measured) -> float | None:
    return one.latency_s


def ends(path: str) -> tuple[list[float], list[float]]:
    return tuple([float(value) for value in re.findall(rf"{letter}([\d.-]+)", path)] for letter in "HV")  # type: ignore[return-value]


def test_the_page_says_who_wins_first_and_fetches_nothing(
    found: BenchReport, measured: list[Measured]
) -> None:
    page = render_bench(found, measured, "first", ["Each request followed an answer."])
    assert "fast&lt;1&gt; is better in latency p50" in page
    assert page.index("is better in") < page.index("Who is better?") < page.index("All figures")
    assert "fast&lt;1&gt;, sure" in page
    assert "Each request followed an answer." in page
    assert "fast<1>" not in page
    assert not re.search(r"<script|https?://|<link|src=", page)


def test_a_single_target_has_its_times_and_nothing_to_win() -> None:
    alone = bench(only=1.0)
    page = render_bench(report(alone, ["only"]), alone, "first", [])
    assert "only under load." in page
    assert "until the whole answer" in page
    assert "Who is better?" not in page


def test_a_target_that_gave_no_answer_is_the_headline() -> None:
    ones = [*bench(up=1.0), *(Measured("down", "c0", Outcome.CONNECTION) for _ in range(3))]
    found = report(ones, ["up", "down"])
    assert headline(found) == "No answer from down."
    assert "connection 3" in render_bench(found, ones, "first", [])


def test_alike_targets_have_no_winner_in_the_headline() -> None:
    same = bench(x=1.0)
    both = [*same, *(asked("y", one.latency_s) for one in same)]
    assert headline(report(both, ["x", "y"])) == "No difference between the targets is sure."


def test_the_faster_curve_lies_left_and_all_curves_rise_to_the_top(measured: list[Measured]) -> None:
    picture = times_picture("t", measured, ["slow", "fast<1>"], latency)
    assert picture is not None
    (slow_x, slow_y), (fast_x, fast_y) = (ends(curve.path) for curve in picture.curves)
    assert max(fast_x) < min(slow_x)
    assert slow_y[-1] == fast_y[-1] == 0
    assert slow_y == sorted(slow_y, reverse=True)
    assert max(slow_x) <= WIDTH
    assert min(fast_x) >= MARGIN
    assert "500 ms" in [text for _, text in picture.ticks]


def test_what_timed_out_is_never_reached() -> None:
    ones = [*(asked("x", 1.0 + i / 100) for i in range(75)), *(asked("x", math.inf) for _ in range(25))]
    picture = times_picture("t", ones, ["x"], latency)
    assert picture is not None
    assert ends(picture.curves[0].path)[1][-1] == pytest.approx(HEIGHT / 4)


@pytest.mark.parametrize(
    "ones",
    [
        pytest.param([], id="nothing"),
        pytest.param([asked("x", None)], id="unknown"),
        pytest.param([asked("x", math.inf)], id="all timed out"),
    ],
)
def test_there_is_no_picture_of_times_that_nobody_knows(ones: list[Measured]) -> None:
    assert times_picture("t", ones, ["x"], latency) is None


def test_times_that_are_all_the_same_have_a_picture() -> None:
    picture = times_picture("t", [asked("x", 0.2)] * 3, ["x"], latency)
    assert picture is not None
    assert len(ends(picture.curves[0].path)[0]) == 3


def test_a_curve_of_many_requests_has_no_more_steps_than_can_be_told_apart() -> None:
    many = [asked("x", 1 + i / 10_000) for i in range(10_000)]
    picture = times_picture("t", many, ["x"], latency)
    assert picture is not None
    xs, ys = ends(picture.curves[0].path)
    assert len(xs) <= POINTS_MAX + 1
    assert ys[-1] == 0


def test_figures_lie_within_their_row_and_the_winner_has_a_ring(found: BenchReport) -> None:
    rows = figure_rows(found)
    p50 = next(line for line in rows if line.row.measure.name == "latency p50")
    assert [(dot.target, dot.is_winner) for dot in p50.dots] == [("slow", False), ("fast<1>", True)]
    for line in rows:
        for dot in line.dots:
            assert LABEL < dot.low <= dot.x <= dot.high < WIDTH - NAME
