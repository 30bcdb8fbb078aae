"""A bench as one page of its own: no other file, no script, nothing fetched."""

from collections.abc import Sequence

from canaries.bench.measured import Measured
from canaries.bench.report import BenchReport
from canaries.bench.words import better, by, cell, facts_of
from dashboards.bench_drawings import (
    COLOURS,
    HEIGHT,
    LABEL,
    MARGIN,
    NAME,
    ROW,
    WIDTH,
    figure_rows,
    times_picture,
)
from dashboards.comparison_page import own_style
from dashboards.pages import templates
from dashboards.words import Tone

ROWS_NAMED = 2
"""How many of the figures in which a target is better its headline names."""


def render_bench(found: BenchReport, measured: Sequence[Measured], suite: str, notes: Sequence[str]) -> str:
    """The page as HTML: who is better at what, how long answers took, and all figures."""
    targets = list(found.targets)
    pictures = [
        times_picture("until the whole answer", measured, targets, lambda one: one.latency_s),
        times_picture("until the first token", measured, targets, lambda one: one.ttft_s),
    ]
    return templates.get_template("bench.html").render(
        style=own_style(),
        headline=headline(found),
        tone=Tone.CALM if all(one.answered for one in found.targets.values()) else Tone.ALARM,
        found=found,
        suite=suite,
        facts=list(facts_of(found)),
        notes=notes,
        colours={target: place % COLOURS for place, target in enumerate(targets)},
        pictures=[picture for picture in pictures if picture is not None],
        figures=figure_rows(found),
        cell=cell,
        better=better,
        by=by,
        size={"width": WIDTH, "height": HEIGHT, "margin": MARGIN, "row": ROW, "label": LABEL, "name": NAME},
    )


def headline(found: BenchReport) -> str:
    """Who wins what, as one sentence; of one target, that it was measured."""
    silent = [name for name, one in found.targets.items() if not one.answered]
    if silent:
        return f"No answer from {', '.join(silent)}."
    targets = list(found.targets)
    if len(targets) == 1:
        return f"{targets[0]} under load."
    won = {name: [row.measure.name for row in found.rows if row.winner == name] for name in targets}
    told = [f"{name} is better in {_some(rows)}" for name, rows in won.items() if rows]
    return f"{'; '.join(told)}." if told else "No difference between the targets is sure."


def _some(rows: Sequence[str]) -> str:
    more = len(rows) - ROWS_NAMED
    return ", ".join(rows[:ROWS_NAMED]) + (f" and {more} more" if more > 0 else "")
