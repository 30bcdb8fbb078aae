"""The vendors' own clients as the oracle: at the same server they read what we read, and would send what we send."""

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import anthropic
import anthropic.types
import httpx
import openai
import openai.types.chat.completion_create_params
import openai.types.responses.response_create_params
import pytest
from google import genai
from google.genai import errors, types
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict
from vendor_server import KEY, VendorServer, shapes

from canaries.clock import SystemClock
from canaries.completion import Outcome
from canaries.config import TargetConfig
from canaries.prompt import Image, calls_text
from canaries.providers import Answer, ChatRequest, RequestFailed, build_provider
from canaries.suite import Suite, load_suite

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Read:
    """What a vendor's client makes of an answer, in the vendor's own words."""

    text: str
    calls: list[tuple[str, Any]]
    finish: str | None
    input: int | None
    output: int | None
    cached: int | None
    reasoning: int | None
    model: str | None
    logprobs: list[float]


@cache
def openai_client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=url, max_retries=0)


@cache
def azure_client(url: str) -> openai.AzureOpenAI:
    return openai.AzureOpenAI(api_key=KEY, azure_endpoint=url, api_version="2024-10-21", max_retries=0)


@cache
def anthropic_client(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0)


def chat(vendors: VendorServer, model: str, stream: bool) -> Read:
    return _chat(openai_client(f"{vendors.url}/openai/v1"), model, stream)


def azure(vendors: VendorServer, model: str, stream: bool) -> Read:
    return _chat(azure_client(f"{vendors.url}/azure"), model, stream)


def _chat(client: openai.OpenAI, model: str, stream: bool) -> Read:
    messages: Any = [{"role": "user", "content": "?"}]
    if stream:
        options: Any = {"include_usage": True}
        with client.chat.completions.stream(model=model, messages=messages, stream_options=options) as events:
            for _ in events:
                pass
            found: Any = events.current_completion_snapshot
    else:
        found = client.chat.completions.create(model=model, messages=messages)
    (choice,), usage = found.choices, found.usage
    return Read(
        choice.message.content or choice.message.refusal or "",
        [(c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls or ()],
        choice.finish_reason,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.prompt_tokens_details.cached_tokens,
        usage.completion_tokens_details.reasoning_tokens,
        found.model,
        [one.logprob for one in (choice.logprobs.content if choice.logprobs else None) or ()],
    )


def responses(vendors: VendorServer, model: str, stream: bool) -> Read:
    client = openai_client(f"{vendors.url}/openai_responses/v1")
    if stream:
        ends = [
            e for e in client.responses.create(model=model, input="?", stream=True) if hasattr(e, "response")
        ]
        found = ends[-1].response
    else:
        found = client.responses.create(model=model, input="?")
    parts = [part for item in found.output if item.type == "message" for part in item.content]
    refused = "".join(part.refusal for part in parts if part.type == "refusal")
    assert found.usage
    return Read(
        found.output_text or refused,
        [(i.name, json.loads(i.arguments)) for i in found.output if i.type == "function_call"],
        found.incomplete_details.reason if found.incomplete_details else found.status,
        found.usage.input_tokens,
        found.usage.output_tokens,
        found.usage.input_tokens_details.cached_tokens,
        found.usage.output_tokens_details.reasoning_tokens,
        found.model,
        [one.logprob for part in parts if part.type == "output_text" for one in part.logprobs or ()],
    )


def messages(vendors: VendorServer, model: str, stream: bool) -> Read:
    client = anthropic_client(f"{vendors.url}/anthropic")
    asked: Any = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
    if stream:
        with client.messages.stream(**asked) as events:
            found = events.get_final_message()
    else:
        found = client.messages.create(**asked)
    usage = found.usage
    details = usage.output_tokens_details
    return Read(
        "".join(block.text for block in found.content if block.type == "text"),
        [(block.name, block.input) for block in found.content if block.type == "tool_use"],
        found.stop_reason,
        # The sum that the API's documentation gives for the whole input.
        usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0),
        usage.output_tokens,
        usage.cache_read_input_tokens,
        details.thinking_tokens if details else None,
        found.model,
        [],
    )


@cache
def gemini_client(url: str) -> genai.Client:
    options = types.HttpOptions(base_url=f"{url}/gemini", api_version="v1beta")
    return genai.Client(api_key=KEY, http_options=options)


