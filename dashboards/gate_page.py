"""A gate as one page of its own: no other file, no script, nothing fetched."""

from canaries.gate.results import Gate, Kind, Status
from canaries.gate.words import footnote, headline
from dashboards.comparison_page import drawn, own_style
from dashboards.pages import templates
from dashboards.words import Tone

TONES = {
    Status.PASS: Tone.CALM,
    Status.WARN: Tone.CAUTION,
    Status.FAIL: Tone.ALARM,
    Status.INCONCLUSIVE: Tone.CAUTION,
}


def render_gate(gate: Gate) -> str:
    """The page as HTML: the checks, and the comparison with the baseline where there is one."""
    told = gate.of(Status.FAIL, Status.INCONCLUSIVE, Status.WARN, Status.PASS)
    comparison = gate.comparison
    return templates.get_template("gate.html").render(
        gate=gate,
        style=own_style(),
        headline=headline(gate),
        footnote=footnote(gate),
        tone=TONES[gate.verdict],
        checks=[check for check in told if check.kind is not Kind.CANARY or check.status is not Status.PASS],
        as_expected=[check for check in gate.of(Status.PASS) if check.kind is Kind.CANARY],
        **({} if comparison is None else drawn(comparison, gate.against or "", gate.target)),
    )
