"""What holds for all calls of a shape is looked up by the number of the shape."""

from dataclasses import replace

import numpy as np
import pytest

from monitor.traffic import kinds as kinds_module
from monitor.traffic.calls import ErrorClass, FinishReason
from monitor.traffic.dialects import Report
from monitor.traffic.kinds import Kinds
from monitor.traffic.lookout import Lookout
from monitor.traffic.otlp import Encoding
from monitor.traffic.rows import RowsWriter, joined
from monitor.traffic.sightings import Shape, Shapes, Sighting, sighting_of
from monitor.traffic.windows.groups import Groups
from monitor.traffic.windows.series import OVERFLOW, Series, minute_of, series_of

from .conftest import NOON, MakeCall, MakePayload

LATER_NS = 60_000_000_000


@pytest.fixture
def sightings(make_call: MakeCall) -> list[Sighting]:
    """Three calls of two shapes."""
    shapes = Shapes()
    calls = [make_call(service_name=name) for name in ("shop", "desk", "shop")]
    return [sighting_of(Report(call, "", "openai", True, True, False, None, {}), shapes) for call in calls]


def numbered(*sightings: Sighting, kinds: Kinds | None = None):
    writer = RowsWriter(kinds)
    for one in sightings:
        writer.add(one)
    return writer.rows()


def test_each_shape_is_asked_once_however_many_come_later(sightings) -> None:
    kinds, asked = Kinds(), []

    def length(shape: Shape) -> int:
        asked.append(shape)
        return len(asked)

    kinds.number(sightings[0].shape)
    assert kinds.column("length", length, np.int64).tolist() == [1]
    kinds.number(sightings[1].shape)
    assert kinds.column("length", length, np.int64).tolist() == [1, 2]
    assert asked == [sightings[0].shape, sightings[1].shape]


def test_of_another_version_each_shape_is_asked_again(sightings) -> None:
    kinds = Kinds()
    kinds.numbers_of(one.shape for one in sightings)
    for price in (1.5, 2.5):
        column = kinds.column("price", lambda shape, price=price: price, np.float64, version=price)
        assert column.tolist() == [price, price]


def test_shapes_of_which_the_same_is_said_have_one_place(sightings) -> None:
    kinds = Kinds()
    kinds.numbers_of(one.shape for one in sightings)
    places, said = kinds.alike(lambda shape: shape.operation)
    assert (places.tolist(), list(said)) == ([0, 0], [sightings[0].shape.operation])
    places, said = kinds.alike(lambda shape: shape.service_name)
    assert (places.tolist(), list(said)) == ([0, 1], ["shop", "desk"])


@pytest.mark.parametrize("is_shared", [True, False], ids=["the same numbers", "numbers of their own"])
def test_rows_that_are_joined_keep_their_shapes(sightings, is_shared: bool) -> None:
    shared = Kinds() if is_shared else None
    parts = [numbered(*sightings[:2], kinds=shared), numbered(*sightings[1:], kinds=shared)]
    rows = joined(parts)
    assert [rows.sighting(place) for place in range(4)] == [*sightings[:2], *sightings[1:]]


def test_who_reads_numbers_shapes_anew_before_there_are_too_many(
    make_payload: MakePayload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds_module, "KINDS_MAX", 1)
    lookout = Lookout()
    first, second = (lookout.read(make_payload(), Encoding.PROTOBUF, NOON).rows for _ in range(2))
    assert first.kinds is not second.kinds
    assert first.sighting(0).shape is second.sighting(0).shape


def test_calls_are_grouped_by_minute_and_shape_and_keep_their_groups(sightings) -> None:
    groups, asked = Groups(), []

    def series(shape: Shape, minute: int) -> Series:
        asked.append((shape.service_name, minute))
        return series_of(shape)

    late = sightings[2]._replace(end_ns=sightings[2].end_ns + LATER_NS)
    first = minute_of(sightings[0].end_ns / 1e9)
    rows = numbered(*sightings, late)
    assert groups.of(rows, series).tolist() == [0, 1, 0, 2]
    assert groups.of(rows, series).tolist() == [0, 1, 0, 2]
    assert groups.of(numbered(late, *sightings), series).tolist() == [2, 0, 1, 0]
    assert asked[:3] == [("shop", first), ("desk", first), ("shop", first + 60)]
    assert [minute for minute, _ in groups.places] == [first, first, first + 60]


def test_where_there_was_no_room_for_a_series_it_is_asked_for_again(sightings) -> None:
    groups, answers = Groups(), [OVERFLOW, OVERFLOW, series_of(sightings[0].shape)]
    rows = numbered(sightings[0])
    found = [groups.of(rows, lambda shape, minute: answers.pop(0)) for _ in range(3)]
    assert [one.tolist() for one in found] == [[0], [0], [1]]
    assert [groups.are_over(one).tolist() for one in found] == [[True], [True], [False]]
    assert not answers


def test_shapes_of_one_series_share_a_window(sightings) -> None:
    groups = Groups()
    failed = replace(sightings[0].shape, error=True, error_class=ErrorClass.AUTH)
    other = sightings[0]._replace(shape=failed)
    groups.of(numbered(sightings[0], other, sightings[1]), lambda shape, minute: series_of(shape))
    assert (len(groups), len(groups.places)) == (3, 2)


def test_shapes_that_are_counted_alike_share_a_group_however_many_there_are(sightings) -> None:
    groups = Groups()
    shape = sightings[0].shape
    alike = [
        sightings[0]._replace(shape=replace(shape, service_name=f"shop-{number}")) for number in range(50)
    ]
    cut = sightings[0]._replace(shape=replace(shape, finish_reason=FinishReason.LENGTH))
    for one in (*alike, cut):
        groups.of(numbered(one), lambda shape, minute: OVERFLOW)
    assert [(groups.place(one)[1], shape.finish_reason) for one, shape in enumerate(groups.shapes)] == [
        (OVERFLOW, shape.finish_reason),
        (OVERFLOW, FinishReason.LENGTH),
    ]
