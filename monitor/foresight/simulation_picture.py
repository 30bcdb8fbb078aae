"""A simulation as a picture: how long each change stays unnoticed, as SVG that reads well on white."""

from collections.abc import Iterator
from html import escape
from math import log

from .simulation import HORIZON_S, Delay, Simulation

WIDTH, LEFT, RIGHT = 860, 280, 150
TOP, ROW, BOTTOM = 74, 36, 76

INK, MUTED, RULE, CALM, ALARM = "#11222d", "#4d6472", "#cfdde4", "#08705a", "#bb1f17"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', 'DejaVu Sans', sans-serif"

MARKS = (
    (60, "1 min"), (300, "5 min"), (900, "15 min"), (1800, "30 min"), (3600, "1 h"), (2 * 3600, "2 h"),
    (4 * 3600, "4 h"), (8 * 3600, "8 h"), (86_400, "1 day"), (2 * 86_400, "2 days"), (4 * 86_400, "4 days"),
    (7 * 86_400, "1 week"), (14 * 86_400, "2 weeks"),
)  # fmt: skip
"""Where the time axis may have a mark, in seconds."""

MARK_ROOM = 48.0
"""How far apart two marks are at least, so that their words do not touch."""


def draw(simulation: Simulation) -> str:
    """The picture. Its time axis is logarithmic and begins at one run."""
    scale = _Scale(simulation)
    height = TOP + ROW * len(simulation.delays) + BOTTOM
    parts = [
        *_words(simulation, height),
        *_axis(scale, height - BOTTOM),
        *(
            part
            for i, one in enumerate(simulation.delays)
            for part in _row(scale, one, TOP + ROW * (i + 0.5))
        ),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="{FONT}" font-size="13" fill="{INK}">\n'
        f"<title>{escape(_title(simulation))}</title>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


class _Scale:
    """From seconds to the picture's x."""

    def __init__(self, simulation: Simulation) -> None:
        self.slot_s = simulation.plan.slot_s
        slowest = max((one.q90_runs or HORIZON_S / self.slot_s for one in simulation.delays), default=1.0)
        self.first_s = self.slot_s
        self.last_s = max(slowest * self.slot_s, self.first_s * 8)

    def x(self, seconds: float) -> float:
        """How far to the right so many seconds are."""
        part = log(seconds / self.first_s) / log(self.last_s / self.first_s)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def marks(self) -> list[tuple[float, str]]:
        """The marks that lie on the axis, those left out that would touch the one before."""
        kept: list[tuple[float, str]] = []
        for seconds, name in MARKS:
            x = self.x(seconds)
            if self.first_s <= seconds <= self.last_s * 1.001 and (not kept or x - kept[-1][0] >= MARK_ROOM):
                kept.append((x, name))
        return kept


def _title(simulation: Simulation) -> str:
    return f"How long a change of {simulation.target} stays unnoticed"


def _words(simulation: Simulation, height: int) -> Iterator[str]:
    plan, false = simulation.plan, simulation.false_pages
    cadence = (
        f"a run every {duration(plan.slot_s)}, {simulation.answers_a_run} answers each; {plan.pages_per_quarter:g} "
        f"false pages a quarter allowed, {false.budget:.3g} of them for this target"
    )
    made = (
        f"{plan.repetitions} changes of each kind, on runs drawn anew from the {simulation.runs} of "
        f"{simulation.baseline}; seed {plan.seed}. Without a change: {false.per_quarter:.3g} pages a quarter."
    )
    yield _text(20, 28, _title(simulation), size=18, weight=600)
    yield _text(20, 50, cadence, fill=MUTED)
    yield _text(
        LEFT,
        height - 36,
        "from the change to the page, logarithmic; dot: median, bar: to 90 %",
        fill=MUTED,
    )
    yield _text(20, height - 14, made, size=12, fill=MUTED)


def _axis(scale: _Scale, bottom: float) -> Iterator[str]:
    for x, name in scale.marks():
        yield f'<path d="M{x:.1f} {TOP - 6}V{bottom + 4:.1f}" stroke="{RULE}"/>'
        yield _text(x, bottom + 20, name, size=12, fill=MUTED, anchor="middle")


def _row(scale: _Scale, delay: Delay, y: float) -> Iterator[str]:
    yield _text(LEFT - 16, y + 4, delay.change, anchor="end")
    end = WIDTH - RIGHT
    if delay.median_runs is None:
        found = f"{delay.found_share:.0%} found"
        yield f'<path d="M{LEFT} {y:.1f}H{end}" stroke="{ALARM}" stroke-width="2" stroke-dasharray="3 5"/>'
        yield _text(end + 12, y + 4, f"{found} in {duration(HORIZON_S)}", size=12, fill=ALARM)
        return
    middle = scale.x(delay.median_runs * scale.slot_s)
    last = end if delay.q90_runs is None else scale.x(delay.q90_runs * scale.slot_s)
    yield f'<path d="M{middle:.1f} {y:.1f}H{last:.1f}" stroke="{CALM}" stroke-width="3"/>'
    yield f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="6" fill="{CALM}"/>'
    if delay.q90_runs is None:
        yield f'<path d="M{end - 6} {y - 5:.1f}l6 5l-6 5" fill="none" stroke="{CALM}" stroke-width="2"/>'
    else:
        yield f'<path d="M{last:.1f} {y - 7:.1f}v14" stroke="{CALM}" stroke-width="3"/>'
    q90 = "later" if delay.q90_runs is None else f"{delay.q90_runs:g}"
    yield _text(end + 12, y + 4, f"{delay.median_runs:g} runs, 90 %: {q90}", size=12)


def duration(seconds: float) -> str:
    """So much time, in the unit that fits."""
    for unit, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= unit * (2 if name == "days" else 1):
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 13,
    weight: int = 400,
    fill: str = INK,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
