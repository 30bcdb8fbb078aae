"""What the canary flow works with: a target under watch, and what all targets of a deployment share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlmodel import Session

from alerts.evidence.bets import tie_break
from alerts.evidence.ledger import Budgets
from alerts.finding import Severity
from alerts.incident import AlertRule
from alerts.rollback import RollbackRule
from canaries.baseline import Baseline
from canaries.baseline_store import load_baseline
from canaries.contract import Contract
from canaries.proofs import ProofKind
from canaries.store import Content
from canaries.suite import Suite


@dataclass(frozen=True, slots=True)
class Watched:
    """A target under watch, as this flow needs to know it.

    ``share`` is the target's part of the page budget of the deployment, ``slot_s`` the time between scheduled runs.
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
    min_answered_share: float = 0.8
    down_after: int = 3
    content: Content = Content.FULL
    rule: AlertRule = field(default_factory=AlertRule)
    proofs: Mapping[ProofKind, Severity | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class House:
    """What all targets of a deployment share: its secret, its budgets, its rollbacks.

    ``frozen`` keeps the frozen baselines that were read: they never change, and reading one takes a while.
    """

    secret: bytes
    budgets: Budgets = field(default_factory=Budgets)
    rollbacks: Mapping[str, RollbackRule] = field(default_factory=dict)
    frozen: dict[str, Baseline] = field(default_factory=dict)

    def tie(self, run_id: str) -> float:
        """The number that orders a run among runs with the same score."""
        return tie_break(self.secret, run_id)

    def frozen_baseline(self, session: Session, baseline_id: str) -> Baseline:
        """The frozen baseline of this id."""
        if baseline_id not in self.frozen:
            self.frozen[baseline_id] = load_baseline(session, baseline_id)
        return self.frozen[baseline_id]
