"""What is wrong now, with its evidence: the word that ledgers, proofs, watches and self-checks share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """How loudly to tell people. Ordered: a page outranks a ticket."""

    INFO = 10
    TICKET = 20
    PAGE = 30


class Label(StrEnum):
    """What a look at the facts says: nothing wrong, something wrong, or too little to tell."""

    STEADY = "steady"
    BREACHED = "breached"
    NO_DATA = "no_data"


class Source(StrEnum):
    """Which arm found it."""

    LEDGER = "ledger"
    PROOF = "proof"
    WATCH = "watch"
    SELF_CHECK = "self_check"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong now.

    ``summary`` is one sentence for the person who is woken; ``evidence`` are short ``(name, value)`` lines in
    the order to show them. Neither holds a secret or the content of a prompt or an answer.
    """

    severity: Severity
    source: Source
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One look at one thing under watch.

    ``key`` names the thing for ever (``drift/support-bot``, ``watch/chat-p95/checkout``): one key has at most
    one open incident. ``finding`` is set exactly when ``label`` is ``BREACHED``. ``wants_rollback`` tells
    that the evidence is also strong enough for the rollback that the rule names. ``is_doubtful`` goes with
    ``STEADY``: it seems wrong and is not surely so, which opens no incident and ends none. ``is_passing`` goes with
    ``BREACHED``: it stands, and the last look did not see it any more, which opens no incident either. ``labels`` say
    what it is about where there is no finding to say so.
    """

    key: str
    label: Label
    finding: Finding | None = None
    wants_rollback: bool = False
    note: str = ""
    is_doubtful: bool = False
    is_passing: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.label is Label.BREACHED) != (self.finding is not None):
            raise ValueError(
                f"verdict on {self.key!r}: a finding goes with the label breached, and only with it"
            )
