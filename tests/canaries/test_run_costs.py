"""What runs did cost, and how many tokens they took, as the database keeps it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from canaries.completion import Completion, Outcome, Run
from canaries.features import extract
from canaries.store import (
    Content,
    TokenMeans,
    interrupt_run,
    note_cost,
    save_run,
    spent_usd,
    start_run,
    token_means,
)
from monitor.database import Database

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def begin(database: Database, run_id: str, at: datetime, cost: float | None, target: str = "bot") -> None:
    database.write(lambda s: start_run(s, run_id, target, "support", at, cost))


def spent(database: Database, target: str = "bot") -> float:
    return database.read(lambda s: spent_usd(s, target, NOW - DAY))


def test_runs_since_a_time_are_summed_for_their_target(database: Database) -> None:
    begin(database, "too old", NOW - DAY, 100.0)
    begin(database, "old", NOW - DAY + timedelta(seconds=1), 1.0)
    begin(database, "new", NOW, 0.25)
    begin(database, "free", NOW, None)
    begin(database, "other", NOW, 50.0, target="other")
    assert spent(database) == 1.25
    assert spent(database, "never asked") == 0.0


def test_a_run_counts_as_what_was_expected_until_its_cost_is_known(database: Database) -> None:
    begin(database, "run", NOW, 0.5)
    assert spent(database) == 0.5
    database.write(lambda s: note_cost(s, "run", 0.25))
    assert spent(database) == 0.25
    database.write(lambda s: note_cost(s, "run", None))
    assert spent(database) == 0.0


def test_a_run_that_was_interrupted_counts_as_what_was_expected(database: Database) -> None:
    begin(database, "run", NOW, 0.5)
    database.write(lambda s: interrupt_run(s, "run", NOW))
    assert spent(database) == 0.5


# --- tokens


def save(database: Database, number: int, *completions: Completion) -> None:
    run = Run(f"run-{number}", "bot", "support", NOW + timedelta(hours=number), completions)
    features = extract(run, None, b"key")
    database.write(lambda s: save_run(s, run, features, Content.HASHES))


def means(database: Database, runs: int = 20) -> dict[str, TokenMeans]:
    return dict(database.read(lambda s: token_means(s, "bot", runs)))


def answer(canary: str, tokens_in: int | None, tokens_out: int | None) -> Completion:
    return Completion(canary, text="x", input_tokens=tokens_in, output_tokens=tokens_out)


def test_tokens_are_averaged_over_the_last_runs_of_each_canary(database: Database) -> None:
    save(database, 0, answer("a", 1000, 1000))
    save(database, 1, answer("a", 10, 20), replace(answer("a", 10, 40), sample=1), answer("b", 5, 1))
    save(database, 2, answer("a", 10, 60))
    assert means(database, runs=2) == {"a": TokenMeans(10.0, 40.0), "b": TokenMeans(5.0, 1.0)}


SILENT = {
    "nothing counted": (answer("a", None, None), {"a": TokenMeans(None, None)}),
    "half counted": (answer("a", None, 20), {"a": TokenMeans(None, 20.0)}),
    "no answer": (Completion("a", outcome=Outcome.TIMEOUT), {}),
}


@pytest.mark.parametrize(("silent", "told"), SILENT.values(), ids=SILENT)
def test_what_tells_no_tokens_is_left_out(
    database: Database, silent: Completion, told: dict[str, TokenMeans]
) -> None:
    save(database, 1, silent)
    assert means(database) == told
    save(database, 2, answer("a", 10, 20))
    assert means(database) == {"a": TokenMeans(10.0, 20.0)}
