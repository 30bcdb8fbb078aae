"""The tokens of a call, from the counts and the usage objects of its span."""

import re
from collections.abc import Sequence

from ..calls import Operation
from .documents import parse
from .tables import Dialect, Place
from .told import Told
from .usage import NO_USAGE, Usage, complete, read_usage, whole
from .values import count

USAGE_PREFIXES = ("gen_ai.usage.", "llm.usage.", "llm.token_count.", "ai.usage.")
"""How the attributes begin that are counts of tokens, by whatever name."""

_PART_NAMES = {
    "cached_input_tokens": re.compile(r"(?=.*cache)(?!.*(writ|creat|cost|audio)).*(read|cached|hit)"),
    "cache_write_input_tokens": re.compile(r"(?=.*cache)(?!.*(cost|ephemeral|audio)).*(writ|creat)"),
    "reasoning_tokens": re.compile(r"(?!.*cost).*(reason|thought|thinking)"),
}


def usage_of(told: Told, dialect: Dialect) -> Usage:
    """All tokens that the span tells outside of the answer itself."""
    facts = dialect.facts
    written = Usage()
    for place in facts.usage:
        written = written.filled_from(told.find("usage", (place,), _read_usage) or Usage())
    flat = Usage(
        told.find("input_tokens", facts.input, count),
        _part(told, "cached_input_tokens", facts.cached),
        _part(told, "cache_write_input_tokens", facts.written),
        told.find("output_tokens", facts.output, count),
        _part(told, "reasoning_tokens", facts.reasoning),
    )
    return settled(
        flat, told.find("total", facts.total, count), gives_cache_beside(told.span.scope, dialect), written
    )


def gives_cache_beside(scope: str, dialect: Dialect) -> bool:
    """Whether cached tokens are given beside the input tokens in spans of this scope, not in them."""
    return any(part in scope for part in dialect.scopes_with_cache_beside)


def settled(flat: Usage, total: int | None, is_cache_beside: bool, written: Usage = NO_USAGE) -> Usage:
    """All tokens, from the counts of a span and the usage object that was ``written`` in it."""
    return complete(written.filled_from(whole(flat, total, is_cache_beside)))


def _part(told: Told, fact: str, where: Sequence[Place]) -> int | None:
    """A part of the tokens: from its places, else by the words in its name, where no table knows the name."""
    found = told.find(fact, where, count)
    if found is not None:
        return found
    for key in told.span.attributes:
        if key.startswith(USAGE_PREFIXES) and _PART_NAMES[fact].match(key.lower()):
            number = count(told.span.attributes[key])
            if number is not None:
                told.sources[fact] = key
                return number
    return None


def _read_usage(raw: object) -> Usage | None:
    usage = read_usage(parse(raw))
    return None if usage.is_empty else usage


def output_tokens(operation: Operation, usage: Usage) -> int | None:
    """The output, which embeddings have none of."""
    # Some write a 0 for embeddings, which have no output to count.
    return usage.output or None if operation is Operation.EMBEDDINGS else usage.output


def cached_tokens(operation: Operation, usage: Usage) -> int | None:
    """What came from the cache, which embeddings do not go through."""
    return usage.cached or None if operation is Operation.EMBEDDINGS else usage.cached


_COUNTING_WRITES = ("anthropic", "aws.bedrock", None)


def written_tokens(provider_name: str | None, usage: Usage) -> int | None:
    """What was written to the cache, by a provider that tells it."""
    # Libraries write a 0 for providers that do not tell what they wrote to their caches.
    return usage.written if provider_name in _COUNTING_WRITES else usage.written or None


_NOT_COUNTING_REASONING = ("anthropic", "aws.bedrock")


def reasoning_tokens(provider_name: str | None, usage: Usage) -> int | None:
    """The reasoning, by a provider that counts it."""
    # Who does not count reasoning has not said that there was none.
    return usage.reasoning or None if provider_name in _NOT_COUNTING_REASONING else usage.reasoning
