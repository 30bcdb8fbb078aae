"""What a run may cost, decided before its target is asked, and what becomes of the run; each in one transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

import canaries.store as canary_store
from alerts.incident import Transition
from alerts.intake import receive
from canaries.completion import Run
from canaries.features import RunFeatures

from ..config import Deployment
from ..moments import Moment, MomentKind, note
from ..spending.spend import Planned, SpendFacts, plan_run, spend_verdict
from ..spending.spend_facts import RUNS_AVERAGED, facts_now, first_facts
from ..watched import House, Watched
from .watch_canaries import Settled, settle


@dataclass(frozen=True, slots=True)
class Plan:
    """A run as it may be made, what that was decided on, and what it did to incidents."""

    planned: Planned
    facts: SpendFacts
    transitions: tuple[Transition, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A run as it came back."""

    run: Run
    features: RunFeatures
    cost_usd: float | None


def expected_spend(session: Session, deployment: Deployment, now: datetime) -> dict[str, SpendFacts]:
    """What the runs of each target are expected to cost, by what is known when a daemon starts."""
    return {
        name: first_facts(
            target, deployment.suites[name], now, canary_store.token_means(session, name, RUNS_AVERAGED)
        )
        for name, target in deployment.config.targets.items()
    }


def plan(
    session: Session,
    deployment: Deployment,
    watched: Watched,
    house: House,
    first: SpendFacts,
    run_id: str,
    now: datetime,
) -> Plan:
    """The run as the money allows it, noted as begun unless it is skipped."""
    name = watched.name
    target, suite = deployment.config.targets[name], deployment.suites[name]
    facts = facts_now(session, name, target, suite, first, now)
    planned = plan_run(facts)
    verdict = spend_verdict(name, planned, facts)
    transitions = receive(
        session, [(verdict, watched.rule)], now, house.rollbacks, house.inhibitions, house.routing
    )
    if not planned.is_skipped:
        canary_store.start_run(session, run_id, name, suite.name, now, planned.estimate_usd)
    note(session, Moment(MomentKind.PLAN, now, run_id, {"target": name}))
    return Plan(planned, facts, transitions)


def settle_asked(session: Session, watched: Watched, house: House, asked: Asked, now: datetime) -> Settled:
    """What the run did; its cost is stored with all that follows from it."""
    settled = settle(session, watched, house, asked.run, asked.features, now)
    canary_store.note_cost(session, asked.run.id, asked.cost_usd)
    note(session, Moment(MomentKind.RUN, now, asked.run.id, {"target": watched.name}))
    return settled
