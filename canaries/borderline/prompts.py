"""Candidates: many short questions whose answer is a word, of kinds in which models often waver."""

import random
from collections.abc import Iterator
from itertools import combinations

CANDIDATES_MAX = 5_000
"""The most candidates of one search."""

_PAIRS = (
    ("tea", "coffee"), ("cats", "dogs"), ("summer", "winter"), ("north", "south"), ("red", "blue"), ("left", "right"),
    ("bread", "rice"), ("city", "village"), ("train", "plane"), ("book", "film"), ("morning", "evening"),
    ("gold", "silver"), ("apple", "pear"), ("lake", "sea"), ("piano", "violin"), ("chess", "poker"), ("oak", "pine"),
    ("iron", "copper"), ("milk", "water"), ("salt", "sugar"), ("square", "circle"), ("wolf", "bear"), ("ant", "bee"),
    ("rose", "lily"), ("moon", "star"), ("river", "mountain"), ("wool", "cotton"), ("ink", "pencil"),
)  # fmt: skip
_THINGS = (
    "bridge", "candle", "clock", "cloud", "desert", "doctor", "door", "engine", "farm", "feather", "forest", "garden",
    "glass", "hammer", "harbour", "island", "kitchen", "ladder", "lamp", "letter", "market", "mirror", "needle",
    "ocean",
    "paper", "pocket", "rain", "road", "rope", "sand", "school", "shadow", "ship", "shoe", "smoke", "snow", "spoon",
    "stone", "storm", "table", "teacher", "tower", "tree", "valley", "wheel", "window", "winter", "yard",
)  # fmt: skip
_OPPOSITES = (
    ("heavy", "light"), ("old", "new"), ("loud", "quiet"), ("useful", "useless"), ("soft", "hard"), ("warm", "cold"),
    ("safe", "risky"), ("simple", "complex"), ("common", "rare"), ("cheap", "dear"),
)  # fmt: skip


def candidates(count: int, seed: int = 0) -> tuple[str, ...]:
    """So many different prompts, at most ``CANDIDATES_MAX``, drawn from all kinds; the same ones for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - a choice of prompts, not a secret
    everything = [*_every_prompt()]
    return tuple(rng.sample(everything, min(count, len(everything), CANDIDATES_MAX)))


def _every_prompt() -> Iterator[str]:
    for first, second in _PAIRS:
        for one, other in ((first, second), (second, first)):
            yield f"{one} or {other}? One word."
            yield f"Pick one: {one}, {other}."
            yield f"Which is better, {one} or {other}? Answer with one word."
    for thing in _THINGS:
        yield f"One word that goes with {thing}:"
        yield f"The colour of a {thing}, in one word:"
        yield f"Is a {thing} more like a tool or a place? One word."
        for one, other in _OPPOSITES:
            yield f"{thing.capitalize()}: {one} or {other}? One word."
    for one, other in combinations(_THINGS, 2):
        yield f"{one} or {other}? One word."
        yield f"Which comes first to mind, {one} or {other}?"
    for top in range(5, 100):
        yield f"A number from 1 to {top}:"
        yield f"Is {top} a lucky number? yes or no:"
