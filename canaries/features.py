"""What a run is scored on: hashes, counts and facts of its answers, and no text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

import orjson

from .canonical import CustomScrubber, canonical, gaps, tokens
from .completion import Completion, Outcome, Run
from .refusals import is_refusal
from .suite import Canary, Expectations, Suite
from .validators import validate

FEATURES_VERSION = 2
"""Raised when the same answer would give other features: baselines of another version cannot be compared."""

ANSWER_HASH_BYTES = 16
"""Enough that two answers never share a hash by chance."""

TOKEN_HASH_BYTES = 6
"""Enough that of a hundred thousand tokens hardly two share a hash; short, as there are many of them."""

BIGRAM_HASH_BYTES = 4
"""Of a hundred thousand pairs one or two share a hash, which moves no score; there are even more pairs than tokens."""

EDGE_WORDS = 3
"""How many words at the beginning and at the end of an answer are told apart by their places."""

GAP_CHARS = 12
"""How much of the white space between two words is told apart: a blank line and an indent fit in."""

LOGPROB_MIN = -100.0
"""Servers write -9999 or minus infinity for "as good as impossible": whatever is lower counts as this."""

KNOWN_WORDS_MAX = 50_000
"""How many words of each role keep their hash in memory: some megabytes."""

KNOWN_WORD_CHARS_MAX = 64
"""Longer texts are hashed anew each time: whole answers hardly come twice, and can be megabytes long."""

KEY_BYTES_MAX = 64
"""What BLAKE2b takes as its key; a longer secret is hashed first."""


@dataclass(frozen=True, slots=True)
class AnswerFeatures:
    """What is scored of one answer. Without one (``outcome`` says why) only the first three fields are set.

    ``answer_hash``, the tokens of ``token_counts`` and ``first_top`` and the pairs of ``bigram_counts`` are keyed
    hashes: who does not hold the deployment's key cannot try out texts against them. A pair has a hash of its own,
    which does not tell its tokens; the beginning and the end of the answer make pairs too. So have the words
    that the answer begins and ends with, by their places, in ``edge_counts``. ``gap_counts`` is of the
    white space inside the answer as it is, spaces, line ends and indents, up to ``GAP_CHARS`` of each. ``length`` is
    in tokens of ``canonical.tokens``, whatever the provider counts; ``input_tokens`` and ``output_tokens`` are its
    counts. ``checks`` tells of each expectation whether the answer met it, ``refused`` whether the answer begins like
    one that declines. Times are in seconds.
    """

    canary: str
    sample: int = 0
    outcome: Outcome = Outcome.ANSWERED
    answer_hash: str = ""
    token_counts: Mapping[str, int] = field(default_factory=dict)
    bigram_counts: Mapping[str, int] = field(default_factory=dict)
    edge_counts: Mapping[str, int] = field(default_factory=dict)
    gap_counts: Mapping[str, int] = field(default_factory=dict)
    length: int = 0
    finish_reason: str | None = None
    checks: Mapping[str, bool] = field(default_factory=dict)
    first_top: tuple[tuple[str, float], ...] | None = None
    mean_logprob: float | None = None
    served_model: str | None = None
    system_fingerprint: str | None = None
    refused: bool = False
    latency_s: float | None = None
    ttft_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, be it an empty one."""
        return self.outcome is Outcome.ANSWERED

    def to_json(self) -> str:
        """The features as JSON that ``from_json`` reads back exactly."""
        return orjson.dumps(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "AnswerFeatures":
        """The features that ``to_json`` wrote."""
        fields = orjson.loads(text)
        fields["outcome"] = Outcome(fields["outcome"])
        if fields["first_top"] is not None:
            fields["first_top"] = tuple((token, logprob) for token, logprob in fields["first_top"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class RunFeatures:
    """What is scored of one run: the features of its answers, by canary and sample. ``at`` is its start, in UTC."""

    run_id: str
    answers: tuple[AnswerFeatures, ...]
    at: datetime | None = None

    @property
    def answered_share(self) -> float:
        """The share of requests that got an answer, 0 to 1; 0 for a run without requests."""
        return sum(a.is_answered for a in self.answers) / len(self.answers) if self.answers else 0.0

    def answered(self) -> dict[str, list[AnswerFeatures]]:
        """The answers of each canary that has any; failed requests are left out."""
        groups: dict[str, list[AnswerFeatures]] = {}
        for answer in self.answers:
            if answer.outcome is Outcome.ANSWERED:
                groups.setdefault(answer.canary, []).append(answer)
        return groups


def extract(run: Run, suite: Suite | None, key: bytes) -> RunFeatures:
    """The features of ``run``. Without a suite (a recorded stream) nothing is scrubbed, nothing expected.

    ``key`` is the deployment's secret: features made with different keys cannot be compared.
    """
    canaries = {canary.id: canary for canary in suite.canaries} if suite else {}
    scrub = suite.scrub if suite else ()
    hashes = _Hashes(
        _keyed(key, b"answer", ANSWER_HASH_BYTES),
        _keyed(key, b"token", TOKEN_HASH_BYTES),
        _keyed(key, b"bigram", BIGRAM_HASH_BYTES),
        _keyed(key, b"edge", BIGRAM_HASH_BYTES),
    )
    answers = [
        _features(completion, canaries.get(completion.canary), scrub, hashes)
        if completion.is_answered
        else AnswerFeatures(completion.canary, completion.sample, completion.outcome)
        for completion in run.completions
    ]
    return RunFeatures(run.id, tuple(sorted(answers, key=lambda a: (a.canary, a.sample))), run.at)


class _Hashes(NamedTuple):
    """The keyed hashes of each role."""

    answer: Mapping[str, str]
    token: Mapping[str, str]
    bigram: Mapping[str, str]
    edge: Mapping[str, str]


def _features(
    completion: Completion, canary: Canary | None, scrub: Sequence[str | CustomScrubber], hashes: _Hashes
) -> AnswerFeatures:
    raw = completion.text or ""
    text = canonical(raw, scrub)
    words = tokens(text)
    # Counted before they are hashed: a long text says the same words over and over. No two hashes are added up, as
    # hardly ever two words of one answer share one.
    counts = {hashes.token[token]: n for token, n in Counter(words).items()}
    pairs = Counter(pairwise(["", *words, ""]))
    bigrams = {hashes.bigram[f"{first}\0{second}"]: n for (first, second), n in pairs.items()}
    # Expectations are about what the application would get: the raw answer.
    expected = canary.expectations if canary else Expectations()
    checks = validate(expected, raw, completion.finish_reason, completion.tool_calls)
    logprobs = [max(LOGPROB_MIN, logprob) for logprob in completion.logprobs or ()]
    first_top = tuple(
        (hashes.token[t], max(LOGPROB_MIN, logprob)) for t, logprob in completion.first_top or ()
    )
    edges = Counter(hashes.edge[f"{place}\0{word}"] for place, word in _edges(words))
    return AnswerFeatures(
        completion.canary,
        completion.sample,
        answer_hash=hashes.answer[text],
        token_counts=dict(sorted(counts.items())),
        bigram_counts=dict(sorted(bigrams.items())),
        edge_counts=dict(sorted(edges.items())),
        gap_counts=dict(sorted(Counter(gaps(text, GAP_CHARS)).items())),
        length=len(words),
        finish_reason=completion.finish_reason,
        checks={check.name: check.passed for check in checks},
        first_top=first_top or None,
        mean_logprob=sum(logprobs) / len(logprobs) if logprobs else None,
        served_model=completion.served_model,
        system_fingerprint=completion.system_fingerprint,
        refused=is_refusal(text),
        latency_s=completion.latency_s,
        ttft_s=completion.ttft_s,
        input_tokens=completion.input_tokens,
        output_tokens=completion.output_tokens,
    )


def _edges(words: Sequence[str]) -> list[tuple[int, str]]:
    """The first and the last words with their places, counted from 1 and from -1; "" where the answer is shorter."""
    missing = [""] * EDGE_WORDS
    first, last = [*words[:EDGE_WORDS], *missing], [*words[: -EDGE_WORDS - 1 : -1], *missing]
    return [(sign * (i + 1), side[i]) for sign, side in ((1, first), (-1, last)) for i in range(EDGE_WORDS)]


class _Digests(dict[str, str]):
    """The keyed hash of any text, as the value of a mapping: answers say the same words again, run after run."""

    def __init__(self, key: bytes, purpose: bytes, size: int) -> None:
        super().__init__()
        if len(key) > KEY_BYTES_MAX:
            key = blake2b(key).digest()
        self._start = blake2b(key=key, digest_size=size, person=purpose)

    def __missing__(self, text: str) -> str:
        state = self._start.copy()
        # Lone surrogates can come out of a JSON answer; they are hashed as they are.
        state.update(text.encode("utf-8", "surrogatepass"))
        digest = state.hexdigest()
        if len(text) <= KNOWN_WORD_CHARS_MAX:
            if len(self) >= KNOWN_WORDS_MAX:
                self.clear()
            self[text] = digest
        return digest


_keyed = lru_cache(maxsize=16)(_Digests)
