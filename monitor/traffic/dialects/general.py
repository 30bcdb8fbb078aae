"""What most dialects share: OpenTelemetry's names, and the synonyms that are in use for them."""

from ..calls import Operation
from .tables import Clock, Dialect, Facts, Kinds, first_token, places

CHAT_WORDS = (
    "chat",
    "text_completion",
    "generate_content",
    "completion",
    "completions",
    "acompletion",
    "chat_completion",
    "chat_completions",
    "chat.completions",
    "message",
    "messages",
    "response",
    "responses",
    "aresponses",
    "generate",
    "generate_text",
    "generation",
    "text_generation",
    "converse",
    "converse_stream",
    "invoke_model",
    "invoke_model_with_response_stream",
    "stream_generate_content",
    "llm",
    "call_llm",
)
EMBEDDING_WORDS = ("embeddings", "embedding", "aembedding", "embed", "embed_content")

OPERATIONS = dict.fromkeys(CHAT_WORDS, Operation.CHAT)
OPERATIONS |= dict.fromkeys(EMBEDDING_WORDS, Operation.EMBEDDINGS)
"""Operations that are calls. Agents, workflows, tools and plans wrap calls and repeat their tokens."""

OPERATION_NAME = Kinds("gen_ai.operation.name", OPERATIONS)

KIND_WORDS = {"llm": Operation.CHAT, "embedding": Operation.EMBEDDINGS, "embeddings": Operation.EMBEDDINGS}

GENERAL_FACTS = Facts(
    provider=places(
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "ai.model.provider",
        "langsmith.metadata.ls_provider",
        "traceloop.association.properties.ls_provider",
        "metadata > ls_provider",
    ),
    request_model=places(
        "gen_ai.request.model",
        "llm.request.model_name",
        "llm.request.model",
        "ai.model.id",
        "llm.invocation_parameters > model",
        "llm.invocation_parameters > model_name",
        "embedding.invocation_parameters > model",
    ),
    response_model=places("gen_ai.response.model", "llm.response.model_name", "ai.response.model"),
    outcome_model=places("llm.model_name", "embedding.model_name"),
    response_id=places(
        "gen_ai.response.id", "llm.response.id", "ai.response.id", "gen_ai.response_id", "llm.response_id"
    ),
    finish_reason=places(
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "llm.finish_reason",
        "llm.response.finish_reason",
        "ai.response.finishReason",
        "gen_ai.completion.0.finish_reason",
        "llm.completions.0.finish_reason",
        "anthropic.message.stop_reason",
        "gen_ai.response.stop_reason",
        "llm.response.stop_reason",
        "@gen_ai.choice > finish_reason",
        "@gen_ai.choice > gen_ai.event.content > finish_reason",
    ),
    streaming=places(
        "gen_ai.request.stream",
        "gen_ai.is_streaming",
        "llm.is_streaming",
        "gen_ai.request.is_stream",
        "gen_ai.request.streaming",
        "llm.invocation_parameters > stream",
        "ai.request.stream",
    ),
    session=places(
        "session.id",
        "gen_ai.conversation.id",
        "traceloop.association.properties.session_id",
        "lmnr.association.properties.session_id",
        "langsmith.metadata.session_id",
        "langfuse.session.id",
        "ai.telemetry.metadata.sessionId",
        "ai.telemetry.metadata.session_id",
        "ai.settings.context.sessionId",
        "ai.settings.context.session_id",
        "metadata > session_id",
        "llm.invocation_parameters > metadata > session_id",
        "metadata.session_id",
        "gcp.vertex.agent.session_id",
    ),
    first_token=(
        *first_token(
            Clock.SECONDS,
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
        ),
        *first_token(
            Clock.MILLISECONDS, "ai.response.msToFirstChunk", "gen_ai.response.time_to_first_chunk_ms"
        ),
        *first_token(
            Clock.EITHER,
            "gen_ai.server.time_to_first_token",
            "gen_ai.response.time_to_first_token",
            "gen_ai.client.time_to_first_token",
            "gen_ai.server.ttft",
            "gen_ai.streaming.time_to_first_token",
            "llm.time_to_first_token",
        ),
        *first_token(Clock.MOMENT, "langfuse.observation.completion_start_time"),
        *first_token(
            Clock.EVENT,
            "First Token Stream Event",
            "gen_ai.content.completion.chunk",
            "llm.content.completion.chunk",
            "gen_ai.first_token",
            "first_token",
            "ai.stream.firstChunk",
        ),
    ),
    input=places(
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "llm.usage.input_tokens",
        "gen_ai.response.input_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    cached=places(
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
        "ai.usage.inputTokenDetails.cacheReadTokens",
    ),
    written=places(
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    output=places(
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "llm.usage.output_tokens",
        "gen_ai.response.output_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    reasoning=places(
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
    ),
    total=places(
        "gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens"
    ),
    usage=places("gen_ai.usage.raw"),
    answers=places("gen_ai.output.messages", "output.value", "gen_ai.completion", "traceloop.entity.output"),
    error_types=places("error.type", "exception.type", "error.code", "gen_ai.error.type"),
    error_messages=places("error.message", "exception.message", "gen_ai.error.message", "error"),
)
"""Names do not clash between dialects, so that each reads what the others write, after its own."""

GENERAL = Dialect(
    "general",
    kinds=(
        Kinds("openinference.span.kind", KIND_WORDS, is_final=False),
        Kinds("traceloop.span.kind", KIND_WORDS),
        Kinds(
            "lmnr.span.type",
            {"llm": Operation.CHAT},
            is_final=False,
            containers=frozenset({"tool", "executor", "evaluator", "cached", "pipeline"}),
        ),
        OPERATION_NAME,
        Kinds("llm.request.type", OPERATIONS),
    ),
    facts=GENERAL_FACTS,
    concludes=True,
    scopes_with_cache_beside=("bedrock",),
)
"""Spans with ``gen_ai.*`` or ``llm.*`` attributes that no other dialect claims."""