def generate_content(vendors: VendorServer, model: str, stream: bool) -> Read:
    models = gemini_client(vendors.url).models
    if stream:
        found = list(models.generate_content_stream(model=model, contents="?"))
    else:
        found = [models.generate_content(model=model, contents="?")]
    parts = [part for one in found for part in (one.candidates[0].content.parts or ())]  # type: ignore[index,union-attr]
    ended, usage = found[-1].candidates[0].finish_reason, found[-1].usage_metadata  # type: ignore[index]
    tokens = [one.candidates[0].logprobs_result for one in found]  # type: ignore[index]
    assert usage
    return Read(
        "".join(part.text for part in parts if part.text and not part.thought),
        [(part.function_call.name or "", part.function_call.args) for part in parts if part.function_call],
        ended.value if ended else None,
        usage.prompt_token_count,
        (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        usage.cached_content_token_count,
        usage.thoughts_token_count,
        found[-1].model_version,
        [c.log_probability or 0.0 for one in tokens if one for c in one.chosen_candidates or ()],
    )


CLIENTS: Mapping[str, tuple[Callable[[VendorServer, str, bool], Read], str, str]] = {
    "openai": (chat, "/v1", "chat"),
    "azure": (azure, "/openai/deployments/{model}?api-version=2024-10-21", "chat"),
    "openai_responses": (responses, "/v1", "responses"),
    "anthropic": (messages, "/v1", "messages"),
    "gemini": (generate_content, "/v1beta", "generate_content"),
}
SCENARIOS = ("text", "tools", "cut", "counted", "refusal", "tokens")
CASES = [(name, s) for name, (_, _, api) in CLIENTS.items() for s in SCENARIOS if s in shapes(api)]
SAME_ENDING = {
    ("stop", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("stop", "refusal"),
    ("completed", "stop"), ("max_output_tokens", "length"), ("completed", "tool_calls"), ("completed", "refusal"),
    ("end_turn", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"), ("refusal", "refusal"),
    ("STOP", "stop"), ("MAX_TOKENS", "length"), ("STOP", "tool_calls"),
}  # fmt: skip
"""The vendor's word for the end of an answer, and ours."""


def target(vendors: VendorServer, provider: str, model: str) -> TargetConfig:
    path = CLIENTS[provider][1].format(model=model)
    return TargetConfig(
        provider=provider,  # type: ignore[arg-type]
        base_url=f"{vendors.url}/{provider}{path}",
        api_key=KEY,  # type: ignore[arg-type]
        model=model,
        suite="s.yaml",
    )


async def ours(vendors: VendorServer, provider: str, request: ChatRequest) -> Answer:
    async with httpx.AsyncClient(verify=False) as client:
        return await build_provider(target(vendors, provider, request.model), SystemClock()).complete(
            request, client
        )


@pytest.mark.parametrize(("provider", "scenario"), CASES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "at once"])
async def test_the_vendors_own_client_reads_the_same(
    vendors: VendorServer, provider: str, stream: bool, scenario: str, suite: Suite
) -> None:
    theirs = CLIENTS[provider][0](vendors, scenario, stream)
    request = ChatRequest(scenario, suite.canaries[-1].messages, stream=stream)
    answer = await ours(vendors, provider, request)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == theirs.calls
    assert answer.text == (calls_text(answer.tool_calls) if theirs.calls else theirs.text)
    assert (theirs.finish, answer.finish_reason) in SAME_ENDING
    assert (answer.input_tokens, answer.output_tokens) == (theirs.input, theirs.output)
    assert (answer.cached_input_tokens or 0, answer.reasoning_tokens or 0) == (
        theirs.cached or 0,
        theirs.reasoning or 0,
    )
    assert answer.served_model == theirs.model
    assert list(answer.logprobs or ()) == theirs.logprobs


KINDS = {
    openai.AuthenticationError: Outcome.AUTH,
    openai.RateLimitError: Outcome.RATE_LIMIT,
    anthropic.AuthenticationError: Outcome.AUTH,
    anthropic.PermissionDeniedError: Outcome.AUTH,
    anthropic.RateLimitError: Outcome.RATE_LIMIT,
    anthropic.InternalServerError: Outcome.SERVER,
}
"""What the clients themselves call an error; of the others they tell the status only."""


@pytest.mark.parametrize(
    ("provider", "name"),
    [(provider, name) for provider in CLIENTS for name in shapes("errors")[provider]],
)
async def test_the_vendors_own_client_fails_at_the_same_errors(
    vendors: VendorServer, provider: str, name: str, suite: Suite
) -> None:
    scenario = f"error~{name}"
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError, errors.APIError)) as theirs:
        CLIENTS[provider][0](vendors, scenario, False)
    with pytest.raises(RequestFailed) as caught:
        await ours(vendors, provider, ChatRequest(scenario, suite.canaries[-1].messages, stream=False))
    assert caught.value.outcome is KINDS.get(type(theirs.value), caught.value.outcome)


