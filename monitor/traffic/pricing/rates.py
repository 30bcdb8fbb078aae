"""What the tokens of a call cost, once it is known what each kind of token costs."""

from dataclasses import dataclass

from ..calls import Call, Operation


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars for a token of each kind, and for the request itself.

    ``output`` is ``None`` when no price of output is known, as with models that give none. ``reasoning`` is ``None``
    when reasoning costs what other output does.
    """

    input: float
    cached: float
    written: float
    output: float | None
    reasoning: float | None = None
    request: float = 0.0


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs. A call with more input tokens than a step's start pays the step's rates, for all of it."""

    base: Rates
    steps: tuple[tuple[int, Rates], ...] = ()


def can_be_priced(call: Call) -> bool:
    """Whether the call tells its tokens, and they do not contradict each other."""
    if call.input_tokens is None or (call.output_tokens is None and call.operation is Operation.CHAT):
        return False
    return (call.cached_input_tokens or 0) + (call.cache_write_input_tokens or 0) <= call.input_tokens


def cost(price: Price, call: Call) -> float | None:
    """What a call that can be priced costs in dollars; ``None`` when tokens of it have no price."""
    tokens = call.input_tokens or 0
    rates = price.base
    for start, beyond in price.steps:
        if tokens > start:
            rates = beyond
    cached, written = call.cached_input_tokens or 0, call.cache_write_input_tokens or 0
    asked = (tokens - cached - written) * rates.input + cached * rates.cached + written * rates.written
    output = call.output_tokens or 0
    if rates.output is None and call.operation is Operation.EMBEDDINGS:
        output = 0  # what some report as output of an embedding is nothing that anybody charges for
    given = _output_cost(rates, output, call.reasoning_tokens or 0)
    return None if given is None else asked + given + rates.request


def _output_cost(rates: Rates, output: int, reasoning: int) -> float | None:
    """What the answer costs: ``output`` includes ``reasoning``, which a few models price apart."""
    if output == 0:
        return 0.0
    if rates.output is None:
        return None
    if rates.reasoning is None:
        return output * rates.output
    return (output - reasoning) * rates.output + reasoning * rates.reasoning if reasoning <= output else None
