"""What a harvest finds and what it hides: ``python -m benchmarks.harvest --requests 3000 --seeds 5``.

Clusters: made-up requests about 30 subjects, the first of them asked ten times as often as the last, each named in six
ways in 14 sentences with 13 openings and 13 closings, against the subjects that they truly are about (adjusted Rand
index: 1 is the same, 0 is chance). Redaction: values of ten kinds in the ways in which people write them, and fifteen
kinds of numbers and words that only look like them. Time: of a core, from requests in memory to the proposal. Exit
status 1 when less than 98 % of the values are hidden, or more than 2 % of what only looks like one.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import comb
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.harvest_requests import asked, written
from canaries.harvest.clusters import NONE, cluster
from canaries.harvest.exchange import Exchange, key_of
from canaries.harvest.gathering import Gathering
from canaries.harvest.proposing import propose
from canaries.harvest.redaction import redact
from canaries.harvest.words import directions, words_of
from canaries.suite import Message

FOUND_MIN, MISTAKEN_MAX = 0.98, 0.02


def main(
    requests: Annotated[int, typer.Option(help="Requests a seed.")] = 3_000,
    seeds: Annotated[int, typer.Option(help="How often clusters are looked for.")] = 5,
    values: Annotated[int, typer.Option(help="Values of each kind.")] = 200,
    many: Annotated[int, typer.Option(help="Requests for the time; 0 leaves it out.")] = 100_000,
) -> None:
    """Print what was found."""
    console = Console()
    agreed = [agreement(requests, seed) for seed in range(1, seeds + 1)]
    indices, clusters = zip(*agreed, strict=True)
    console.print(
        f"clusters of {requests:,} requests, {seeds} seeds: adjusted Rand index {np.median(indices):.2f} (median), "
        f"{min(indices):.2f} to {max(indices):.2f}; {min(clusters)} to {max(clusters)} clusters for 30 subjects"
    )
    is_good = redaction(values, console)
    if many:
        console.print(_timed(many))
    raise typer.Exit(0 if is_good else 1)


def agreement(requests: int, seed: int) -> tuple[float, int]:
    """How far the clusters are the subjects (adjusted Rand index), and how many there are."""
    different = {key_of(one.text): one for one in asked(requests, seed)}
    words, weights = words_of(list(different)), np.ones(len(different))
    found = cluster(words, directions(words, weights, seed), weights, seed)
    labels = [number if number != NONE else -2 - place for place, number in enumerate(found.of.tolist())]
    return _adjusted_rand(labels, [one.subject for one in different.values()]), len(found.centres)


def _adjusted_rand(one: Sequence[object], other: Sequence[object]) -> float:
    both, first, second = (
        sum(comb(count, 2) for count in Counter(part).values())
        for part in (zip(one, other, strict=True), one, other)
    )
    chance = first * second / comb(len(one), 2)
    return (both - chance) / ((first + second) / 2 - chance)


def redaction(values: int, console: Console) -> bool:
    """Whether enough was hidden, and little else; the shares are shown on the console."""
    hidden: defaultdict[str, list[bool]] = defaultdict(list)
    for one in written(values, 1):
        done = redact([one.text])
        told = one.value.split("@")[0].split("//")[-1] if one.kind == "credentials" else one.value
        told = (
            told.partition(": ")[2] or told.partition("=")[2].strip() or told
            if one.kind == "secret"
            else told
        )
        hidden[one.kind].append(told not in done.texts[0] if one.kind else bool(done.values))
    table = Table("kind", "values", "hidden")
    for kind, found in hidden.items():
        table.add_row(kind or "only looks like one", f"{len(found):,}", f"{np.mean(found):.1%}")
    console.print(table)
    real = [found for kind, all_of_it in hidden.items() if kind for found in all_of_it]
    return bool(np.mean(real) >= FOUND_MIN and np.mean(hidden[""]) <= MISTAKEN_MAX)


def _timed(requests: int) -> str:
    exchanges = [Exchange((Message("user", one.text),), "Sure.") for one in asked(requests, 1)]
    started, on_the_clock = time.process_time(), time.monotonic()
    gathering = Gathering()
    gathering.take(exchanges)
    found = propose(gathering.gathered(), 200)
    assert found is not None
    took, waited = time.process_time() - started, time.monotonic() - on_the_clock
    return (
        f"{requests:,} requests to {len(found.proposal.proposed)} proposed canaries: {took:.1f} s of one core, "
        f"{waited:.1f} s by the clock; "
        f"{found.account.prompts:,} different prompts compared; requests in a cluster with one of the first 50: "
        f"{found.account.coverage[min(49, len(found.account.coverage) - 1)]:.0%}"
    )


if __name__ == "__main__":
    typer.run(main)
