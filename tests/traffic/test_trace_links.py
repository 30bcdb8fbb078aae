"""Traces that a finding names, as links: put behind their ids, and read again by what shows them."""

import pytest

from alerts.finding import Finding, Label, Severity, Source, Verdict
from alerts.trace_lines import TraceLine, trace_line
from monitor.config import HttpConfig
from monitor.traffic.watches.measuring import traces
from monitor.traffic.windows.exemplars import Exemplars, Kind
from monitor.traffic.windows.series import Series
from monitor.traffic.windows.window import Window
from monitor.traffic_flow.trace_links import linked

from .conftest import NOON

ID = "5b8aa5a2d2c872e8321cf37308d69df2"
URL = "https://traces.example.com/trace/{trace_id}?from=now"
ADDRESS = f"https://traces.example.com/trace/{ID}?from=now"


def told(*evidence: tuple[str, str]) -> Verdict:
    return Verdict("watch/w", Label.BREACHED, Finding(Severity.PAGE, Source.WATCH, "wrong", {}, evidence))


def evidence_of(kind: Kind) -> tuple[str, str]:
    window = Window(int(NOON), Series("shop", "", "1", "chat", "openai", "m", "m"), 1)
    window.exemplars = Exemplars.from_json({kind.value: [[12.0, ID, "span"]]})
    (line,) = traces(kind, [window])
    return line


@pytest.mark.parametrize(
    ("kind", "beside"), [(Kind.SLOWEST, " (12 s)"), (Kind.DEAREST, " ($12)"), (Kind.FAILED, "")], ids=str
)
def test_each_kind_of_trace_is_a_link_where_it_is_said_how(kind: Kind, beside: str) -> None:
    finding = linked(told(evidence_of(kind)), URL).finding
    assert finding is not None
    ((name, value),) = finding.evidence
    assert trace_line(name, value) == TraceLine(f"trace {ID}", beside, ADDRESS)
    assert linked(told(evidence_of(kind)), None) == told(evidence_of(kind))


@pytest.mark.parametrize(
    "line",
    [("user.id", f"trace {ID}"), ("slowest call", "none"), ("threshold", "8 s")],
    ids=["a value that senders wrote", "no trace", "another line"],
)
def test_other_lines_stay_as_they_are(line: tuple[str, str]) -> None:
    assert linked(told(line), URL) == told(line)


def test_an_address_that_senders_wrote_is_no_link() -> None:
    assert trace_line("user.id", f"trace {ID} {ADDRESS}") is None
    assert trace_line("slowest call", f"trace {ID} (12 s) javascript:alert()") is None


def test_what_is_right_again_has_nothing_to_link() -> None:
    steady = Verdict("watch/w", Label.STEADY)
    assert linked(steady, URL) == steady


@pytest.mark.parametrize(
    "url",
    [
        "https://traces.example.com",
        "traces.example.com/{trace_id}",
        "javascript:{trace_id}",
        "https://a|b/{trace_id}",
    ],
)
def test_what_leads_to_no_trace_is_refused(url: str) -> None:
    assert HttpConfig(trace_url=URL).trace_url == URL
    with pytest.raises(ValueError, match="is an address with"):
        HttpConfig(trace_url=url)