SUITE = """
tools:
  - name: get_weather
    description: The weather of a city.
    parameters: {type: object, properties: {city: {type: string}}, required: [city]}
  - name: book
tool_choice: required
system: You are terse.
canaries:
  - id: talk
    messages:
      - role: user
        content:
          - text: "Which city is this, and is it warmer than that one?"
          - image: city.png
          - image_url: https://example.com/other.png
      - role: assistant
        content: Let me see.
        tool_calls:
          - {id: call_a, name: get_weather, arguments: {city: Oslo}}
          - {id: call_b, name: get_weather, arguments: {city: Rome}}
      - {role: tool, tool_call_id: call_a, content: '{"celsius": 4}'}
      - {role: tool, tool_call_id: call_b, content: warm}
      - {role: user, content: "And now?"}
  - {id: chosen, prompt: Book it., tool_choice: book}
  - {id: free, prompt: Book it., tool_choice: auto}
  - {id: plain, prompt: Hello there, tools: []}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "city.png").write_bytes(PNG)
    (tmp_path / "s.yaml").write_text(SUITE, encoding="utf-8")
    return load_suite(tmp_path / "s.yaml", {})


async def sent(vendors: VendorServer, provider: str, suite: Suite, id: str, **more: Any) -> dict[str, Any]:
    canary = next(one for one in suite.canaries if one.id == id)
    request = ChatRequest(
        "text",
        canary.messages,
        tools=canary.tools,
        tool_choice=canary.tool_choice,
        **{"stream": False, **more},
    )
    await ours(vendors, provider, request)
    return vendors.requests[-1].body


PARAMETERS = {
    "openai": openai.types.chat.completion_create_params,
    "openai_responses": openai.types.responses.response_create_params,
    "anthropic": anthropic.types.message_create_params,
}


@pytest.mark.parametrize("provider", PARAMETERS)
@pytest.mark.parametrize("canary", ["talk", "chosen", "free", "plain"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "at once"])
async def test_what_we_send_is_what_the_vendors_own_types_allow(
    vendors: VendorServer, provider: str, canary: str, stream: bool, suite: Suite
) -> None:
    module = PARAMETERS[provider]
    base = {"openai": "Completion", "openai_responses": "Response", "anthropic": "Message"}[provider]
    kind = getattr(module, f"{base}CreateParams{'Streaming' if stream else 'NonStreaming'}")
    more: dict[str, Any] = {"stream": stream, "parameters": {"max_tokens": 8}}
    if provider != "anthropic":  # whose newest version has neither of these
        more = {**more, "logprobs": 5, "parameters": {"max_tokens": 8, "temperature": 0.5, "top_p": 0.9}}
    faults = list(misfits(await sent(vendors, provider, suite, canary, **more), kind, "request"))
    assert faults == []


def misfits(value: Any, kind: Any, at: str) -> Iterable[str]:
    """Where a JSON value is not what a vendor's type says; a key that the type does not have is one, too."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Annotated, Required, NotRequired):
        yield from misfits(value, inner[0], at)
    elif origin in (Union, UnionType):
        tries = [list(misfits(value, one, at)) for one in inner]
        if all(tries):
            yield from min(tries, key=len)
    elif origin is Literal:
        if value not in inner:
            yield f"{at}: {value!r} is none of {inner}"
    elif is_typeddict(kind):
        yield from _misfit_keys(value, kind, at)
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{at}: no mapping"
    elif origin is not None:  # lists and iterables
        if not isinstance(value, list):
            yield f"{at}: no list"
            return
        for index, one in enumerate(value):
            yield from misfits(one, inner[0], f"{at}[{index}]")
    elif kind in (None, NoneType):
        if value is not None:
            yield f"{at}: not null"
    elif kind is float:
        if not isinstance(value, int | float):
            yield f"{at}: no number"
    elif kind not in (object, Any) and not isinstance(value, kind):
        yield f"{at}: no {kind}"


