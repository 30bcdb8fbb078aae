"""What a gate came to, in sentences for people."""

from .results import Gate, Status

WORDS = {Status.PASS: "passes", Status.FAIL: "fails", Status.INCONCLUSIVE: "cannot be judged"}


def headline(gate: Gate) -> str:
    """The verdict as one sentence."""
    named = [check.name for check in gate.of(gate.verdict)] if gate.verdict is not Status.PASS else []
    first, rest = named[:5], len(named) - 5
    where = f": {', '.join(first)}{f' and {rest} more' if rest > 0 else ''}" if named else ""
    beside = f" against {gate.against}" if gate.against else ""
    return f"{gate.target} {WORDS[gate.verdict]}{beside}{where}."


def footnote(gate: Gate) -> str:
    """What the verdict stands on."""
    parts = [f"{gate.answers:,} answers"]
    if gate.took_s is not None:
        parts.append(f"asked in {gate.took_s:.0f} s")
    if gate.spent_usd is not None:
        parts.append(f"for ${gate.spent_usd:.4g}")
    return ", ".join(parts) + "."
