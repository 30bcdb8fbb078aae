"""Each dialect's spans, read for what they say; and what wraps calls, left alone."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from exported_spans import START_NS, span_of

from monitor.traffic import calls, dialects
from monitor.traffic.calls import Call
from monitor.traffic.dialects import DIALECTS, NoCall


@dataclass(frozen=True)
class Case:
    """A span, and what is to be read from it."""

    attributes: dict[str, Any]
    want: dict[str, Any]
    span: dict[str, Any] = field(default_factory=dict)


def iso(after_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(START_NS / 1e9 + after_s, UTC).isoformat()


CASES = {
    "otel today": Case(
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.response.model": "gemini-2.5-flash",
            "gen_ai.usage.input_tokens": 70,
            "gen_ai.usage.output_tokens": 44,
            "gen_ai.usage.reasoning.output_tokens": 30,
            "gen_ai.response.finish_reasons": ["FinishReason.STOP"],
            "gen_ai.request.stream": True,
            "gen_ai.response.time_to_first_chunk": 0.25,
        },
        {"dialect": "otel_genai", "input_tokens": 70, "output_tokens": 44, "reasoning_tokens": 30,
         "finish_reason": "stop", "streaming": True, "ttft_s": 0.25, "provider": "gcp.gemini"},
    ),
    "otel of the first hour": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 8,
         "gen_ai.usage.completion_tokens": 3},
        {"dialect": "otel_genai_old", "input_tokens": 8, "output_tokens": 3},
    ),
    "openinference, answer in the output": Case(
        {
            "openinference.span.kind": "LLM",
            "llm.system": "openai",
            "llm.model_name": "gpt-4.1-2025-04-14",
            "llm.invocation_parameters": json.dumps({"model": "gpt-4.1", "stream": False}),
            "llm.token_count.prompt": 50,
            "llm.token_count.completion": 9,
            "llm.token_count.prompt_details.cache_read": 40,
            "output.value": json.dumps(
                {"id": "chatcmpl-f00dfeed00112233", "model": "gpt-4.1-2025-04-14",
                 "choices": [{"finish_reason": "length", "message": {"id": "x"}}]}
            ),
        },
        {"response_id": "chatcmpl-f00dfeed00112233", "finish_reason": "length", "streaming": False,
         "request_model": "gpt-4.1", "response_model": "gpt-4.1-2025-04-14", "input_tokens": 50,
         "cached_input_tokens": 40, "provider": "openai"},
    ),
    "openinference, langchain's message in the output": Case(
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "metadata": json.dumps({"ls_model_name": "gpt-4.1", "session_id": "s-9"}),
            "output.value": json.dumps({"generations": [[{"generation_info": {"finish_reason": "tool_calls"},
                "message": {"kwargs": {"id": "lc_run--1", "response_metadata": {
                    "id": "chatcmpl-0123456789abcdef", "model_name": "gpt-4.1-2025-04-14",
                    "token_usage": {"prompt_tokens": 5, "completion_tokens": 6}}}}}]]}),
        },
        {"response_id": "chatcmpl-0123456789abcdef", "finish_reason": "tool_calls", "input_tokens": 5,
         "output_tokens": 6, "response_model": "gpt-4.1-2025-04-14", "request_model": "gpt-4.1",
         "session_id": "s-9"},
    ),
    "openinference, an alias that is not known to be the answer's model": Case(
        {"openinference.span.kind": "LLM", "llm.system": "openai", "llm.model_name": "gpt-4.1",
         "llm.invocation_parameters": '{"model": "gpt-4.1", "stream": true}'},
        {"request_model": "gpt-4.1", "response_model": None, "streaming": True},
    ),
    "openinference embeddings": Case(
        {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "embed-v4", "llm.token_count.prompt": 12},
        {"operation": "embeddings", "response_model": "embed-v4", "request_model": "embed-v4",
         "input_tokens": 12, "output_tokens": None},
    ),
    "openllmetry, first chunk event": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "OpenAI", "gen_ai.is_streaming": True,
         "gen_ai.usage.input_tokens": 4, "gen_ai.usage.reasoning_tokens": 7, "gen_ai.usage.output_tokens": 9},
        {"dialect": "openllmetry", "provider": "openai", "ttft_s": 0.4, "streaming": True, "reasoning_tokens": 7},
        {"events": [("gen_ai.content.completion.chunk", 0.4, {}), ("gen_ai.content.completion.chunk", 0.9, {})]},
    ),
    "openllmetry of old": Case(
        {"llm.request.type": "chat", "gen_ai.system": "MistralAI", "gen_ai.request.model": "mistral-small",
         "gen_ai.usage.prompt_tokens": 4, "gen_ai.usage.completion_tokens": 5, "llm.usage.total_tokens": 9,
         "gen_ai.completion.0.finish_reason": "stop", "llm.is_streaming": "False"},
        {"dialect": "openllmetry_old", "provider": "mistral_ai", "input_tokens": 4, "output_tokens": 5,
         "finish_reason": "stop", "streaming": False},
    ),
    "openllmetry for node, cached beside": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.usage.input_tokens": 100,
         "gen_ai.usage.cache_read.input_tokens": 30, "gen_ai.usage.cache_creation.input_tokens": 20},
        {"input_tokens": 150, "cached_input_tokens": 30, "cache_write_input_tokens": 20},
        {"scope": "@traceloop/instrumentation-anthropic"},
    ),
    "openinference for bedrock, cached included": Case(
        {"openinference.span.kind": "LLM", "llm.token_count.prompt": 100,
         "llm.token_count.prompt_details.cache_read": 30},
        {"input_tokens": 100, "cached_input_tokens": 30},
        {"scope": "openinference.instrumentation.bedrock"},
    ),
    "vercel, a stream in milliseconds": Case(
        {"ai.operationId": "ai.streamText.doStream", "ai.model.provider": "amazon-bedrock", "ai.model.id": "nova",
         "ai.usage.inputTokens": 6, "gen_ai.usage.input_tokens": 6, "ai.usage.outputTokens": 7,
         "ai.usage.cachedInputTokens": 2, "ai.response.msToFirstChunk": 350.5,
         "ai.response.finishReason": "content-filter", "ai.telemetry.metadata.sessionId": "s1"},
        {"dialect": "vercel_ai", "provider": "aws.bedrock", "input_tokens": 6, "output_tokens": 7,
         "cached_input_tokens": 2, "ttft_s": 0.3505, "streaming": True, "finish_reason": "content_filter",
         "session_id": "s1", "request_model": "nova"},
    ),
    "vercel embeddings": Case(
        {"ai.operationId": "ai.embedMany.doEmbed", "ai.model.provider": "openai.embedding", "ai.usage.tokens": 31},
        {"operation": "embeddings", "provider": "openai", "input_tokens": 31},
    ),
    "langfuse, disjoint categories": Case(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-5-mini-2025-08-07",
            "langfuse.observation.usage_details": json.dumps(
                {"input": 20, "input_cache_read": 80, "output": 5, "output_reasoning": 802, "total": 907}
            ),
            "langfuse.observation.completion_start_time": json.dumps(iso(0.5)),
            "langfuse.observation.metadata.ls_provider": "openai",
            "langfuse.environment": "blue",
        },
        {"input_tokens": 100, "cached_input_tokens": 80, "output_tokens": 807, "reasoning_tokens": 802,
         "response_model": "gpt-5-mini-2025-08-07", "provider": "openai", "streaming": True,
         "environment": "staging"},
    ),
    "langfuse for javascript": Case(
        {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-5-mini",
         "langfuse.observation.usage_details":
             '{"input": 3, "input_cached_tokens": 7, "output": 5, "output_reasoning_tokens": 802}'},
        {"input_tokens": 10, "cached_input_tokens": 7, "output_tokens": 807, "reasoning_tokens": 802},
    ),
    "langfuse, a failure that only the level tells": Case(
        {"langfuse.observation.type": "generation", "langfuse.observation.level": "ERROR",
         "langfuse.observation.status_message": "Error: 429 slow down, too many requests",
         "langfuse.observation.model.name": "gpt-4.1"},
        {"error": True, "error_class": "rate_limit", "http_status": 429, "request_model": "gpt-4.1",
         "response_model": None},
    ),
    "langfuse, the answer spread over its metadata": Case(
        {"langfuse.observation.type": "generation", "langfuse.observation.metadata.object": '"response"',
         "langfuse.observation.metadata.id": '"resp_00112233445566778899"',
         "langfuse.observation.metadata.status": '"incomplete"',
         "langfuse.observation.metadata.incomplete_details": '{"reason": "max_output_tokens"}'},
        {"response_id": "resp_00112233445566778899", "finish_reason": "length"},
    ),
    "langsmith": Case(
        {"langsmith.span.kind": "llm", "gen_ai.operation.name": "chat", "gen_ai.system": "anthropic",
         "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 8, "langsmith.metadata.session_id": "t-1",
         "langsmith.metadata.usage_metadata":
             '{"input_tokens": 9, "output_tokens": 8, "input_token_details": {"cache_read": 4}}'},
        {"dialect": "langsmith", "cached_input_tokens": 4, "input_tokens": 9, "session_id": "t-1"},
    ),
    "langsmith, a stream that says it was none": Case(
        {"langsmith.span.kind": "llm", "langsmith.metadata.stream": False, "gen_ai.completion": json.dumps(
            {"generations": [[{"type": "ChatGenerationChunk", "generation_info": {"finish_reason": "stop"}}]]})},
        {"streaming": True, "finish_reason": "stop"},
    ),
    "langsmith, an exception on a span without an error": Case(
        {"langsmith.span.kind": "llm", "gen_ai.request.model": "gpt-4.1"},
        {"error": True, "error_class": "rate_limit", "http_status": 429},
        {"raised": ("Exception", "RateLimitError(\"Error code: 429 - slow down\")")},
    ),
    "mlflow, all values quoted": Case(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "model": '"gpt-4.1"',
            "stream": "true",
            "mlflow.llm.model": '"gpt-4.1-2025-04-14"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 9, "output_tokens": 8, "total_tokens": 17, '
            '"cache_read_input_tokens": 4}',
            "mlflow.spanOutputs": '{"id": "chatcmpl-00000000000000aa", "model": "gpt-4.1-2025-04-14", "usage": '
            '{"prompt_tokens": 9, "completion_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 2}}}',
        },
        {"request_model": "gpt-4.1", "response_model": "gpt-4.1-2025-04-14", "streaming": True, "ttft_s": 0.3,
         "input_tokens": 9, "cached_input_tokens": 4, "reasoning_tokens": 2,
         "response_id": "chatcmpl-00000000000000aa"},
        {"events": [("mlflow.chunk.item.0", 0.3, {"mlflow.chunk.value": "{}"})]},
    ),
    "litellm, usage as a python literal": Case(
        {"gen_ai.operation.name": "acompletion", "gen_ai.system": "anthropic", "litellm.call_id": "u-1",
         "gen_ai.response.id": "u-1", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 8,
         "gen_ai.response.finish_reasons": '["tool_calls"]', "llm.is_streaming": "True",
         "metadata.usage_object": "{'prompt_tokens': 9, 'completion_tokens': 8, 'prompt_tokens_details': "
         "{'cached_tokens': 5, 'audio_tokens': None}, 'completion_tokens_details': {'reasoning_tokens': 0}}"},
        {"response_id": None, "cached_input_tokens": 5, "reasoning_tokens": None, "finish_reason": "tool_calls",
         "streaming": True, "input_tokens": 9},
    ),
    "litellm embeddings, the provider before the model": Case(
        {"gen_ai.operation.name": "embedding", "gen_ai.system": "", "litellm.provider.model": "cohere/embed-v4",
         "gen_ai.request.model": "embed-v4", "gen_ai.usage.input_tokens": 4, "gen_ai.usage.output_tokens": 0},
        {"operation": "embeddings", "provider": "cohere", "output_tokens": None},
    ),
    "strands, milliseconds and both cache keys": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "strands-agents", "gen_ai.usage.prompt_tokens": 9,
         "gen_ai.usage.input_tokens": 9, "gen_ai.usage.cache_read.input_tokens": 5,
         "gen_ai.usage.cache_read_input_tokens": 5, "gen_ai.server.time_to_first_token": 2},
        {"provider": None, "input_tokens": 9, "cached_input_tokens": 5, "ttft_s": 0.002, "streaming": True,
         "finish_reason": "tool_calls"},
        {"scope": "strands.telemetry.tracer", "events": [("gen_ai.choice", 1.9, {"finish_reason": "tool_use"})]},
    ),
    "openlit, seconds under the same key": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.request.is_stream": True,
         "gen_ai.server.time_to_first_token": 1.5, "gen_ai.usage.cost": 0},
        {"dialect": "openlit", "ttft_s": 1.5, "streaming": True, "cost_usd": None},
    ),
    "openlit, a first token of what was no stream": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.request.is_stream": False,
         "gen_ai.server.time_to_first_token": 2.0},
        {"ttft_s": None, "streaming": False},
    ),
    "an unknown library's first token in milliseconds": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.server.time_to_first_token": 420}, {"ttft_s": 0.42}
    ),
    "an unknown library's first token in seconds": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.server.time_to_first_token": 0.42}, {"ttft_s": 0.42}
    ),
    "microsoft's agent framework": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "microsoft.agent_framework",
         "gen_ai.response.finish_reasons": '["stop"]', "gen_ai.conversation.id": "c-3"},
        {"provider": None, "finish_reason": "stop", "session_id": "c-3"},
    ),
    "google's agent development kit": Case(
        {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.5-flash",
         "gcp.vertex.agent.session_id": "s-2", "gen_ai.usage.input_tokens": 70, "gen_ai.usage.output_tokens": 4,
         "gcp.vertex.agent.llm_response": json.dumps({"model_version": "gemini-2.5-flash-001",
             "finish_reason": "MAX_TOKENS", "usage_metadata": {"prompt_token_count": 70,
             "candidates_token_count": 4, "thoughts_token_count": 90, "cached_content_token_count": 60}})},
        {"operation": "chat", "provider": None, "input_tokens": 70, "cached_input_tokens": 60, "output_tokens": 94,
         "reasoning_tokens": 90, "finish_reason": "length", "session_id": "s-2",
         "response_model": "gemini-2.5-flash-001"},
        {"name": "call_llm", "scope": "gcp.vertex.agent"},
    ),
    "haystack's own tracing": Case(
        {"haystack.component.type": "OpenAIChatGenerator", "haystack.component.name": "llm",
         "haystack.component.output": json.dumps({"replies": [{"role": "assistant", "meta": {
             "model": "gpt-4.1-2025-04-14", "finish_reason": "stop",
             "usage": {"prompt_tokens": 3, "completion_tokens": 2}}}]})},
        {"response_model": "gpt-4.1-2025-04-14", "finish_reason": "stop", "input_tokens": 3, "output_tokens": 2},
    ),
    "laminar": Case(
        {"lmnr.span.type": "LLM", "gen_ai.system": "Cohere", "gen_ai.request.model": "command-a",
         "gen_ai.usage.input_tokens": 3, "gen_ai.usage.cache_read_input_tokens": 1,
         "lmnr.association.properties.session_id": "s-4"},
        {"provider": "cohere", "cached_input_tokens": 1, "session_id": "s-4"},
    ),
    "mistral's own sdk, which names no operation": Case(
        {"gen_ai.request.model": "mistral-small", "gen_ai.response.model": "mistral-small-2506",
         "gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 2,
         "http.url": "https://api.mistral.ai/v1/chat/completions"},
        {"dialect": "mistral_sdk", "provider": "mistral_ai", "operation": "chat", "input_tokens": 3},
        {"scope": "mistralai_sdk_tracer", "name": "chat_completion_v1_chat_completions_post"},
    ),
    "mistral's own sdk, a stream without an outcome": Case(
        {"gen_ai.request.model": "mistral-small", "http.url": "https://api.mistral.ai/v1/chat/completions"},
        {"operation": "chat", "provider": "mistral_ai", "input_tokens": None},
        {"scope": "mistralai_sdk_tracer", "name": "stream_chat"},
    ),
    "an unknown library that names no operation, embedding": Case(
        {"gen_ai.request.model": "embed-v4", "gen_ai.usage.input_tokens": 3},
        {"dialect": "general", "operation": "embeddings"},
        {"name": "acme.embed"},
    ),
    "an unknown library's names for the parts": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 8,
         "gen_ai.usage.details.cached_tokens": 4, "gen_ai.usage.cache_creation_tokens": 2,
         "gen_ai.usage.thinking_tokens": 1, "gen_ai.usage.cache_read_cost": 5},
        {"cached_input_tokens": 4, "cache_write_input_tokens": 2, "reasoning_tokens": 1, "input_tokens": 9},
    ),
    "a total that has the reasoning on top": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 40,
         "gen_ai.usage.reasoning_tokens": 30, "gen_ai.usage.total_tokens": 120},
        {"output_tokens": 70, "reasoning_tokens": 30, "input_tokens": 50},
    ),
    "a total that has the cached tokens on top": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 40,
         "gen_ai.usage.cache_read.input_tokens": 30, "gen_ai.usage.total_tokens": 120},
        {"input_tokens": 80, "cached_input_tokens": 30, "output_tokens": 40},
    ),
    "an agent library that calls a cut answer an error": Case(
        {"openinference.span.kind": "LLM", "llm.token_count.completion": 64, "output.value": json.dumps(
            {"object": "response", "status": "incomplete", "output": [],
             "incomplete_details": {"reason": "max_output_tokens"}})},
        {"error": False, "error_class": None, "finish_reason": "length"},
        {"error": "Response incomplete"},
    ),
    "the id of a message is not that of the answer": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "id": "msg-of-the-library-00001", "finish_reason": "tool_call",
              "parts": [{"type": "tool_call", "id": "call_00000000000000001", "name": "f"}]}])},
        {"response_id": None, "finish_reason": "tool_calls"},
    ),
    "a stream that began and did not end": Case(
        {"langfuse.observation.type": "generation", "langfuse.observation.output": "Your parcel left the",
         "langfuse.observation.completion_start_time": json.dumps(iso(0.5))},
        {"error": True, "error_class": "connection", "http_status": None, "streaming": True},
    ),
    "a stream without counts that ended": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.is_streaming": True,
         "gen_ai.response.finish_reasons": ["stop"]},
        {"error": False, "error_class": None},
        {"events": [("gen_ai.content.completion.chunk", 0.4, {})]},
    ),
    "langfuse's parameters of the request": Case(
        {"langfuse.observation.type": "generation",
         "langfuse.observation.model.parameters": '{"stream": true, "max_tokens": "Infinity"}'},
        {"streaming": True, "error": False},
    ),
    "a call that its name alone tells": Case(
        {},
        {"dialect": "openlit", "operation": "chat", "request_model": "gpt-4.1", "error_class": "rate_limit"},
        {"name": "chat gpt-4.1", "scope": "openlit.instrumentation.openai", "error": "RateLimitError: slow down"},
    ),
    "an embedding that its name alone tells": Case(
        {},
        {"operation": "embeddings", "request_model": "nomic-embed-text", "provider": "ollama", "http_status": 429},
        {"name": "embeddings nomic-embed-text", "scope": "openlit.instrumentation.ollama",
         "error": "ResponseError: Rate limit reached (status code: 429)"},
    ),
    "a completion of a model that only embeds": Case(
        {"gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "aws.bedrock",
         "gen_ai.request.model": "amazon.titan-embed-text-v2:0", "gen_ai.usage.input_tokens": 5,
         "gen_ai.usage.output_tokens": 0},
        {"operation": "embeddings", "input_tokens": 5, "output_tokens": None},
    ),
    "one name for the model, undated: the one that was asked for": Case(
        {"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4.1-mini"},
        {"request_model": "gpt-4.1-mini", "response_model": None},
    ),
    "one name for the model, dated: the one that answered": Case(
        {"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4.1-2025-04-14"},
        {"request_model": None, "response_model": "gpt-4.1-2025-04-14"},
    ),
    "one name for the model, of a provider without aliases": Case(
        {"openinference.span.kind": "LLM", "llm.provider": "google", "llm.model_name": "gemini-2.5-flash"},
        {"request_model": "gemini-2.5-flash", "response_model": "gemini-2.5-flash"},
    ),
    "a status in the words of a library": Case(
        {"openinference.span.kind": "LLM"},
        {"http_status": 429, "error_class": "rate_limit"},
        {"error": "SDKError: API error occurred: Status 429. Body: {}"},
    ),
    "a status in the words of the http client": Case(
        {"openinference.span.kind": "LLM"},
        {"http_status": 529, "error_class": "overloaded"},
        {"error": "HTTPStatusError: Server error '529 ' for url 'https://api.anthropic.com/v1/messages'"},
    ),
    "an answer that broke off is no bad request": Case(
        {"openinference.span.kind": "LLM"},
        {"http_status": None, "error_class": "connection"},
        {"error": "Response payload is not completed: <TransferEncodingError: 400, message='Not enough data'>"},
    ),
    "a prompt that is too long, by a type that says less": Case(
        {"openinference.span.kind": "LLM", "llm.provider": "aws"},
        {"http_status": None, "error_class": "context_length"},
        {"raised": ("botocore.errorfactory.ValidationException", "Input is too long for requested model."),
         "error": ""},
    ),
    "an id that stands in for none": Case(
        {"openinference.span.kind": "LLM", "output.value": json.dumps(
            [{"id": "__fake_id__", "object": "response", "output": [{"id": "__fake_id__", "provider_data": {
                "model": "gpt-4.1-mini", "response_id": "chatcmpl-0123456789abcdef"}}]}])},
        {"response_id": "chatcmpl-0123456789abcdef"},
    ),
    "an answer after which the library stumbled": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.response.id": "chatcmpl-0123456789abcdef",
         "gen_ai.response.finish_reasons": ["tool_calls"], "error.type": "AttributeError"},
        {"error": False, "finish_reason": "tool_calls"},
        {"error": "", "raised": ("AttributeError", "'list' object has no attribute 'get'")},
    ),
    ".net's abstractions, in their first version": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini",
         "gen_ai.response.finish_reasons": '["stop"]', "gen_ai.response.input_tokens": 8,
         "gen_ai.response.output_tokens": 3},
        {"input_tokens": 8, "output_tokens": 3, "finish_reason": "stop"},
        {"scope": "Experimental.Microsoft.Extensions.AI", "name": "chat gpt-4o-mini"},
    ),
    "spring's model, which writes numbers as texts and none for nothing": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o-mini",
         "gen_ai.response.model": "none", "gen_ai.response.finish_reasons": '["STOP"]',
         "gen_ai.usage.input_tokens": "8", "gen_ai.usage.output_tokens": "3", "gen_ai.usage.total_tokens": "11"},
        {"request_model": "gpt-4o-mini", "response_model": None, "input_tokens": 8, "output_tokens": 3,
         "finish_reason": "stop"},
        {"scope": "org.springframework.boot", "name": "chat gpt-4o-mini"},
    ),
    "vllm's side of a call": Case(
        {"gen_ai.request.id": "chatcmpl-0123456789abcdef", "gen_ai.response.model": "qwen3-8b",
         "gen_ai.usage.prompt_tokens": 8, "gen_ai.usage.completion_tokens": 3,
         "gen_ai.latency.time_to_first_token": 0.4},
        {"dialect": "vllm", "operation": "chat", "response_id": "chatcmpl-0123456789abcdef", "input_tokens": 8,
         "streaming": None},
        {"scope": "vllm.llm_engine", "name": "llm_request"},
    ),
    "a total that has the reasoning on top of flat counts": Case(
        {"mlflow.spanType": '"LLM"', "mlflow.chat.tokenUsage": json.dumps(
            {"input_tokens": 50, "output_tokens": 40, "total_tokens": 120, "cache_read_input_tokens": 20})},
        {"input_tokens": 50, "cached_input_tokens": 20, "output_tokens": 40},
    ),
    "a status as the type of the exception": Case(
        {"genkit:metadata:subtype": "model", "genkit:name": "googleai/gemini-2.5-flash", "genkit:state": "error"},
        {"dialect": "genkit", "provider": "gcp.gemini", "request_model": "gemini-2.5-flash", "http_status": 429},
        {"raised": ("429", "RESOURCE_EXHAUSTED: slow down")},
    ),
    "an answer that the library could not use": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 4,
         "gen_ai.response.finish_reasons": ["stop"]},
        {"error": False},
        {"error": "OutputParserException: no such tool"},
    ),
    "an answer that was cut off by the network": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 4,
         "gen_ai.response.finish_reasons": ["stop"]},
        {"error": True, "error_class": "connection"},
        {"error": "peer closed connection"},
    ),
    "a provider that does not tell what it wrote to its cache": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai",
         "gen_ai.usage.cache_creation.input_tokens": 0},
        {"cache_write_input_tokens": None},
    ),
    "a provider that tells that it wrote nothing to its cache": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic",
         "gen_ai.usage.cache_creation.input_tokens": 0},
        {"cache_write_input_tokens": 0},
    ),
    "an answer after an attempt that failed": Case(
        {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 4},
        {"error": False},
        {"raised": ("RateLimitError", "Error code: 429")},
    ),
    "a failure whose number only the stack has": Case(
        {"gen_ai.operation.name": "chat"},
        {"error": True, "error_class": "rate_limit", "http_status": 429},
        {"error": "wrapped.RateLimitError", "events": [("exception", 1.0, {
            "exception.type": "wrapped.RateLimitError",
            "exception.stacktrace": "openai.RateLimitError: Error code: 429 - slow down"})]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_dialect_is_read_for_what_it_says(name: str) -> None:
    case = CASES[name]
    call = dialects.read(span_of(case.attributes, **case.span))
    assert call is not None
    got = json.loads(calls.to_json(call))
    assert {fact: got[fact] for fact in case.want} == {
        fact: pytest.approx(want) if isinstance(want, float) else want for fact, want in case.want.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_can_be_stored_and_read_again(name: str) -> None:
    case = CASES[name]
    call = dialects.read(span_of(case.attributes, **case.span))
    assert call is not None
    assert calls.from_json(json.loads(calls.to_json(call))) == call


TOKENS = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 6, "gen_ai.request.model": "m"}


@pytest.mark.parametrize(
    ("attributes", "span"),
    [
        ({"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 5}, {}),
        ({"openinference.span.kind": "AGENT", **TOKENS}, {}),
        ({"ai.operationId": "ai.generateText", "ai.usage.inputTokens": 5, **TOKENS}, {}),
        ({"ai.operationId": "ai.toolCall"}, {}),
        ({"langfuse.observation.type": "span", **TOKENS}, {}),
        ({"langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat", "gen_ai.system": "langchain"}, {}),
        ({"mlflow.spanType": '"AGENT"', "mlflow.chat.tokenUsage": '{"input_tokens": 5}'}, {}),
        ({"traceloop.span.kind": "workflow", **TOKENS}, {}),
        ({"gen_ai.operation.name": "execute_event_loop_cycle", **TOKENS}, {"scope": "strands.telemetry.tracer"}),
        ({"gen_ai.operation.name": "invoke_agent", **TOKENS}, {}),
        ({"haystack.component.type": "PromptBuilder", "haystack.component.output": '{"prompt": "x"}'}, {}),
        ({"llm.openai.model": "m", "llm.openai.usage": "{'prompt_tokens': 5}"}, {"name": "raw_gen_ai_request"}),
        (TOKENS, {"name": "invoke_agent helper"}),
        ({**TOKENS, "gen_ai.tool.name": "search"}, {}),
        ({"gen_ai.request.model": "m", "gen_ai.system": "openai"}, {"name": "prepare"}),
        ({"http.request.method": "POST", "http.response.status_code": 429, "error.type": "429"}, {"error": ""}),
        ({"gen_ai.operation.name": "fetch_response", "gen_ai.response.id": "resp_1"}, {}),
        ({"gen_ai.operation.name": "framework", "gen_ai.system": "spring_ai", **TOKENS}, {}),
        ({"genkit:metadata:subtype": "tool", "genkit:output": '{"usage": {"inputTokens": 5}}'}, {}),
        ({"gen_ai.span.kind": "CHAIN", **TOKENS}, {"scope": "traceai_langchain"}),
    ],
    ids=[
        "chain", "agent", "vercel's outer span", "vercel's tool", "langfuse's span", "langsmith's prompt",
        "mlflow's agent", "traceloop's workflow", "strands' cycle", "agent by operation", "haystack's builder",
        "litellm's raw request", "agent by name", "tool", "model and nothing else", "http", "fetched, not asked",
        "spring's client", "genkit's tool", "traceai's chain",
    ],
)  # fmt: skip
def test_what_is_no_call_says_why(attributes, span) -> None:
    found = dialects.examine(span_of(attributes, **span))
    assert isinstance(found, NoCall)
    assert found.why


def test_each_fact_names_the_attribute_that_gave_it() -> None:
    case = CASES["openinference, answer in the output"]
    found = dialects.examine(span_of(case.attributes))
    assert not isinstance(found, NoCall)
    assert found.sources["input_tokens"] == "llm.token_count.prompt"
    assert found.sources["request_model"] == "llm.invocation_parameters > model"
    assert found.sources["response_id"] == "output.value"


def test_dialects_have_different_names() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


HOSTILE = [
    "", "{", "[[[[", "{'a': " * 3_000, '"', "\\", "nan", "1e999", "9" * 5_000, "(" * 19_000, "{" + "'a':1," * 2_000,
    -1, 2**64, float("nan"), float("inf"), True, None, [None, {"a": [1]}], {"usage": {"input_tokens": []}}, [[]] * 50,
    '{"usage": {"prompt_tokens": -5, "completion_tokens": "x"}, "id": 7, "model": null}', b"\xff\x00",
    "__import__('os').system('true')",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_no_value_of_any_attribute_stops_the_reading(value: object) -> None:
    keys = {place.key for dialect in DIALECTS for place in _places(dialect.facts)}
    kinds = {"openinference.span.kind": "LLM", "gen_ai.operation.name": "chat"}
    for attributes in (dict.fromkeys(keys, value), {**dict.fromkeys(keys, value), **kinds}):
        call = dialects.read(span_of(attributes, error="x"))
        if call is not None:
            assert calls.from_json(json.loads(calls.to_json(call))) == call


def _places(facts: dialects.Dialect) -> list[Any]:
    from dataclasses import fields

    found = [one for fact in fields(facts) for one in getattr(facts, fact.name)]
    return [getattr(one, "place", one) for one in found]


def test_an_answer_in_an_endless_document_costs_a_bounded_time() -> None:
    deep: object = {"id": "resp_0123456789abcdef", "usage": {"input_tokens": 1}}
    for _ in range(200):
        deep = {"a": deep, "b": [0.5] * 1_000}
    call = dialects.read(span_of({"openinference.span.kind": "LLM", "output.value": json.dumps(deep)}))
    assert isinstance(call, Call)
    assert call.response_id == "resp_0123456789abcdef"
