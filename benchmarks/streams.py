"""Simulated endpoints: answers to 25 prompts, run after run, whose distribution can be made to drift.

An answer is a number. Ten prompts are nearly deterministic with a heavy tail, like labels and short facts;
fifteen follow a Pitman-Yor process, like phrasings: some common answers, and always another one that was
never seen.

What serves the runs is a scenario: one backend, or two that differ a little and share the traffic in one way or
another. Runs are an hour apart, or less.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[np.int64]
"""Answers by run, prompt and sample."""

PROMPTS, NEAR_DETERMINISTIC = 25, 10
SAMPLES = 4
"""Samples of each prompt in a run."""

RUNS_A_QUARTER = 2190
"""Hourly runs in a quarter."""

BASELINE_RUNS = 168
"""A week of them."""

ATOMS = 400
"""Answers of a prompt that can come back; what mass is left goes to answers that never do."""

BACKEND_SHIFT = 0.15
"""The share of each prompt's mass by which the second backend differs from the first."""

SECOND_SHARE = 0.3
"""How many of the runs the second backend serves where runs draw theirs at random."""

DAILY_SWING = 0.45
"""How far the second backend's share goes up and down around one half in a day."""

KEPT_HOURS = 6
"""How many hours a sticky backend serves before the other one takes over, on average."""

