"""A gate as Markdown: for the summary of a step in GitHub Actions, a merge request, a chat."""

from collections.abc import Iterator

from .results import Check, Gate, Kind, Status
from .words import footnote, headline

CHECKS_MAX = 50
"""How many checks are told in full: the summary of a step may have 1 MiB."""

SIGNS = {Status.PASS: "✅", Status.WARN: "⚠️", Status.FAIL: "❌", Status.INCONCLUSIVE: "❔"}

_ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|~$@&!"})


def to_markdown(gate: Gate) -> str:
    """The summary."""
    return "\n".join(_lines(gate)) + "\n"


def _lines(gate: Gate) -> Iterator[str]:
    yield f"## {SIGNS[gate.verdict]} {_plain(headline(gate))}"
    yield ""
    told = gate.of(Status.FAIL, Status.INCONCLUSIVE, Status.WARN)
    told += tuple(check for check in gate.of(Status.PASS) if check.kind is not Kind.CANARY)
    if told:
        yield "| | check | what |"
        yield "|---|---|---|"
        yield from (_row(check) for check in told[:CHECKS_MAX])
        yield ""
    if len(told) > CHECKS_MAX:
        yield f"And {len(told) - CHECKS_MAX} more."
        yield ""
    canaries = [check for check in gate.checks if check.kind is Kind.CANARY]
    passed = sum(check.status is Status.PASS for check in canaries)
    yield f"{passed} of {len(canaries)} canaries as expected. {footnote(gate)}"
    for note in gate.notes:
        yield ""
        yield f"*{_plain(note)}*"


def _row(check: Check) -> str:
    what = "<br>".join(_plain(line) for line in (check.summary, *check.details))
    return f"| {SIGNS[check.status]} | {_plain(check.name)} | {what} |"


def _plain(text: str) -> str:
    """The text as it is, whatever it holds: an answer must not draw pictures or mention people."""
    return " ".join(text.split()).translate(_ESCAPED)
