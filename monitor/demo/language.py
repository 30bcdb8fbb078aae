"""A language model small enough to read: all its answers to a prompt, each with a weight.

It speaks token by token like a large one. The probability of a token is the share of the answers that still
fit what was said so far, so sampling, temperature and log-probabilities are exact.
"""

import math
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")
_END = ""
_GREEDY_BELOW = 0.01
"""A temperature below this takes the likeliest answer: dividing by it would overflow."""


@dataclass(frozen=True, slots=True)
class SpokenToken:
    """One token as it was sampled, and the likeliest ones it was sampled from."""

    text: str
    logprob: float
    likeliest: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer. ``was_cut`` when there was more to say than the tokens allowed."""

    tokens: tuple[SpokenToken, ...]
    was_cut: bool

    @property
    def text(self) -> str:
        """The answer as one text."""
        return "".join(token.text for token in self.tokens)


def tokens_of(text: str) -> tuple[str, ...]:
    """The words and marks of a text, each with the white space before it; joined they are the text again."""
    return tuple(_TOKEN.findall(text))


def phrases(*slots: str | Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Every sentence that picks one of each slot's wordings, with the product of their weights."""
    choices = [[(slot, 1.0)] if isinstance(slot, str) else list(slot.items()) for slot in slots]
    return tuple(
        ("".join(text for text, _ in picked), math.prod(weight for _, weight in picked))
        for picked in product(*choices)
    )


class Language:
    """What can be said to one prompt."""

    def __init__(self, answers: Sequence[tuple[str, float]]) -> None:
        self._answers = tuple((tokens_of(text), weight) for text, weight in answers)

    def speak(self, rng: random.Random, temperature: float, max_tokens: int, likeliest: int = 0) -> Spoken:
        """One answer, drawn token by token, with the ``likeliest`` tokens at each place."""
        fitting = list(self._answers) if temperature >= _GREEDY_BELOW else [max(self._answers, key=_weight)]
        power = 1 / max(temperature, _GREEDY_BELOW)
        heaviest = max(map(_weight, fitting))
        said: list[SpokenToken] = []
        while len(said) < max_tokens:
            odds = _next_tokens(fitting, len(said), power, heaviest)
            token = rng.choices(list(odds), weights=list(odds.values()))[0]
            if token == _END:
                return Spoken(tuple(said), was_cut=False)
            fitting = [answer for answer in fitting if _token_at(answer, len(said)) == token]
            ranked = sorted(odds.items(), key=lambda item: -item[1])[:likeliest]
            said.append(
                SpokenToken(token, math.log(odds[token]), tuple((text, math.log(p)) for text, p in ranked))
            )
        is_complete = any(_token_at(answer, len(said)) == _END for answer in fitting)
        return Spoken(tuple(said), was_cut=not is_complete)


def _weight(answer: tuple[tuple[str, ...], float]) -> float:
    return answer[1]


def _token_at(answer: tuple[tuple[str, ...], float], place: int) -> str:
    tokens, _ = answer
    return tokens[place] if place < len(tokens) else _END


def _next_tokens(
    fitting: Sequence[tuple[tuple[str, ...], float]], place: int, power: float, heaviest: float
) -> dict[str, float]:
    """The probability of each token that may come next."""
    odds: defaultdict[str, float] = defaultdict(float)
    for answer in fitting:
        odds[_token_at(answer, place)] += (_weight(answer) / heaviest) ** power
    total = sum(odds.values())
    return {token: weight / total for token, weight in odds.items() if weight > 0}
