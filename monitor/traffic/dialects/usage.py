"""Counts of tokens in one meaning: all input with cached, all output with reasoning.

Providers and libraries count in two ways. Most give ``input`` with the cached tokens in it; Anthropic, Bedrock
and Langfuse give them beside it. The names of the counts tell which way it is, the total does, or the counts
themselves: more cached tokens than input tokens prove that they lie beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .documents import dig
from .values import count


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; ``None`` is not told. ``input`` includes cached and written, ``output`` reasoning."""

    input: int | None = None
    cached: int | None = None
    written: int | None = None
    output: int | None = None
    reasoning: int | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is told."""
        return (
            self.input is None
            and self.output is None
            and self.cached is None
            and self.written is None
            and self.reasoning is None
        )

    def filled_from(self, other: "Usage") -> "Usage":
        """This usage, and what it does not tell from the other, as far as the two agree."""
        if other.is_empty or (self.input is None and self.output is None):
            return other if self.is_empty else self._with(other)
        is_other_call = (
            self.input is not None and other.input is not None and _differ(self.input, other.input, other)
        )
        return self if is_other_call else self._with(other)

    def _with(self, other: "Usage") -> "Usage":
        filled = replace(
            self,
            input=other.input if self.input is None else self.input,
            cached=other.cached if self.cached is None else self.cached,
            written=other.written if self.written is None else self.written,
            output=other.output if self.output is None else self.output,
            reasoning=other.reasoning if self.reasoning is None else self.reasoning,
        )
        return complete(filled, other)


NO_USAGE = Usage()
"""Nothing is told."""


def complete(usage: Usage, other: Usage = NO_USAGE) -> Usage:
    """The usage with its parts added where they prove to lie beside the whole, by themselves or by the other."""
    beside, reasoning = _beside(usage), usage.reasoning or 0
    if not beside and not reasoning:
        return usage
    if usage.input is not None and (beside > usage.input or usage.input + beside == other.input):
        usage = replace(usage, input=usage.input + beside)
    if usage.output is not None and (reasoning > usage.output or usage.output + reasoning == other.output):
        usage = replace(usage, output=usage.output + reasoning)
    return usage


def whole(usage: Usage, total: int | None, is_cache_beside: bool) -> Usage:
    """All tokens, from counts that may leave out cached or reasoning tokens; ``total`` is the sum, if it is told."""
    beside = _beside(usage)
    rest = None
    if total is not None and usage.input is not None and usage.output is not None:
        rest = total - usage.input - usage.output
    if usage.input is not None and beside and (is_cache_beside or beside > usage.input or rest == beside):
        usage = replace(usage, input=usage.input + beside)
    reasoning = usage.reasoning or 0
    is_reasoning_beside = rest == reasoning and rest != beside
    if usage.output is not None and reasoning and (is_reasoning_beside or reasoning > usage.output):
        usage = replace(usage, output=usage.output + reasoning)
    return usage


def _differ(one: int, other: int, usage: Usage) -> bool:
    return one != other and one + (usage.cached or 0) + (usage.written or 0) != other


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one API writes its usage. ``beside``: cached and written tokens are not in the input."""

    input: str
    output: str
    cached: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    total: str = "total_tokens"
    is_cache_beside: bool = False
    is_reasoning_beside: bool = False


_FLAT_CACHED = ("cache_read_input_tokens", "cached_tokens", "cache_read_tokens", "cached_input_tokens")
_FLAT_WRITTEN = ("cache_creation_input_tokens", "cache_write_input_tokens", "cache_write_tokens")

