"""A gate as plain values for machines."""

from typing import Any

from ..compare.plain import to_plain as comparison_to_plain
from .results import Gate
from .words import headline


def to_plain(gate: Gate) -> dict[str, Any]:
    """What ``--json`` prints: ``verdict``, ``checks``, and the ``comparison`` as ``compare --json`` prints it."""
    return {
        "verdict": gate.verdict.value,
        "summary": headline(gate),
        "suite": gate.suite,
        "target": gate.target,
        "against": gate.against,
        "checks": [
            {
                "kind": check.kind.value,
                "name": check.name,
                "status": check.status.value,
                "summary": check.summary,
                "details": list(check.details),
            }
            for check in gate.checks
        ],
        "notes": list(gate.notes),
        "answers": gate.answers,
        "took_s": gate.took_s,
        "spent_usd": gate.spent_usd,
        "comparison": None if gate.comparison is None else comparison_to_plain(gate.comparison),
    }
