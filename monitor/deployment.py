"""From the configuration to what the canary flow works with."""

from alerts.config import BudgetConfig
from alerts.evidence.ledger import Budgets
from alerts.finding import Severity
from alerts.incident import AlertRule
from canaries.config import TargetConfig
from canaries.contract import contract_of
from canaries.proofs import ProofKind
from canaries.store import Content

from .config import Deployment
from .watched import House, Watched

WEEKS_A_QUARTER = 91.25 / 7


def watched_of(deployment: Deployment, name: str, slot_s: float) -> Watched:
    """The target ``name`` as the canary flow watches it; ``slot_s`` is the time between its runs."""
    target, suite = deployment.config.targets[name], deployment.suites[name]
    return Watched(
        name=name,
        suite_name=suite.name,
        suite=suite,
        contract=contract_of(suite, target),
        slot_s=slot_s,
        share=deployment.share(name),
        baseline_runs=target.baseline.runs_needed(slot_s),
        freezes_itself=target.baseline.freeze == "auto",
        refresh_after_s=target.baseline.refresh_after_s,
        min_answered_share=target.baseline.min_answered_share,
        down_after=target.down_after,
        content=Content(deployment.config.storage.content),
        rule=AlertRule(notify=tuple(target.notify), rollback=target.rollback),
        proofs=_loudness(target),
    )


def house_of(deployment: Deployment, secret: bytes) -> House:
    """What the targets of the deployment share."""
    config = deployment.config
    rollbacks = {name: one.rule() for name, one in config.rollbacks.items()}
    return House(
        secret,
        budgets_of(config.budget),
        rollbacks,
        config.inhibitions(),
        config.routing(),
        config.http.trace_url,
    )


def budgets_of(budget: BudgetConfig) -> Budgets:
    """The budgets of false alarms, all in the ledger's unit: a quarter."""
    return Budgets(
        pages_per_quarter=budget.pages_per_quarter,
        tickets_per_quarter=budget.tickets_per_week * WEEKS_A_QUARTER,
        rollbacks_per_quarter=budget.rollbacks_per_quarter,
    )


def _loudness(target: TargetConfig) -> dict[ProofKind, Severity | None]:
    return {
        ProofKind(kind): None if loudness == "off" else Severity[loudness.upper()]
        for kind, loudness in target.proofs.items()
    }
