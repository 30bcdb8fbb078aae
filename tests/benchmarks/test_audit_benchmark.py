"""Nights on which nothing moved, and one on which something did: what ``benchmarks.audit_noise`` measures."""

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

from benchmarks.audit_noise import Case, Outcome, night


def test_a_night_on_which_nothing_moved_is_called_so() -> None:
    assert night(Case(seed=1, moved=1.0, days=28)) == Outcome(previous=False, baseline=False, found=False)


def test_a_service_that_grew_by_half_is_found() -> None:
    assert night(Case(seed=1, moved=1.5, days=28)) == Outcome(previous=True, baseline=True, found=True)
