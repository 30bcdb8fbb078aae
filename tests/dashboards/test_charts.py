"""The chart of what moved, as Vega-Lite takes it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboards.charts import SUBTITLE_MAX, TITLE_MAX, Chart, vega_lite

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POINTS = [(NOON + timedelta(minutes=minute), value) for minute, value in enumerate((0.01, None, 0.08))]
CHART = Chart("errors", "of checkout", "error_share (% of calls)", POINTS, NOON, "page at 12:00")


def texts(chart: Chart) -> list[str]:
    """What is written into the picture."""
    layers = vega_lite(chart)["layer"]
    return [layer["data"]["values"][0]["said"] for layer in layers if layer["mark"]["type"] == "text"]


def line(chart: Chart) -> dict[str, Any]:
    [found] = [layer for layer in vega_lite(chart)["layer"] if layer["mark"]["type"] == "line"]
    return found


def test_every_value_is_in_it_at_its_time_and_one_that_is_not_known_is_none() -> None:
    values = line(CHART)["data"]["values"]
    assert [one["value"] for one in values] == [0.01, None, 0.08]
    assert [one["at"] / 1000 - NOON.timestamp() for one in values] == [0.0, 60.0, 120.0]


def test_the_axes_say_what_is_on_them() -> None:
    encoding = line(CHART)["encoding"]
    assert encoding["x"]["axis"]["title"] == "time (UTC)"
    assert encoding["y"]["axis"]["title"] == "error_share (% of calls)"
    assert "format" not in encoding["y"]["axis"]
    assert line(replace(CHART, is_share=True))["encoding"]["y"]["axis"]["format"] == "~%"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ["page at 12:00"]),
        ({"limit": 0.05, "limit_said": "above 5 %"}, ["above 5 %", "page at 12:00"]),
        ({"band": (0.0, 0.02), "band_said": "usual"}, ["usual", "page at 12:00"]),
    ],
    ids=["the moment alone", "a threshold", "a band"],
)
def test_what_the_values_are_held_against_is_drawn_and_named(
    changes: dict[str, Any], said: list[str]
) -> None:
    assert texts(replace(CHART, **changes)) == said


def test_long_titles_are_cut_to_the_room_there_is() -> None:
    title = vega_lite(replace(CHART, title="t" * 500, subtitle="s" * 500))["title"]
    assert title["text"] == "t" * (TITLE_MAX - 1) + "…"
    assert title["subtitle"] == "s" * (SUBTITLE_MAX - 1) + "…"
    assert vega_lite(CHART)["title"]["text"] == "errors"
