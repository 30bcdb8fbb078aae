"""What a run of canaries cost, by list price."""

from urllib.parse import urlsplit

from canaries.completion import Completion, Run
from canaries.config import TargetConfig

from .traffic.calls import Call, CostBasis, Operation
from .traffic.pricing import cost_of

_PROVIDERS = {"api.openai.com": "openai", "openrouter.ai": "openrouter", "api.groq.com": "groq"}
"""Endpoints whose provider follows from their host; of others the price list goes by the model's name alone."""


def cost_usd(run: Run, target: TargetConfig) -> float:
    """Dollars for the run's answers; those whose price is not known for sure count nothing."""
    provider = _PROVIDERS.get(urlsplit(target.base_url).hostname or "")
    total = 0.0
    for completion in run.completions:
        cost, basis = cost_of(_call(completion, provider, target.model))
        if cost is not None and basis in (CostBasis.EXACT, CostBasis.INFERRED):
            total += cost
    return total


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
        cache_write_input_tokens=None,
        output_tokens=completion.output_tokens,
        reasoning_tokens=None,
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
