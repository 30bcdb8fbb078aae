"""Simulated endpoints: answers to 25 prompts, run after run, whose distribution can be made to drift.

An answer is a number. Ten prompts are nearly deterministic with a heavy tail, like labels and short facts;
fifteen follow a Pitman-Yor process, like phrasings: some common answers, and always another one that was
never seen.
"""

from collections.abc import Callable
from dataclasses import dataclass

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


def draw_runs(rng: np.random.Generator, endpoint: Endpoint, runs: int) -> Answers:
    """Independent runs of an endpoint that does not change."""
    # Numbers for new answers start at a random place, so that two calls do not draw the same ones.
    first_new = int(rng.integers(1 << 32, 1 << 62))
    columns = [prompt.draw(rng, runs * SAMPLES, first_new).reshape(runs, SAMPLES) for prompt in endpoint]
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
