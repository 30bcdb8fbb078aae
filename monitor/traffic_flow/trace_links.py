"""Traces that a finding names, with the addresses where people open them."""

import re
from dataclasses import replace

from alerts.finding import Verdict
from alerts.trace_lines import CALL

TRACE_ID = "{trace_id}"
"""What stands for the id in the address of a trace."""

_TRACE = re.compile(r"trace ([0-9a-f]+)(?: \(.*\))?")


def linked(verdict: Verdict, trace_url: str | None) -> Verdict:
    """The verdict, with its address behind each trace that it names; as it is where nobody said how."""
    finding = verdict.finding
    if finding is None or trace_url is None:
        return verdict
    evidence = tuple((name, _with_address(name, value, trace_url)) for name, value in finding.evidence)
    return replace(verdict, finding=replace(finding, evidence=evidence))


def _with_address(name: str, value: str, trace_url: str) -> str:
    found = _TRACE.fullmatch(value) if name.endswith(CALL) else None
    return f"{value} {trace_url.replace(TRACE_ID, found[1])}" if found else value
