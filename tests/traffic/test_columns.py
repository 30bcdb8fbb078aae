"""Reports that are written down column by column are the rows that they are one by one."""

import random
from dataclasses import fields
from math import nan
from typing import Any

import pytest

from monitor.traffic.calls import Operation
from monitor.traffic.lookout.columns import FEW, HASHED_TOGETHER_MAX, Columns
from monitor.traffic.lookout.found import TOO_EARLY, TOO_LATE, Found
from monitor.traffic.rows import NOT_TOLD, Rows, RowsWriter
from monitor.traffic.sightings import Shape, Sighting

EARLIEST_NS, LATEST_NS = 1_000, 2_000


def shape(service: str) -> Shape:
    facts: dict[str, Any] = {one.name: None for one in fields(Shape)}
    return Shape(**facts | {"operation": Operation.CHAT, "service_name": service})


SHAPES = [shape("a"), shape("b")]
IDS = [None, "x", "short", "chatcmpl-2a675c4c57f5f33d163b2e50b42d", "sixteen letters!", "ä" * 15, "ü" * 16]


def sightings(count: int, ids: list[str | None]) -> list[Sighting]:
    """So many reports, made up at random."""
    dice = random.Random(count)
    counts = [0, 1, 12, 10**9, None]
    return [
        Sighting(
            dice.choice(SHAPES),
            dice.randbytes(16),
            dice.randbytes(8),
            dice.choice([b"", dice.randbytes(8)]),
            EARLIEST_NS + place,
            EARLIEST_NS + place + dice.randrange(100),
            dice.choice(ids),
            dice.choice(ids),
            *[dice.choice(counts) for _ in range(5)],
            ttft_s=dice.choice([None, 0.25]),
            prompt=None,
            chosen=dice.choice([(), (("user.id", str(place)),)]),
        )
        for place in range(count)
    ]


def told(columns: Columns, one: Sighting) -> None:
    """Add it as plans tell it."""
    answer, session = (None if text is None else text.encode() for text in (one.response_id, one.session_id))
    counts = [NOT_TOLD if n is None else n for n in one[8:13]]
    ttft_s = nan if one.ttft_s is None else one.ttft_s
    columns.add((*one[1:6], "what follows"), (one.shape, answer, session, *counts, ttft_s), one.chosen)


def written(columns: Columns) -> tuple[Rows, Found]:
    found = Found(EARLIEST_NS, LATEST_NS)
    columns.write(found)
    return found.rows.rows(), found


def of(rows: Rows) -> tuple[bytes, list[Shape], bytes, bytes, Any]:
    return rows.records.tobytes(), list(rows.shapes), rows.texts, rows.sessions, rows.more


@pytest.mark.parametrize(
    "ids", [IDS, [*IDS, "y" * (HASHED_TOGETHER_MAX + 1)], [None]], ids=["short", "a long one", "none"]
)
@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 200])
def test_they_are_the_same_to_the_last_byte(count: int, ids: list[str | None]) -> None:
    columns, writer = Columns(), RowsWriter()
    for place, one in enumerate(sightings(count, ids)):
        if place % 3:
            told(columns, one)
        else:
            columns.add_sighting(one)
        writer.add(one)
    assert of(written(columns)[0]) == of(writer.rows())


def test_what_was_at_no_possible_time_is_refused_with_its_service() -> None:
    columns, kept = Columns(), sightings(4, IDS)
    one = kept[0]
    refused = [
        one._replace(shape=SHAPES[0], start_ns=LATEST_NS, end_ns=LATEST_NS + 1),
        one._replace(shape=SHAPES[0], start_ns=2**64 - 1, end_ns=LATEST_NS),
        one._replace(shape=SHAPES[1], start_ns=1, end_ns=EARLIEST_NS - 1),
    ]
    for sighting in (kept[0], refused[0], kept[1], refused[1], refused[2], kept[2], kept[3]):
        told(columns, sighting)
    rows, found = written(columns)
    assert [rows.sighting(place) for place in range(len(rows))] == kept
    assert found.rejected == {TOO_EARLY: 2, TOO_LATE: 1}
    assert {(service, loss.name): n for (service, loss), n in found.lost.items()} == {
        ("a", "FUTURE"): 2,
        ("b", "TOO_OLD"): 1,
    }


def test_no_report_leaves_nothing() -> None:
    columns = Columns()
    columns.add_sighting(None)
    rows, _ = written(columns)
    assert len(rows) == 0
