"""What a gate came to, in sentences for people."""

from collections.abc import Sequence

from ..compare.words import listed
from .results import Check, Gate, Status

WORDS = {Status.PASS: "passes", Status.FAIL: "fails", Status.INCONCLUSIVE: "cannot be judged"}


def headline(gate: Gate) -> str:
    """The verdict as one sentence."""
    beside = f" against {gate.against}" if gate.against else ""
    if gate.verdict is Status.PASS:
        warned = gate.of(Status.WARN)
        told = f", with warnings: {_named(warned)}" if warned else ""
    else:
        told = f": {_named(gate.of(gate.verdict))}"
    return f"{gate.target} {WORDS[gate.verdict]}{beside}{told}."


def _named(checks: Sequence[Check]) -> str:
    return listed([check.name for check in checks])


def footnote(gate: Gate) -> str:
    """What the verdict stands on."""
    parts = [f"{gate.answers:,} answers"]
    if gate.took_s is not None:
        parts.append(f"asked in {gate.took_s:.0f} s")
    if gate.spent_usd is not None:
        parts.append(f"for ${gate.spent_usd:.4g}")
    return ", ".join(parts) + "."