_SHAPES = (
    _Shape(  # Cohere: what is billed counts, not what was used
        "billed_units.input_tokens", "billed_units.output_tokens"
    ),
    _Shape(  # OpenAI, Chat Completions, and all who speak like it
        "prompt_tokens",
        "completion_tokens",
        (
            "prompt_tokens_details.cached_tokens",
            *_FLAT_CACHED,
            "num_cached_tokens",
            "prompt_cache_hit_tokens",
        ),
        ("prompt_tokens_details.cache_write_tokens", *_FLAT_WRITTEN),
        ("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    ),
    _Shape(  # OpenAI, Responses; LangChain's usage_metadata
        "input_tokens",
        "output_tokens",
        (
            "input_tokens_details.cached_tokens",
            "input_token_details.cache_read",
            "input_token_details.cached_tokens",
        ),
        ("input_token_details.cache_creation", "input_tokens_details.cache_write_tokens"),
        (
            "output_tokens_details.reasoning_tokens",
            "output_token_details.reasoning",
            "output_tokens_details.thinking_tokens",
        ),
    ),
    _Shape(  # Gemini
        "promptTokenCount",
        "candidatesTokenCount",
        ("cachedContentTokenCount",),
        (),
        ("thoughtsTokenCount",),
        "totalTokenCount",
        is_reasoning_beside=True,
    ),
    _Shape(  # Gemini, as Python writes it
        "prompt_token_count",
        "candidates_token_count",
        ("cached_content_token_count",),
        (),
        ("thoughts_token_count",),
        "total_token_count",
        is_reasoning_beside=True,
    ),
    _Shape(  # Bedrock's Converse
        "inputTokens",
        "outputTokens",
        ("cacheReadInputTokens", "cacheReadInputTokenCount"),
        ("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
        (),
        "totalTokens",
        is_cache_beside=True,
    ),
    _Shape(  # JavaScript's AI SDK
        "inputTokens",
        "outputTokens",
        ("cachedInputTokens", "inputTokenDetails.cacheReadTokens"),
        ("inputTokenDetails.cacheWriteTokens",),
        ("reasoningTokens", "outputTokenDetails.reasoningTokens"),
        "totalTokens",
    ),
    _Shape("promptTokens", "completionTokens", total="totalTokens"),
)

_ANTHROPIC = _Shape(
    "input_tokens",
    "output_tokens",
    _FLAT_CACHED,
    _FLAT_WRITTEN,
    ("reasoning_tokens", "output_tokens_details.thinking_tokens"),
    is_cache_beside=True,
)
"""Anthropic's own, and flat copies of others' by libraries, which add up a total."""


def read_usage(written: object) -> Usage:
    """The tokens in a usage object, by the names in it; an empty usage when there are none."""
    if not isinstance(written, dict):
        return Usage()
    if "input" in written or "output" in written:
        return _categories(written)
    if "input_tokens" in written and any(key in written for key in (*_FLAT_CACHED, *_FLAT_WRITTEN)):
        return _in_shape(written, _ANTHROPIC)
    # Several shapes share their main names: the one that finds the most is the one it is written in.
    found = [usage for shape in _SHAPES if not (usage := _in_shape(written, shape)).is_empty]
    return max(found, key=_told, default=Usage())


def _told(usage: Usage) -> int:
    return sum(
        one is not None for one in (usage.input, usage.cached, usage.written, usage.output, usage.reasoning)
    )


def _in_shape(written: Mapping[str, object], shape: _Shape) -> Usage:
    usage = Usage(
        _at(written, shape.input),
        _first(written, shape.cached),
        _first(written, shape.written),
        _at(written, shape.output),
        _first(written, shape.reasoning),
    )
    if usage.input is None and usage.output is None:
        return Usage()
    total = _at(written, shape.total)
    is_beside = shape.is_cache_beside and not _is_sum(total, usage)
    if shape is _ANTHROPIC and total is not None:
        # Anthropic gives none: who adds one up shows by it where the cached tokens are.
        is_beside = total == (usage.input or 0) + (usage.output or 0) + _beside(usage)
    if shape.is_reasoning_beside and usage.output is not None and usage.reasoning:
        usage = replace(usage, output=usage.output + usage.reasoning)
    return whole(usage, None if shape.is_reasoning_beside else total, is_beside)


def _beside(usage: Usage) -> int:
    return (usage.cached or 0) + (usage.written or 0)


def _is_sum(total: int | None, usage: Usage) -> bool:
    """A library that adds up a total of input and output has the cached tokens in the input."""
    return total is not None and total == (usage.input or 0) + (usage.output or 0)


def _categories(written: Mapping[str, object]) -> Usage:
    """Langfuse's usage: disjoint categories, whose names begin with what they are part of, and their total."""
    numbers = {key: number for key, value in written.items() if (number := count(value)) is not None}
    inputs = {key: n for key, n in numbers.items() if key != "input" and ("input" in key or "cache" in key)}
    outputs = {key: n for key, n in numbers.items() if key.startswith("output") and key != "output"}
    base = numbers.get("input", 0) + numbers.get("output", 0)
    is_disjoint = numbers.get("total") != base or base == 0
    is_disjoint = is_disjoint or sum(inputs.values()) > numbers.get("input", 0)
    return Usage(
        _sum(numbers, "input", inputs if is_disjoint else {}),
        _part(inputs, ("read", "cached")),
        _part(inputs, ("creat", "write")),
        _sum(numbers, "output", outputs if is_disjoint or _is_more(outputs, numbers) else {}),
        _part(outputs, ("reason", "thought", "thinking")),
    )


def _is_more(outputs: Mapping[str, int], numbers: Mapping[str, int]) -> bool:
    return sum(outputs.values()) > numbers.get("output", 0)


def _sum(numbers: Mapping[str, int], name: str, parts: Mapping[str, int]) -> int | None:
    return numbers.get(name, 0) + sum(parts.values()) if name in numbers or parts else None


def _part(parts: Mapping[str, int], words: tuple[str, ...]) -> int | None:
    return next((number for key, number in parts.items() if any(word in key for word in words)), None)


def _first(written: Mapping[str, object], paths: tuple[str, ...]) -> int | None:
    return next((number for path in paths if (number := _at(written, path)) is not None), None)


def _at(written: Mapping[str, object], path: str) -> int | None:
    return count(dig(written, path.split(".")))