DAY_HOURS = 24


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: ``masses[a]`` is the chance of answer ``a``, what they leave that of a new one."""

    masses: NDArray[np.float64]

    def draw(self, rng: np.random.Generator, count: int, first_new: int) -> Answers:
        """``count`` answers; the new ones are numbered from ``first_new``."""
        answers = np.searchsorted(np.cumsum(self.masses), rng.random(count), side="right")
        is_new = answers == len(self.masses)
        answers[is_new] = first_new + np.arange(is_new.sum())
        return answers


Endpoint = tuple[Prompt, ...]


def stick_masses(rng: np.random.Generator, discount: float, strength: float) -> NDArray[np.float64]:
    """The first masses of a Pitman-Yor process, which leave something for new answers."""
    sticks = rng.beta(1 - discount, strength + discount * np.arange(1, ATOMS + 1))
    return np.asarray(sticks * np.cumprod(np.concatenate([[1.0], 1 - sticks[:-1]])))


def near_deterministic(rng: np.random.Generator) -> Prompt:
    """A prompt with one usual answer (90 to 99.5 %) and many rare others."""
    usual = rng.uniform(0.9, 0.995)
    return Prompt(np.concatenate([[usual], (1 - usual) * stick_masses(rng, discount=0.6, strength=5.0)[:-1]]))


def phrasing(rng: np.random.Generator) -> Prompt:
    """A prompt with many answers, how many depending on the prompt."""
    return Prompt(stick_masses(rng, discount=rng.uniform(0.1, 0.6), strength=rng.uniform(0.5, 6.0)))


def draw_endpoint(rng: np.random.Generator) -> Endpoint:
    """An endpoint with prompts of its own."""
    makers = [near_deterministic] * NEAR_DETERMINISTIC + [phrasing] * (PROMPTS - NEAR_DETERMINISTIC)
    return tuple(make(rng) for make in makers)


def draw_runs(rng: np.random.Generator, endpoint: Endpoint, runs: int, samples: int = SAMPLES) -> Answers:
    """Independent runs of an endpoint that does not change."""
    # Numbers for new answers start at a random place, so that two calls do not draw the same ones.
    first_new = int(rng.integers(1 << 32, 1 << 62))
    columns = [prompt.draw(rng, runs * samples, first_new).reshape(runs, samples) for prompt in endpoint]
    return np.stack(columns, axis=1)


Drift = Callable[[np.random.Generator, Endpoint], Endpoint]


def moved(rng: np.random.Generator, prompt: Prompt, share: float) -> Prompt:
    """The prompt with a share of its mass on another distribution, half of whose answers it never gave."""
    masses = np.zeros(2 * ATOMS)
    masses[: len(prompt.masses)] = (1 - share) * prompt.masses
    masses[rng.permutation(2 * ATOMS)[:ATOMS]] += share * phrasing(rng).masses
    return Prompt(masses)


def all_prompts(share: float) -> Drift:
    """Every prompt moves by this share of its mass."""
    return lambda rng, endpoint: tuple(moved(rng, prompt, share) for prompt in endpoint)


def one_prompt(share: float) -> Drift:
    """One prompt, any, moves by this share of its mass."""

    def drift(rng: np.random.Generator, endpoint: Endpoint) -> Endpoint:
        chosen = int(rng.integers(len(endpoint)))
        return tuple(moved(rng, p, share) if i == chosen else p for i, p in enumerate(endpoint))

    return drift


def sharpened(power: float) -> Drift:
    """Likely answers become likelier, as at a lower temperature: every mass to this power."""

    def sharpen(prompt: Prompt) -> Prompt:
        raised = prompt.masses**power
        return Prompt(raised / raised.sum() * (1 - 1e-9))

    return lambda _, endpoint: tuple(sharpen(prompt) for prompt in endpoint)


class Scenario(StrEnum):
    """Who serves the runs of an endpoint that does not change."""

    IID = "iid"
    """One backend."""
    MIX = "mix"
    """Each run draws one of two: exchangeable, though the answers of a run hang together."""
    DIURNAL = "diurnal"
    """The same, and how often the second is drawn follows the time of day."""
    STICKY = "sticky"
    """One of two serves some hours, then the other: a Markov chain."""


def draw_backends(
    rng: np.random.Generator, scenario: Scenario, runs: int, runs_an_hour: float = 1
) -> Answers:
    """Which backend, 0 or 1, serves each of ``runs`` runs; the first is at a random time of the day."""
    if scenario is Scenario.IID:
        return np.zeros(runs, dtype=np.int64)
    if scenario is Scenario.STICKY:
        changes = rng.random(runs) < 1 / (KEPT_HOURS * runs_an_hour)
        return np.asarray((rng.integers(2) + np.cumsum(changes)) % 2, dtype=np.int64)
    share = np.full(runs, SECOND_SHARE)
    if scenario is Scenario.DIURNAL:
        phase = (rng.random() + np.arange(runs) / (DAY_HOURS * runs_an_hour)) * 2 * np.pi
        share = 0.5 + DAILY_SWING * np.sin(phase)
    return np.asarray(rng.random(runs) < share, dtype=np.int64)


def draw_scenario(
    rng: np.random.Generator,
    scenario: Scenario,
    baseline_runs: int,
    later_runs: int,
    drift: Drift | None = None,
    drift_after: int = 0,
    samples: int = SAMPLES,
    runs_an_hour: float = 1,
) -> tuple[Answers, Answers]:
    """The answers of an endpoint's baseline runs, and of the later runs, which follow without a gap.

    Whoever serves the last baseline run, and its time of day, go on into the later runs. The ``drift`` comes after so
    many later runs, in both backends alike.
    """
    first = draw_endpoint(rng)
    backends = (first,) if scenario is Scenario.IID else (first, all_prompts(BACKEND_SHIFT)(rng, first))
    served_by = draw_backends(rng, scenario, baseline_runs + later_runs, runs_an_hour)
    if drift is None:
        answers = serve(rng, backends, served_by, samples)
        return answers[:baseline_runs], answers[baseline_runs:]
    before = baseline_runs + drift_after
    # The same seed for each backend: the same prompts move, to the same new answers.
    seed = int(rng.integers(1 << 62))
    drifted = tuple(drift(np.random.default_rng(seed), backend) for backend in backends)
    answers = np.concatenate(
        [
            serve(rng, backends, served_by[:before], samples),
            serve(rng, drifted, served_by[before:], samples),
        ]
    )
    return answers[:baseline_runs], answers[baseline_runs:]


def serve(
    rng: np.random.Generator, backends: tuple[Endpoint, ...], served_by: Answers, samples: int = SAMPLES
) -> Answers:
    """The answers of runs that these backends serve, each run by the one of its number."""
    answers = np.empty((len(served_by), PROMPTS, samples), dtype=np.int64)
    for number, backend in enumerate(backends):
        own = served_by == number
        answers[own] = draw_runs(rng, backend, int(own.sum()), samples)
    return answers
