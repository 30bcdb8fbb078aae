"""What canaries cost: a run that was made, by the tokens it reports, and a sample that is about to be asked for."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from math import ceil
from statistics import fmean
from urllib.parse import urlsplit

from canaries.completion import Completion, Run
from canaries.config import TargetConfig
from canaries.dialects import LIMITS
from canaries.prompt import calls_text
from canaries.store import TokenMeans
from canaries.suite import Canary, Suite

from ..traffic.calls import Call, CostBasis, Operation
from ..traffic.pricing.book import cost_of

BYTES_A_TOKEN = 4
"""How many bytes of text make a token, roughly, where nobody has counted."""

TOKENS_A_MESSAGE = 4
"""What a message of a prompt takes besides its text."""

ANSWER_TOKENS = 500
"""How long an answer is taken to be, in tokens, where nothing at all is known of it."""

IMAGE_TOKENS = 1_000
"""What a picture takes, roughly, where nobody has counted: between 85 and 1,600 by model and size."""

_PROVIDERS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google",
    "openrouter.ai": "openrouter",
    "api.groq.com": "groq",
}
"""Endpoints whose provider follows from their host; of others the price list goes by the model's name alone."""


def cost_usd(run: Run, target: TargetConfig, suite: Suite) -> float | None:
    """Dollars for the run's answers; ``None`` when there are some, and the price of none of them is known for sure.

    A failed request costs what was reported of it, which is mostly nothing. An answer whose tokens nobody counted
    costs what its length suggests: an endpoint that does not count must not look free.
    """
    canaries = {canary.id: canary for canary in suite.canaries}
    counted = [_counted(one, canaries.get(one.canary)) for one in run.completions]
    costs = [_cost(one, target) for one in counted if one.input_tokens is not None]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known or not costs else None


def price_of(target: TargetConfig, suite: Suite) -> Callable[[Completion], float | None]:
    """What tells the dollars for an answer of the target to a canary of the suite, where its price is known."""
    canaries = {canary.id: canary for canary in suite.canaries}
    return lambda completion: answer_cost_usd(completion, target, canaries.get(completion.canary))


def answer_cost_usd(completion: Completion, target: TargetConfig, canary: Canary | None) -> float | None:
    """Dollars for one completion, as ``cost_usd`` counts them; ``None`` where nothing is known of its price."""
    counted = _counted(completion, canary)
    return None if counted.input_tokens is None else _cost(counted, target)


def list_cost_usd(completion: Completion) -> float | None:
    """Dollars for an answer by list price; ``None`` when its model or tokens are not known, or have no price."""
    if completion.served_model is None or completion.input_tokens is None:
        return None
    cost, basis = cost_of(_call(completion, None, completion.served_model))
    return cost if basis in (CostBasis.EXACT, CostBasis.INFERRED) else None


def sample_costs(
    suite: Suite, target: TargetConfig, means: Mapping[str, TokenMeans], now: datetime
) -> Mapping[str, float] | None:
    """Dollars for one answer to each canary; ``None`` when the price of the target's model is not known for sure.

    ``means`` are the tokens of the last runs. A canary that is not among them costs what the length of its prompt
    and the longest answer that it may get suggest.
    """
    costs: dict[str, float] = {}
    for canary in suite.canaries:
        told = means.get(canary.id, TokenMeans(None, None))
        asked = _prompt_tokens(canary) if told.input is None else told.input
        given = _longest_answer(suite, canary, target, means) if told.output is None else told.output
        cost = _cost(
            Completion(canary.id, input_tokens=ceil(asked), output_tokens=ceil(given), at=now), target
        )
        if cost is None:
            return None
        costs[canary.id] = cost
    return costs


def _longest_answer(
    suite: Suite, canary: Canary, target: TargetConfig, means: Mapping[str, TokenMeans]
) -> float:
    """How long an answer may be, in tokens; where nothing limits it, as long as those to the other canaries."""
    sent = suite.sent_parameters(canary, target.parameters)
    # Reasoning counts as answer too, so the limit is what an answer may cost, however short it looks.
    if limits := [sent[name] for name in LIMITS if isinstance(sent.get(name), int)]:
        return float(min(limits))
    return fmean([one.output for one in means.values() if one.output is not None] or [ANSWER_TOKENS])


def _prompt_tokens(canary: Canary) -> float:
    messages = (
        _text_tokens(message.content + (calls_text(message.tool_calls) if message.tool_calls else ""))
        + TOKENS_A_MESSAGE
        + IMAGE_TOKENS * len(message.images)
        for message in canary.messages
    )
    tools = (_text_tokens(one.name + one.description + json.dumps(one.parameters)) for one in canary.tools)
    return sum(messages) + sum(tools)


def _text_tokens(text: str) -> float:
    # Bytes, not letters: a letter of Chinese is about a token, and three bytes.
    return len(text.encode("utf-8", "surrogatepass")) / BYTES_A_TOKEN


def _counted(completion: Completion, canary: Canary | None) -> Completion:
    """The completion with tokens, where it is an answer and nobody counted them."""
    is_told = completion.input_tokens is not None and completion.output_tokens is not None
    if is_told or completion.text is None or canary is None:
        return completion
    return Completion(
        completion.canary,
        served_model=completion.served_model,
        input_tokens=ceil(_prompt_tokens(canary)),
        output_tokens=ceil(_text_tokens(completion.text)),
        at=completion.at,
    )


def _cost(completion: Completion, target: TargetConfig) -> float | None:
    if target.price is not None:
        tokens_in, tokens_out = completion.input_tokens or 0, completion.output_tokens or 0
        price = target.price
        return (tokens_in * price.input_usd_per_mtok + tokens_out * price.output_usd_per_mtok) / 1e6
    host = urlsplit(target.base_url).hostname or ""
    provider = "azure" if target.provider == "azure" else _PROVIDERS.get(host)
    cost, basis = cost_of(_call(completion, provider, target.model))
    return cost if basis in (CostBasis.EXACT, CostBasis.INFERRED) else None


def _call(completion: Completion, provider: str | None, model: str) -> Call:
    at = completion.at.timestamp() if completion.at else 0.0
    return Call(
        operation=Operation.CHAT,
        provider=provider,
        request_model=model,
        response_model=completion.served_model,
        response_id=None,
        input_tokens=completion.input_tokens,
        cached_input_tokens=completion.cached_input_tokens,
        cache_write_input_tokens=completion.cache_write_input_tokens,
        output_tokens=completion.output_tokens,
        reasoning_tokens=completion.reasoning_tokens,
        error=not completion.is_answered,
        error_class=None,
        http_status=None,
        finish_reason=None,
        streaming=None,
        ttft_s=completion.ttft_s,
        duration_s=completion.latency_s or 0.0,
        session_id=None,
        service_name=None,
        service_version=None,
        environment=None,
        cost_usd=None,
        cost_basis=CostBasis.UNPRICED,
        dialect="canary",
        span_ids=(),
        trace_id="",
        started_at=at,
        ended_at=at + (completion.latency_s or 0.0),
    )