def _misfit_keys(value: Any, kind: Any, at: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{at}: no mapping"
        return
    known = get_type_hints(kind, include_extras=True)
    yield from (f"{at}.{key}: unknown" for key in value.keys() - known.keys())
    needed = {k for k, one in known.items() if get_origin(one) is Required} | set(kind.__required_keys__)
    yield from (f"{at}.{key}: missing" for key in needed & known.keys() - value.keys())
    for key in value.keys() & known.keys():
        yield from misfits(value[key], known[key], f"{at}.{key}")


async def test_what_gemini_is_sent_is_what_its_own_client_sends(vendors: VendorServer, suite: Suite) -> None:
    """The same conversation built with the client's own types."""
    mine = await sent(
        vendors, "gemini", suite, "talk", seed=7, logprobs=5, parameters={"temperature": 0.5, "max_tokens": 8}
    )
    part = types.Part
    call_a = part(
        function_call=types.FunctionCall(name="get_weather", args={"city": "Oslo"}),
        thought_signature=base64.urlsafe_b64decode("skip_thought_signature_validator"),
    )
    call_b = part.from_function_call(name="get_weather", args={"city": "Rome"})
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    declared = [
        types.FunctionDeclaration(
            name="get_weather", description="The weather of a city.", parameters_json_schema=schema
        ),
        types.FunctionDeclaration(name="book", parameters_json_schema={"type": "object", "properties": {}}),
    ]
    mode = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
    gemini_client(vendors.url).models.generate_content(
        model="text",
        contents=[
            types.Content(
                role="user",
                parts=[
                    part.from_text(text="Which city is this, and is it warmer than that one?"),
                    part.from_bytes(data=PNG, mime_type="image/png"),
                    part.from_uri(file_uri="https://example.com/other.png", mime_type="image/png"),
                ],
            ),
            types.Content(role="model", parts=[part.from_text(text="Let me see."), call_a, call_b]),
            types.Content(
                role="user",
                parts=[
                    part.from_function_response(name="get_weather", response={"celsius": 4}),
                    part.from_function_response(name="get_weather", response={"output": "warm"}),
                    part.from_text(text="And now?"),
                ],
            ),
        ],
        config=types.GenerateContentConfig(
            system_instruction=types.Content(parts=[part.from_text(text="You are terse.")]),
            temperature=0.5,
            max_output_tokens=8,
            seed=7,
            response_logprobs=True,
            logprobs=5,
            tools=[types.Tool(function_declarations=declared)],
            tool_config=types.ToolConfig(function_calling_config=mode),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        ),
    )
    theirs = vendors.requests[-1].body
    assert _one_spelling(mine) == _one_spelling(theirs)


def _one_spelling(value: Any) -> Any:
    """The same with one alphabet of base64 and one spelling of keys: the client mixes them, the API takes both."""
    if isinstance(value, dict):
        return {
            re.sub("_([a-z])", lambda found: found[1].upper(), key): inner.replace("+", "-").replace("/", "_")
            if key == "data"
            else _one_spelling(inner)
            for key, inner in value.items()
        }
    return [_one_spelling(one) for one in value] if isinstance(value, list) else value


def _models() -> Iterable[Any]:
    for api, whole, event in (
        ("chat", ChatCompletion, ChatCompletionChunk),
        ("responses", Response, ResponseStreamEvent),
        ("messages", anthropic.types.Message, anthropic.types.RawMessageStreamEvent),
        ("generate_content", types.GenerateContentResponse, types.GenerateContentResponse),
    ):
        for scenario, shape in shapes(api).items():
            yield pytest.param(whole, [shape["whole"]], id=f"{api} {scenario} at once")
            parts = [part for part in shape["stream"] if part.get("type") != "ping"]
            yield pytest.param(event, parts, id=f"{api} {scenario} as a stream")


@pytest.mark.parametrize(("kind", "parts"), list(_models()))
def test_the_recorded_shapes_are_sound_by_the_vendors_own_models(
    kind: Any, parts: list[dict[str, Any]]
) -> None:
    """The clients themselves do not check what comes; their types say what would be right."""
    for part in parts:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind.model_validate(part)
        else:
            TypeAdapter(kind).validate_python(part)


def test_a_picture_of_a_suite_is_the_bytes_of_its_file(suite: Suite) -> None:
    assert suite.canaries[0].messages[1].images == (
        Image("image/png", PNG),
        Image(url="https://example.com/other.png"),
    )
