"""What the ledger's alarms mean for a target: which scores drift, whether they still do, and whether to roll back.

Pure: a memory and what betting on a run said give the next memory; a memory gives a verdict.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

import orjson

from alerts.evidence.ledger import Alarm, Kind
from alerts.finding import Finding, Label, Severity, Source, Verdict

CONFIRMING_RUNS = 2
"""How many fresh runs must confirm the rollback ledger's alarm before a rollback is asked for."""

CONFIRMING_LEVEL = 2
"""A run confirms when its score lies beyond the 5 % threshold, on the side of the alarm."""

COMPONENTS_SHOWN = 5
"""How many drifting scores a finding lists; it counts the others."""


@dataclass(frozen=True, slots=True)
class Bets:
    """What betting on one run said.

    ``beyond`` is the level of each component that bet (0 inside, up to 3 above all calibration runs, negative below),
    ``steady`` those that look like the baseline again, ``calibration_runs`` how many runs each was ranked against.
    """

    alarms: tuple[Alarm, ...] = ()
    beyond: Mapping[str, int] = field(default_factory=dict)
    steady: frozenset[str] = frozenset()
    calibration_runs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drifting:
    """One score that raised an alarm. ``confirmations`` counts the confirming runs since the rollback ledger's."""

    severity: int
    side: str
    evidence: float
    since: str | None
    confirmations: int | None = None
    is_steady: bool = False


@dataclass(frozen=True, slots=True)
class DriftMemory:
    """The scores that raised an alarm since the target was last steady as a whole, by name."""

    drifting: Mapping[str, Drifting] = field(default_factory=dict)

    @property
    def wants_rollback(self) -> bool:
        """Whether the rollback ledger alarmed and enough runs have confirmed it since."""
        return any(
            (one.confirmations or 0) >= CONFIRMING_RUNS and not one.is_steady
            for one in self.drifting.values()
        )

    def to_json(self) -> str:
        """The memory as JSON."""
        return orjson.dumps({name: asdict(one) for name, one in self.drifting.items()}).decode()

    @classmethod
    def from_json(cls, text: str) -> "DriftMemory":
        """The memory that ``to_json`` wrote."""
        return cls({name: Drifting(**one) for name, one in orjson.loads(text).items()})


def remember(memory: DriftMemory, bets: Bets) -> DriftMemory:
    """The memory after a run, with its alarms; empty once every score that alarmed has looked steady again.

    A score that looked steady once counts so until it alarms anew: by chance alone, of many scores one or the other
    is always restless, and the incident of all of them would never end.
    """
    drifting = {
        name: replace(_confirmed(one, bets.beyond.get(name)), is_steady=one.is_steady or name in bets.steady)
        for name, one in memory.drifting.items()
    }
    for alarm in bets.alarms:
        drifting[alarm.component] = _alarmed(drifting.get(alarm.component), alarm)
    is_over = all(one.is_steady for one in drifting.values())
    return DriftMemory() if is_over else DriftMemory(drifting)


def verdict(
    target: str,
    memory: DriftMemory,
    calibration_runs: Mapping[str, int],
    sentences: Mapping[str, str],
    facts: tuple[tuple[str, str], ...],
) -> Verdict:
    """What the memory says of the target after a run that could be scored, so of one that answers.

    ``sentences`` tells of each score what it measures; ``facts`` are further lines of evidence.
    """
    key = incident_key(target)
    if not memory.drifting:
        return Verdict(key, Label.STEADY)
    finding = Finding(
        severity=Severity(max(one.severity for one in memory.drifting.values())),
        source=Source.LEDGER,
        summary=_summary(target, memory, sentences),
        labels={"target": target},
        evidence=(*_lines(memory, calibration_runs), *facts),
    )
    return Verdict(key, Label.BREACHED, finding, wants_rollback=memory.wants_rollback)


def incident_key(target: str) -> str:
    """The key of the target's drift incidents: however many scores drift, it is one incident."""
    return f"drift/{target}"


def subject(finding: Finding) -> str:
    """What a finding of the canary arm is about, in a word: the leading score, or the kind of proof."""
    if finding.source is Source.LEDGER and finding.evidence:
        return finding.evidence[0][0]
    return finding.labels.get("proof", "baseline")


def _confirmed(one: Drifting, level: int | None) -> Drifting:
    if one.confirmations is None or level is None:
        return one
    beyond = level if one.side == "high" else -level
    # The confirming runs must follow each other: one that does not confirm starts the count again.
    confirmations = min(one.confirmations + 1, CONFIRMING_RUNS) if beyond >= CONFIRMING_LEVEL else 0
    return replace(one, confirmations=confirmations)


def _alarmed(before: Drifting | None, alarm: Alarm) -> Drifting:
    # Only the page budget pays for pages: a rollback's alarm asks for one more thing once there is a page.
    severity = Severity.PAGE if alarm.kind is Kind.PAGE else Severity.TICKET
    if before is None:
        since = alarm.since.isoformat() if alarm.since else None
        started = 0 if alarm.kind is Kind.ROLLBACK else None
        return Drifting(int(severity), alarm.side.value, alarm.evidence, since, started)
    louder = replace(
        before,
        severity=max(before.severity, int(severity)),
        evidence=max(before.evidence, alarm.evidence),
        is_steady=False,
    )
    if alarm.kind is Kind.ROLLBACK and before.confirmations is None:
        # What has to be confirmed is this alarm, whatever side an earlier ticket was on.
        return replace(louder, side=alarm.side.value, confirmations=0)
    return louder


def _by_weight(memory: DriftMemory) -> list[tuple[str, Drifting]]:
    return sorted(memory.drifting.items(), key=lambda item: (-item[1].severity, -item[1].evidence, item[0]))


def _summary(target: str, memory: DriftMemory, sentences: Mapping[str, str]) -> str:
    (name, first), *others = _by_weight(memory)
    direction = "unusually high" if first.side == "high" else "unusually low"
    more = f", and {len(others)} more score{'s' if len(others) > 1 else ''}" if others else ""
    return f"{target} has drifted from its baseline: {name} is {direction} ({sentences.get(name, 'a score')}){more}"


def _lines(memory: DriftMemory, calibration_runs: Mapping[str, int]) -> list[tuple[str, str]]:
    ranked = _by_weight(memory)
    lines = [
        (name, f"{one.side}, against {calibration_runs.get(name, 0)} calibration runs{_since(one)}")
        for name, one in ranked[:COMPONENTS_SHOWN]
    ]
    if len(ranked) > COMPONENTS_SHOWN:
        lines.append(("further scores", str(len(ranked) - COMPONENTS_SHOWN)))
    return lines


def _since(one: Drifting) -> str:
    return f", after {datetime.fromisoformat(one.since):%Y-%m-%d %H:%M} UTC" if one.since else ""
