"""A gate as JUnit XML: what CI systems read to show which test failed."""

import re
from xml.etree import ElementTree as ET

from .results import Check, Gate, Status
from .words import headline

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped; an answer may have them."""


def to_junit(gate: Gate) -> str:
    """The document. A check that failed is a failure, one that could not be made an error, a warning is output."""
    counts = {
        "tests": str(len(gate.checks)),
        "failures": str(len(gate.of(Status.FAIL))),
        "errors": str(len(gate.of(Status.INCONCLUSIVE))),
        "skipped": "0",
        "time": f"{gate.took_s or 0:.3f}",
    }
    root = ET.Element("testsuites", {"name": "anchorwatch gate"} | counts)
    suite = ET.SubElement(root, "testsuite", {"name": _clean(gate.suite)} | counts)
    for check in gate.checks:
        _add(suite, gate, check)
    ET.SubElement(suite, "system-out").text = _clean("\n".join((headline(gate), *gate.notes)))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(suite: ET.Element, gate: Gate, check: Check) -> None:
    classname = _clean(f"anchorwatch.{gate.target}.{check.kind.value}")
    case = ET.SubElement(suite, "testcase", {"classname": classname, "name": _clean(check.name), "time": "0"})
    text = _clean("\n".join((check.summary, *check.details)))
    if check.status in (Status.FAIL, Status.INCONCLUSIVE):
        tag = "failure" if check.status is Status.FAIL else "error"
        attributes = {"message": _clean(check.summary), "type": check.status.value}
        ET.SubElement(case, tag, attributes).text = text
    elif check.status is Status.WARN:
        ET.SubElement(case, "system-out").text = f"warning: {text}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
