"""What the watch over the watch found, on record: a backtest cannot look at a disk of the past."""

from collections.abc import Mapping
from typing import Any

from alerts.finding import Finding, Label, Severity, Source, Verdict


def to_plain(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain data."""
    plain: dict[str, Any] = {"key": verdict.key, "label": verdict.label.value, "note": verdict.note}
    if verdict.finding is not None:
        plain["finding"] = {
            "severity": int(verdict.finding.severity),
            "source": verdict.finding.source.value,
            "summary": verdict.finding.summary,
            "labels": dict(verdict.finding.labels),
            "evidence": verdict.finding.evidence,
        }
    return plain


def from_plain(plain: Mapping[str, Any]) -> Verdict:
    """The verdict that ``to_plain`` gave."""
    found = plain.get("finding")
    finding = found and Finding(
        severity=Severity(found["severity"]),
        source=Source(found["source"]),
        summary=found["summary"],
        labels=found["labels"],
        evidence=tuple((name, value) for name, value in found["evidence"]),
    )
    return Verdict(plain["key"], Label(plain["label"]), finding or None, note=plain["note"])
