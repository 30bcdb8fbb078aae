"""The benchmark of the ledger's speed measures what it says; its figures are made by hand."""

import json

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are beside the packages, not in the wheel")

import typer

from benchmarks.ledger_speed import Figure, main


def test_every_figure_stands_beside_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        main(targets=3, runs=5, backtest_runs=200, repetitions=1, seed=0, as_json=True)
    figures = json.loads(capsys.readouterr().out)["figures"]
    kilobytes = [one["value"] for one in figures if one["unit"] == "kB"]
    assert len(figures) == 10
    assert all(6 < size < 10 for size in kilobytes), "52 components of 30 accounts, 4 bytes each, are 6.2 kB"
    assert all(one["ratio"] == pytest.approx(one["value"] / one["limit"]) for one in figures)


def test_a_figure_above_its_limit_has_a_ratio_above_one() -> None:
    assert Figure("too slow", 60.0, 50.0, "ms").ratio == pytest.approx(1.2)
