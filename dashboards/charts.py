"""A line over time with what it is to be held against, as a Vega-Lite chart. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WIDTH, HEIGHT = 900, 360
"""Of the whole picture, in pixels."""

TITLE_MAX, SUBTITLE_MAX = 90, 130
"""How many letters there is room for."""

_CLOCK = (
    "utchours(datum.value) === 0 && utcminutes(datum.value) === 0"
    " ? utcFormat(datum.value, '%b %d') : utcFormat(datum.value, '%H:%M')"
)
"""How times are written on the axis: midnight as the day that begins."""

_LINE, _BAND, _LIMIT, _MOMENT, _GRID, _INK = "#1f5fa8", "#9dc3a0", "#b8510d", "#b3261e", "#e6e8eb", "#30343b"


@dataclass(frozen=True, slots=True)
class Chart:
    """What moved and when.

    ``points`` are in the order of time; where a value is not known the line is broken. ``axis`` says what is on the
    upright axis and in which unit; ``is_share`` has its values written in percent. ``limit`` is what the values are
    held against, and ``band`` where they usually lie. ``moment`` is when people were told.
    """

    title: str
    subtitle: str
    axis: str
    points: Sequence[tuple[datetime, float | None]]
    moment: datetime
    moment_said: str
    limit: float | None = None
    limit_said: str = ""
    band: tuple[float, float] | None = None
    band_said: str = ""
    is_share: bool = False
    dots: bool = False
    """Whether each point stands for something of its own, such as a run."""


def vega_lite(chart: Chart) -> dict[str, Any]:
    """The chart as Vega-Lite takes it, on a light background and with its data in it."""
    values = [{"at": _ms(at), "value": value} for at, value in chart.points]
    line = {
        "data": {"values": values},
        "mark": {
            "type": "line",
            "color": _LINE,
            "strokeWidth": 2,
            "invalid": "break-paths-show-path-domains",
            # Each has one, if a small one: a line has no length where the values beside one are not known.
            "point": {"size": 28 if chart.dots else 8, "filled": True, "color": _LINE},
        },
        "encoding": {"x": _x(), "y": _y(chart)},
    }
    layers = [*_band(chart), line, *_limit(chart), *_moment(chart)]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "width": WIDTH,
        "height": HEIGHT,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 14, "right": 22, "top": 12, "bottom": 12},
        "title": {
            "text": _cut(chart.title, TITLE_MAX),
            "subtitle": _cut(chart.subtitle, SUBTITLE_MAX),
            "anchor": "start",
            "fontSize": 17,
            "subtitleFontSize": 13,
            "subtitleColor": "#5b616b",
            "offset": 22,
        },
        "layer": layers,
        "config": {
            "font": "sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelFontSize": 13,
                "titleFontSize": 13,
                "titleFontWeight": "normal",
                "titlePadding": 10,
                "gridColor": _GRID,
                "labelColor": _INK,
                "titleColor": _INK,
            },
            "title": {"color": _INK},
        },
    }


def _x() -> dict[str, Any]:
    return {
        "field": "at",
        "type": "temporal",
        "scale": {"type": "utc"},
        "axis": {
            "title": "time (UTC)",
            "grid": False,
            "tickCount": 8,
            "labelExpr": _CLOCK,
            "labelOverlap": True,
        },
    }


def _y(chart: Chart) -> dict[str, Any]:
    axis = {"title": chart.axis, "tickCount": 5} | ({"format": "~%"} if chart.is_share else {})
    # A small change of a large value is what is to be seen; a threshold far below it is not squeezed in from nothing.
    return {"field": "value", "type": "quantitative", "scale": {"zero": False, "nice": True}, "axis": axis}


def _band(chart: Chart) -> list[dict[str, Any]]:
    if chart.band is None or not chart.points:
        return []
    low, high = chart.band
    first = chart.points[0][0]
    data = {"values": [{"low": low, "high": high, "at": _ms(first), "said": chart.band_said}]}
    y: dict[str, Any] = {"field": "low", "type": "quantitative"}
    return [
        {
            "data": data,
            "mark": {"type": "rect", "color": _BAND, "opacity": 0.35},
            "encoding": {"y": y, "y2": {"field": "high"}},
        },
        {
            "data": data,
            "mark": {"type": "text", "align": "left", "dx": 6, "dy": -8, "fontSize": 12, "color": "#39713e"},
            "encoding": {"x": _x(), "y": y | {"field": "high"}, "text": {"field": "said"}},
        },
    ]


def _limit(chart: Chart) -> list[dict[str, Any]]:
    if chart.limit is None or not chart.points:
        return []
    data = {"values": [{"value": chart.limit, "at": _ms(chart.points[0][0]), "said": chart.limit_said}]}
    y = {"field": "value", "type": "quantitative"}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "color": _LIMIT, "strokeWidth": 1.5, "strokeDash": [6, 4]},
            "encoding": {"y": y},
        },
        {
            "data": data,
            "mark": {"type": "text", "align": "left", "dx": 6, "dy": -8, "fontSize": 12, "color": _LIMIT},
            "encoding": {"x": _x(), "y": y, "text": {"field": "said"}},
        },
    ]


def _moment(chart: Chart) -> list[dict[str, Any]]:
    data = {"values": [{"at": _ms(chart.moment), "said": chart.moment_said}]}
    # Above the picture, where no line runs; to the left, since the moment is near the right edge.
    text = {
        "type": "text",
        "align": "right",
        "baseline": "bottom",
        "dy": -4,
        "fontSize": 12,
        "color": _MOMENT,
    }
    return [
        {
            "data": data,
            "mark": {"type": "rule", "color": _MOMENT, "strokeWidth": 2},
            "encoding": {"x": _x()},
        },
        {
            "data": data,
            "mark": text,
            "encoding": {"x": _x(), "y": {"value": 0}, "text": {"field": "said"}},
        },
    ]


def _ms(at: datetime) -> float:
    return at.timestamp() * 1000


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
