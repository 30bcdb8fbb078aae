"""What a configuration that can be used could do better, and what it will cost."""

from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address

from canaries.config import WEEK_S, TargetConfig
from dashboards.words import span

from .config import Deployment, cadence_of
from .schedule import slot_s
from .spending.spend import expectation
from .spending.spend_facts import first_facts
from .traffic.config import OtlpConfig

USUAL_EVERY_S = 900.0
"""How often a target should be replayed: thin runs, and many of them."""

ANSWERS_UNTIL_SEEN = {1: 125, 2: 125, 4: 250, 8: 400}
"""Of 25 canaries, of which each has 20 % of its answers changed: how many answers it takes to see it, by samples a run.

Medians of a simulation with two backends, hourly runs and two weeks of baseline, ranked without labels.
"""


def spending(deployment: Deployment, now: datetime) -> dict[str, str]:
    """What the canaries of each target will cost a day, and what its cap leaves of them."""
    return {
        name: expectation(first_facts(target, deployment.suites[name], now))
        for name, target in deployment.config.targets.items()
    }


def advice(deployment: Deployment, now: datetime) -> tuple[str, ...]:
    """What would see changes sooner or be wrong less often, a sentence each."""
    about_targets = (
        f"target {name}: {sentence}"
        for name, target in deployment.config.targets.items()
        for sentence in _about(target, deployment.suites[name].expected_samples(target.samples), now)
    )
    about_traces = (f"otlp: {sentence}" for sentence in _about_senders(deployment.config.otlp))
    return (*about_targets, *about_traces)


def _about_senders(otlp: OtlpConfig) -> Iterator[str]:
    if _is_of_this_machine(otlp.host):
        return
    if otlp.token is None and (otlp.tls is None or otlp.tls.client_ca is None):
        yield f"whoever reaches {otlp.host} may send traces: `token` or `tls: client_ca` says who may"
    elif otlp.tls is None:
        yield f"senders show the token to {otlp.host} in the clear: `tls` hides it"


def _is_of_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _about(target: TargetConfig, samples: dict[str, int], now: datetime) -> Iterator[str]:
    between_s = slot_s(cadence_of(target), now)
    most = max(samples.values())
    answers = ANSWERS_UNTIL_SEEN[max(count for count in ANSWERS_UNTIL_SEEN if count <= most)]
    fewest = ANSWERS_UNTIL_SEEN[1]
    if between_s > USUAL_EVERY_S and answers > fewest:
        sooner_s = max(USUAL_EVERY_S, between_s / most)
        yield (
            f"{most} samples each {span(between_s)} see a 20 % change of 25 canaries after about {answers} answers, "
            f"one sample each {span(sooner_s)} after about {fewest}: "
            f"`every: {sooner_s / 60:.0f}m` with `samples: 1` is better"
        )
    covered_s = target.baseline.runs_needed(between_s) * between_s
    if covered_s < WEEK_S:
        yield (
            f"its baseline is made in {span(covered_s)}, which is less than a week: "
            "hours and days that it has not seen may look like drift"
        )
