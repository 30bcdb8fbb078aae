"""A comparison as a page: complete in itself, the verdict first, and answers shown as text."""

import re
from datetime import UTC, datetime

import pytest

from canaries.compare import Comparison, Settings, compare
from canaries.completion import Completion, Run
from dashboards.comparison_drawings import LABEL, WIDTH, Piece, evidence, interval, side_by_side
from dashboards.comparison_page import render_comparison

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def runs(**answers: list[str]) -> list[Run]:
    rows = [Completion(canary, text=text) for canary, texts in answers.items() for text in texts]
    return [Run(f"line-{i}", "", "", NOW, (row,)) for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def found() -> Comparison:
    base = runs(a=["yes, sir"] * 20, b=["<b>bold</b> & more"] * 20)
    current = runs(a=["no, sir"] * 20, b=["<b>bold</b> & more"] * 20)
    return compare(base, current, Settings(permutations=199))


def test_the_page_says_the_verdict_first_and_fetches_nothing(found: Comparison) -> None:
    page = render_comparison(found, "before.jsonl", "after.jsonl")
    assert page.index("The answers are different") < page.index("How sure is each difference?")
    assert not re.search(r"<script|https?://|<link|src=", page)


def test_what_a_model_wrote_is_text_on_the_page(found: Comparison) -> None:
    page = render_comparison(found, "before<1>.jsonl", "after.jsonl")
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    assert "before&lt;1&gt;.jsonl" in page


def test_what_only_one_side_has_is_marked(found: Comparison) -> None:
    page = render_comparison(found, "before.jsonl", "after.jsonl")
    assert "<mark>yes</mark>, sir" in page
    assert "<mark>no</mark>, sir" in page


def test_bars_are_longer_the_smaller_the_p_value_and_stay_within_the_picture(found: Comparison) -> None:
    chart = evidence(found.canaries, 0.05, 0.005)
    moved, still = chart.bars
    assert (moved.name, moved.is_out) == ("a", True)
    assert (still.name, still.is_out, still.end) == ("b", False, LABEL)
    assert LABEL < chart.level < moved.end <= WIDTH


def test_an_interval_lies_around_its_effect_and_nothing_is_in_the_middle(found: Comparison) -> None:
    [length] = [result for result in found.scores if result.score.name == "length"]
    drawn = interval(length)
    assert drawn is not None
    assert drawn.low <= drawn.value <= drawn.high < drawn.floor_low < drawn.floor_high


def test_two_texts_side_by_side() -> None:
    left, right = side_by_side("the old ship", "the new ship")
    assert left == (Piece("the ", False), Piece("old", True), Piece(" ship", False))
    assert right == (Piece("the ", False), Piece("new", True), Piece(" ship", False))


def test_very_long_texts_are_shown_without_marks() -> None:
    left, _ = side_by_side("word " * 2_000, "other")
    assert left == (Piece("word " * 2_000, False),)
