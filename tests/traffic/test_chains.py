"""Which reports have a key in common: the scanner says what numpy does, to the last mark."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from monitor.traffic.calls import ErrorClass, Operation
from monitor.traffic.joining import chains
from monitor.traffic.joining.chains import Chains
from monitor.traffic.rows import Rows, rows_of
from monitor.traffic.sightings import Shape, Sighting

from .test_lookout import built_scanner

SECOND = 10**9


def shape(emitter: str, operation: Operation, *, is_declared: bool, is_ending: bool) -> Shape:
    return Shape(
        operation, "openai", "gpt-4o", None, False, ErrorClass.OTHER, None, None, None, "shop", None, None,
        "otel", emitter, True, is_declared, is_ending,
    )  # fmt: skip


SHAPES = [
    shape(emitter, operation, is_declared=is_declared, is_ending=is_ending)
    for emitter in ("sdk", "framework")
    for operation in (Operation.CHAT, Operation.EMBEDDINGS)
    for is_declared in (True, False)
    for is_ending in (True, False)
]


def some_reports(rng: random.Random, most: int, worlds: int) -> Rows:
    """Reports of so few traces, spans and answers that many have something in common."""

    def number(size: int) -> bytes:
        return (1 + rng.randrange(worlds)).to_bytes(size, "big")

    def one() -> Sighting:
        start = SECOND * rng.randrange(100, 105) + rng.choice((0, 0, 2**62))
        answer = rng.choice((None, "short", f"chatcmpl-{rng.randrange(worlds):012}"))
        return Sighting(
            rng.choice(SHAPES), number(16), number(8), rng.choice((b"", number(8))), start,
            start + SECOND * rng.randrange(4), answer, None, rng.choice((None, 0, 10, 20)), None, None, 5, None, None,
            None,
        )  # fmt: skip

    return rows_of(one() for _ in range(rng.randrange(most)))


def marks_of(found: Chains, batches: Sequence[Rows], drops: Sequence[int]) -> list[list[bool]]:
    """What is suspected of each batch; ``oldest`` moves on, and after each batch a report may be dropped."""
    marks = []
    for number, (rows, drop) in enumerate(zip(batches, drops, strict=True)):
        while found.next + len(rows) - found.oldest > chains.ROOM:
            found.oldest += 1
        if number % 7 == 6:
            found.oldest = found.next
        first = found.add(rows)
        marks.append(found.suspects(first, found.next).tolist())
        if drop < len(rows):
            found.drop(first + drop, first + drop + 1)
    return marks


@pytest.mark.parametrize("worlds", [3, 12, 200])
def test_the_scanner_suspects_whom_numpy_does(worlds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "ROOM", 128)
    monkeypatch.setattr(chains, "SLOTS", 32)  # so that most chains are of several keys
    rng = random.Random(worlds)
    for _ in range(12):
        batches = [some_reports(rng, 40, worlds) for _ in range(12)]
        drops = [rng.randrange(40) for _ in batches]
        by_numpy, by_scanner = Chains(scanner=None), Chains(scanner=built_scanner())
        marks = marks_of(by_numpy, batches, drops)
        assert marks == marks_of(by_scanner, batches, drops)
        assert {True, False} == {mark for batch in marks for mark in batch}
        for kind in chains.Key:
            for key in np.unique(by_numpy._keys[kind]).tolist():
                assert [*by_numpy.numbers(kind, key)] == [*by_scanner.numbers(kind, key)]


def test_the_scanner_refuses_tables_and_numbers_that_do_not_fit() -> None:
    scanner, found = built_scanner(), Chains(scanner=None)
    tables, rows = found._tables, some_reports(random.Random(1), 40, 5)
    voices, facts = np.zeros(len(rows.shapes), np.uint64), np.zeros(len(rows.shapes), np.uint8)
    with pytest.raises(ValueError, match="do not fit"):
        scanner.suspects((*tables[:-1], np.zeros(3, np.bool_)), 1, 1, 1, 0, 0)
    with pytest.raises(ValueError, match="ten tables"):
        scanner.suspects(tables[1:], 1, 1, 1, 0, 0)
    with pytest.raises(ValueError, match="no such numbers"):
        scanner.suspects(tables, 1, chains.ROOM + 2, 1, 0, 0)
    with pytest.raises(ValueError, match="no such kind"):
        scanner.chain(tables, rows.records, voices[:1], facts[:1], 1, 0, 1)
    with pytest.raises(ValueError, match="no room"):
        scanner.chain(tables, bytes(128 * (chains.ROOM + 1)), voices, facts, 1, 0, 1)
    with pytest.raises(ValueError, match="no room"):
        scanner.chain(tables, rows.records, voices, facts, 2**63 - 1, 0, 1)
    with pytest.raises(BufferError):
        scanner.suspects((bytes(8), *tables[1:]), 1, 1, 1, 0, 0)
