"""Lines of evidence that name a trace, and where people open it: written and read by the same words."""

import re
from dataclasses import dataclass

CALL = " call"
"""How the name of such a line ends: ``slowest call``."""

_WITH_ADDRESS = re.compile(r"(?P<trace>trace [0-9a-f]+)(?P<beside>(?: \(.*\))?) (?P<address>https?://\S+)")


@dataclass(frozen=True, slots=True)
class TraceLine:
    """A trace with the address where it is opened, and what is said beside it."""

    trace: str
    beside: str
    address: str


def trace_line(name: str, value: str) -> TraceLine | None:
    """What a line says of a trace that can be opened.

    No other address is to become a link: values of attributes are evidence too, and whoever sends spans writes them.
    """
    found = _WITH_ADDRESS.fullmatch(value) if name.endswith(CALL) else None
    return TraceLine(found["trace"], found["beside"], found["address"]) if found else None
