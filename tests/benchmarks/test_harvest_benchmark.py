"""The benchmark of harvesting: it finds known subjects, hides what it made up, and leaves what only looks like it."""

from rich.console import Console

from benchmarks import harvest
from benchmarks.harvest_requests import DECOYS, VALUES, asked, written


def test_subjects_are_found_again_in_made_up_requests() -> None:
    agreement, clusters = harvest.agreement(2_000, 1)
    assert agreement > 0.85
    assert 28 <= clusters <= 40


def test_made_up_values_are_hidden_and_others_stay() -> None:
    console = Console(record=True, quiet=True)
    assert harvest.redaction(50, console)


def test_the_same_seed_makes_the_same_data() -> None:
    assert list(asked(50, 3)) == list(asked(50, 3)) != list(asked(50, 4))
    assert list(written(2, 3)) == list(written(2, 3))
    assert {one.kind for one in written(1, 1)} == {*VALUES, ""}
    assert len(list(written(1, 1))) == len(VALUES) + len(DECOYS)
