"""What a bench asks, in which order and when."""

import json
import random
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b

from ..config import TargetConfig
from ..suite import Canary, Expectations, Suite

REQUESTS_MAX = 100_000
"""The most requests to one target: what is measured of them is held in memory."""

LONG_TOKENS_MAX = 1_000_000
"""The longest prompt that is made."""

LONG_EVERY = 5
"""One long prompt comes with so many usual ones."""

LONG_MIN = 5
"""The fewest long prompts of a bench: of fewer not even a median is worth telling."""

LONG_PREFIX = "long-"
"""How the canary of the long prompts is called, with its tokens behind."""

WARM_UP = "warm-up"
"""The round of requests that are made and not counted."""

CHARS_A_TOKEN = 4
"""How many characters make a token, roughly; the endpoint's own count is reported beside."""

_FILLER = (
    "the parcel left the depot in the morning and was scanned twice",
    "a customer asked for an invoice with another address on it",
    "stock of the blue chairs is low and the next delivery is late",
    "the driver could not find the entrance and called the office",
    "two orders were merged because they went to the same street",
    "payment was confirmed and the receipt was sent by mail",
    "the return was accepted although the box had been opened",
    "a voucher had expired and the agent issued a new one",
)


@dataclass(frozen=True, slots=True)
class Load:
    """How hard each target is asked.

    At most ``concurrency`` requests are under way at a time. With a ``rate`` they are due at fixed times, so many a
    second, whatever the answers take; without one each follows an answer.
    """

    requests: int = 100
    concurrency: int = 8
    rate: float | None = None
    warm_up: int = 8
    long_tokens: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. ``round`` is the pass over the suite, ``due_s`` counts from the start and is set with a rate."""

    target: str
    canary: Canary
    sample: int
    round: str
    due_s: float | None = None

    @property
    def is_warm_up(self) -> bool:
        """Whether it is not counted."""
        return self.round == WARM_UP

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it from all others that are counted."""
        return self.target, self.canary.id, self.sample


def plan(suite: Suite, targets: Sequence[str], load: Load) -> dict[str, tuple[Ask, ...]]:
    """The requests to each target, warm-up first, in the order of asking.

    All targets get the same prompts in the same order, which the seed decides: round after round through the suite,
    each in an order of its own. With a rate one request to each target is due in every slot, in an order drawn anew.
    """
    rng = random.Random(load.seed)  # noqa: S311 - an order of requests, not a secret
    warm = [(WARM_UP, canary, index) for index, canary in enumerate(_cycle(suite, load.warm_up))]
    counted = list(_rounds(suite, load.requests, rng))
    if load.long_tokens is not None:
        for number, canary in enumerate(long_canaries(suite, load)):
            counted.insert(rng.randint(0, len(counted)), (f"{LONG_PREFIX}{number}", canary, number))
    places = [rng.sample(range(len(targets)), len(targets)) for _ in counted]
    return {
        target: (
            *(Ask(target, canary, sample, round_) for round_, canary, sample in warm),
            *(
                Ask(target, canary, sample, round_, _due_s(load, slot, places[slot][number], len(targets)))
                for slot, (round_, canary, sample) in enumerate(counted)
            ),
        )
        for number, target in enumerate(targets)
    }


def what_is_left(
    planned: Mapping[str, Sequence[Ask]], done: Container[tuple[str, str, int]]
) -> dict[str, tuple[Ask, ...]]:
    """The requests that are not ``done`` yet, with a warm-up where there are any; the first of them is due at once."""
    left = {
        name: [one for one in ones if one.key not in done or one.is_warm_up] for name, ones in planned.items()
    }
    left = {name: ones if any(not one.is_warm_up for one in ones) else [] for name, ones in left.items()}
    first_s = min((one.due_s for ones in left.values() for one in ones if one.due_s is not None), default=0.0)
    return {
        name: tuple(one if one.due_s is None else replace(one, due_s=one.due_s - first_s) for one in ones)
        for name, ones in left.items()
    }


def long_canaries(suite: Suite, load: Load) -> tuple[Canary, ...]:
    """The long prompts of a bench: the suite's first canary after some pages of text, each time other ones.

    Other ones from the first line on, as an endpoint that keeps the beginning of known prompts would answer a second
    one sooner than any real one.
    """
    if load.long_tokens is None:
        return ()
    count = max(LONG_MIN, load.requests // LONG_EVERY)
    return tuple(
        _lengthened(suite.canaries[0], load.long_tokens, f"{load.seed}/{number}") for number in range(count)
    )


def identity(suite: Suite, targets: Mapping[str, TargetConfig], load: Load) -> str:
    """The same for benches whose figures may be put together: only the number of requests may differ."""
    asked = {
        "canaries": [asdict(replace(canary, expectations=Expectations())) for canary in suite.canaries],
        "parameters": suite.parameters,
        "targets": {
            name: (one.base_url, one.model, one.parameters, one.stream, one.logprobs, one.fresh_connections)
            for name, one in sorted(targets.items())
        },
        "load": asdict(replace(load, requests=0, warm_up=0)),
    }
    # Pictures are bytes, which JSON does not know.
    text = json.dumps(asked, sort_keys=True, default=bytes.hex)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _rounds(suite: Suite, requests: int, rng: random.Random) -> Iterator[tuple[str, Canary, int]]:
    for number in range(-(-requests // len(suite.canaries))):
        left = requests - number * len(suite.canaries)
        for canary in rng.sample(suite.canaries, len(suite.canaries))[:left]:
            yield str(number), canary, number


def _cycle(suite: Suite, count: int) -> Iterator[Canary]:
    for index in range(count):
        yield suite.canaries[index % len(suite.canaries)]


def _due_s(load: Load, slot: int, place: int, targets: int) -> float | None:
    return None if load.rate is None else (slot + place / targets) / load.rate


def _lengthened(canary: Canary, tokens: int, salt: str) -> Canary:
    rng = random.Random(salt)  # noqa: S311 - filler, not a secret
    lines, chars = [], 0
    while chars < tokens * CHARS_A_TOKEN:
        lines.append(f"{rng.randrange(10**6)}: {rng.choice(_FILLER)}.")
        chars += len(lines[-1]) + 1
    last = canary.messages[-1]
    # In words only: what is long here is the text.
    filled = replace(last, content="\n".join([*lines, "", last.content]), parts=())
    return replace(canary, id=f"{LONG_PREFIX}{tokens}", messages=(*canary.messages[:-1], filled))
