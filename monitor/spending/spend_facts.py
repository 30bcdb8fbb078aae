"""What planning a run within its spend cap needs to know, from the configuration and from what is stored."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlmodel import Session

import canaries.store as canary_store
from canaries.config import TargetConfig
from canaries.store import TokenMeans
from canaries.suite import Suite

from ..config import cadence_of
from ..schedule import slot_s, starts_per_day
from .canary_cost import sample_costs
from .spend import SpendFacts, window

RUNS_AVERAGED = 20
"""The tokens of so many of the last runs make the estimate of the next one."""

_NO_MEANS: Mapping[str, TokenMeans] = {}


def first_facts(
    target: TargetConfig, suite: Suite, now: datetime, means: Mapping[str, TokenMeans] = _NO_MEANS
) -> SpendFacts:
    """The facts before the first run, with nothing spent; ``means`` are the tokens of runs, where there were some."""
    cadence = cadence_of(target)
    return SpendFacts(
        samples=suite.expected_samples(target.samples),
        sample_usd=sample_costs(suite, target, means, now),
        cap_usd=target.spend_cap_usd_per_day,
        spent_usd=0.0,
        runs_per_day=starts_per_day(cadence, now),
        slot_s=slot_s(cadence, now),
        since_last_s=None,
    )


def facts_now(
    session: Session, name: str, target: TargetConfig, suite: Suite, first: SpendFacts, now: datetime
) -> SpendFacts:
    """The facts for a run that would begin now: ``first`` brought up to date by what is stored of the target."""
    spent_usd = canary_store.spent_usd(session, name, now - window(first.slot_s))
    if target.spend_cap_usd_per_day is None:
        return replace(first, spent_usd=spent_usd)
    last = canary_store.recent_runs(session, name, limit=1)
    means = canary_store.token_means(session, name, RUNS_AVERAGED)
    return replace(
        first,
        sample_usd=sample_costs(suite, target, means, now),
        spent_usd=spent_usd,
        # A last run that lies ahead of now means that the clock went back: nothing was saved up for sure.
        since_last_s=max(0.0, (now - last[0].started_at).total_seconds()) if last else None,
    )
