"""What the canary flow works with: a target under watch, and what all targets of a deployment share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlmodel import Session

from alerts.evidence.assumptions import Assumptions
from alerts.evidence.bets import tie_break
from alerts.evidence.ledger import Budgets
from alerts.evidence.ranks import Ranks, rank
from alerts.finding import Severity
from alerts.incident import AlertRule
from alerts.inhibition import InhibitRule
from alerts.rollback import RollbackRule
from alerts.routing import Routing
from canaries.baseline import ANCHOR, Baseline, Calibration
from canaries.baseline_store import load_baseline
from canaries.contract import Contract
from canaries.proofs import ProofKind
from canaries.store import Content
from canaries.suite import Suite
from canaries.thinning import is_thinned

from .inhibiting.inhibitions import RULES


@dataclass(frozen=True, slots=True)
class Watched:
    """A target under watch, as this flow needs to know it.

    ``share`` is the target's part of the page budget of the deployment, ``slot_s`` the time between scheduled runs,
    ``refresh_after_s`` the age at which newer runs take a baseline's place (``None``: never by age).
    ``proofs`` overrides how loud a kind of proof is (``None``: not told at all).
    """

    name: str
    suite_name: str
    suite: Suite | None
    contract: Contract
    slot_s: float
    share: float = 1.0
    baseline_runs: int = 168
    freezes_itself: bool = True
    refresh_after_s: float | None = None
    min_answered_share: float = 0.8
    down_after: int = 3
    content: Content = Content.FULL
    rule: AlertRule = field(default_factory=AlertRule)
    proofs: Mapping[ProofKind, Severity | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class House:
    """What all targets of a deployment share: its secret, its budgets, its rollbacks, what inhibits what,
    who is told of what, and where people open traces.

    ``frozen`` keeps the frozen baselines that were read, ``ranked`` what runs are ranked against under them and
    ``assumed`` whether the promise holds: none of it ever changes, and all of it takes a while to make.
    """

    secret: bytes
    budgets: Budgets = field(default_factory=Budgets)
    rollbacks: Mapping[str, RollbackRule] = field(default_factory=dict)
    inhibitions: tuple[InhibitRule, ...] = RULES
    routing: Routing = field(default_factory=Routing)
    trace_url: str | None = None
    frozen: dict[str, Baseline] = field(default_factory=dict)
    ranked: dict[str, Ranks] = field(default_factory=dict)
    assumed: dict[tuple[str, str, tuple[str, ...]], Assumptions] = field(default_factory=dict)

    def tie(self, run_id: str) -> float:
        """The number that orders a run among runs with the same score."""
        return tie_break(self.secret, run_id)

    def frozen_baseline(self, session: Session, baseline_id: str) -> Baseline:
        """The frozen baseline of this id."""
        if baseline_id not in self.frozen:
            self.frozen[baseline_id] = load_baseline(session, baseline_id)
        return self.frozen[baseline_id]

    def ranks(self, baseline: Baseline) -> Ranks:
        """What runs are ranked against under a frozen baseline."""
        return self._ranked(baseline.id, baseline.calibration, baseline.blocks)

    def anchor_ranks(self, anchor: Baseline) -> Ranks:
        """What runs are ranked against under the first baseline of a line."""
        name = anchor.anchor_name
        blocks = {ANCHOR: anchor.blocks[name]} if name in anchor.blocks else {}
        return self._ranked(f"{anchor.id}/{ANCHOR}", {ANCHOR: anchor.calibration[name]}, blocks)

    def _ranked(self, key: str, calibration: Calibration, blocks: Mapping[str, int]) -> Ranks:
        if key not in self.ranked:
            # A block is a mean of full runs: where a score bets on blocks, thinned runs are left out of it.
            full = {
                name: [one for one in found if not (name in blocks and is_thinned(one[2]))]
                for name, found in calibration.items()
            }
            self.ranked[key] = rank(full, blocks)
        return self.ranked[key]
