"""What every provider takes and gives."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import httpx

from .. import CanaryError
from ..completion import Outcome
from ..prompt import Message, Tool, ToolCall


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model. ``logprobs`` is the number of likeliest tokens to ask for at each position.

    ``tool_choice`` is ``auto``, ``none``, ``required`` or the name of the tool to call; ``None`` leaves it out.
    """

    model: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True
    logprobs: int | None = None
    seed: int | None = None
    timeout_s: float = 60.0
    max_answer_bytes: int = 1_000_000
    fresh_connection: bool = True
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None

    def secrets(self) -> list[str]:
        """What of the prompt must not be repeated in a message: its texts, and where its pictures are."""
        texts = [message.content for message in self.messages]
        addresses = [image.url for message in self.messages for image in message.images if image.url]
        arguments = [call.arguments for message in self.messages for call in message.tool_calls]
        # Servers in Python quote a value as Python writes it, the others as JSON.
        return texts + addresses + [write(one) for one in arguments for write in (str, json.dumps)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered. The fields are those of ``Completion``."""

    text: str
    latency_s: float
    ttft_s: float | None = None
    finish_reason: str | None = None
    served_model: str | None = None
    system_fingerprint: str | None = None
    logprobs: tuple[float, ...] | None = None
    first_top: tuple[tuple[str, float], ...] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    tool_calls: tuple[ToolCall, ...] = ()


class RequestFailed(CanaryError):  # noqa: N818 -- it is what happened to the request, and an outcome to most
    """A request got no answer; the text says why and holds no secret and no part of a prompt.

    ``is_transport`` tells that the fault lies on the way and asking again may help; ``retry_after_s`` is the wait
    that the endpoint asked for, if it did.
    """

    def __init__(
        self,
        outcome: Outcome,
        message: str,
        *,
        retry_after_s: float | None = None,
        is_transport: bool = False,
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message
        self.retry_after_s = retry_after_s
        self.is_transport = is_transport


class Sender(Protocol):
    """What sends a request over the network: an ``httpx.AsyncClient``, or what is quicker."""

    async def send(
        self, request: httpx.Request, *, stream: Literal[True], follow_redirects: Literal[False]
    ) -> httpx.Response:
        """The head of the answer, with the body to come. Raises httpx's errors."""
        ...


class Provider(Protocol):
    """Asks one endpoint."""

    async def complete(self, request: ChatRequest, client: Sender) -> Answer:
        """The answer. Raises RequestFailed when there is none; nothing is tried again here."""
        ...
