"""Many requests to the different prompts among them, each with how often it came."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from .exchange import Edge, Exchange, key_of

PROMPTS_MAX = 200_000
"""The most different prompts that are looked at. Of more, a random part with all its requests is kept, and told."""

ANSWERS_MAX = 5
"""How many of the answers to one prompt are kept."""

PICTURE_BYTES_MAX = 200_000_000
"""How much of pictures is kept in all; requests with further ones are left out, and counted."""

TOO_MANY_PICTURES = f"more pictures than {PICTURE_BYTES_MAX // 1_000_000} megabytes in all"

_WHOLE = 2**32


@dataclass(slots=True)
class Prompt:
    """Requests that ask the same, but for case, white space and numbers; the first of them stands for all."""

    key: str
    first: Exchange
    requests: int = 0
    exchanges: list[Exchange] = field(default_factory=list)

    def edges(self) -> frozenset[Edge]:
        """What is special about any of its answers."""
        return frozenset().union(*(one.edges() for one in self.exchanges))


@dataclass(frozen=True, slots=True)
class Gathered:
    """The different prompts of all requests, or of ``share`` of them; why requests were ``left_out``, and how many."""

    prompts: Sequence[Prompt]
    requests: int
    share: float
    left_out: Counter[str]


class Gathering:
    """Takes requests as they come, in bounded memory."""

    def __init__(self, seed: int = 0, prompts_max: int = PROMPTS_MAX) -> None:
        """Start with none; of more than ``prompts_max`` different prompts, ``seed`` says which are kept."""
        self.left_out: Counter[str] = Counter()
        self.requests = 0
        self._seed, self._max = seed, prompts_max
        self._prompts: dict[str, Prompt] = {}
        self._below = _WHOLE
        self._picture_bytes = 0

    def leave_out(self, why: str) -> None:
        """Count a request that cannot become a canary."""
        self.left_out[why] += 1

    def take(self, exchanges: Iterable[Exchange]) -> None:
        """Take more requests."""
        for one in exchanges:
            self.requests += 1
            if size := one.picture_bytes:
                if self._picture_bytes + size > PICTURE_BYTES_MAX:
                    self.leave_out(TOO_MANY_PICTURES)
                    continue
                self._picture_bytes += size
            key = key_of(one.question)
            known = self._prompts.get(key)
            if known is None:
                if self._below < _WHOLE and self._place(key) >= self._below:
                    continue
                known = self._prompts[key] = Prompt(key, one)
                if len(self._prompts) > self._max:
                    self._keep_half()
            known.requests += 1
            if len(known.exchanges) < ANSWERS_MAX:
                known.exchanges.append(one)

    def gathered(self) -> Gathered:
        """What there is by now."""
        prompts = list(self._prompts.values())
        return Gathered(prompts, self.requests, self._below / _WHOLE, self.left_out)

    def _place(self, key: str) -> int:
        """Where the prompt stands in an order that has nothing to do with what it says."""
        return crc32(key.encode("utf-8", "surrogatepass"), self._seed)

    def _keep_half(self) -> None:
        # By the prompt and not by the request: what is kept is kept with all its requests, so its share is right.
        self._below //= 2
        self._prompts = {key: one for key, one in self._prompts.items() if self._place(key) < self._below}
