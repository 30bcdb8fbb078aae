"""One request of production with its answer, and what makes it an edge case by itself."""

import re
from dataclasses import dataclass
from enum import StrEnum

from ..prompt import Message, Tool
from ..refusals import is_refusal

CUT_OFF = ("length", "max_tokens", "max_output_tokens", "incomplete")
ASKS_FOR_TOOLS = ("tool_calls", "tool_use", "function_call")
"""Finish reasons, in the words of the APIs."""

PICTURE_ALONE = "a picture without a word"
"""The question of who sends nothing else."""

KEY_CHARS_MAX = 4_000
"""How much of a question tells it from others: its beginning, and its end."""

_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")


class Edge(StrEnum):
    """Why a request is worth a canary although few are like it."""

    FAILED = "the request failed"
    TOOLS = "the answer asks for a tool"
    REFUSED = "the answer declines"
    CUT_OFF = "the answer was cut off"
    LANGUAGE = "another language than most"
    LONGEST = "one of the longest"
    RAREST = "unlike all others"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came back. Without an ``answer``, none was recorded."""

    messages: tuple[Message, ...]
    answer: str | None = None
    finish_reason: str | None = None
    has_failed: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None

    @property
    def question(self) -> str:
        """What was asked last: what requests are told apart by."""
        asked = (one.content or PICTURE_ALONE for one in reversed(self.messages) if one.role == "user")
        return next(asked, self.messages[-1].content if self.messages else "")

    @property
    def picture_bytes(self) -> int:
        """How much of it are pictures."""
        return sum(len(image.data) for one in self.messages if one.parts for image in one.images)

    @property
    def chars(self) -> int:
        """The length of the whole prompt."""
        return sum(len(one.content) for one in self.messages)

    def edges(self) -> frozenset[Edge]:
        """What is special about the answer."""
        told = {
            Edge.FAILED: self.has_failed,
            Edge.TOOLS: self.finish_reason in ASKS_FOR_TOOLS,
            Edge.CUT_OFF: self.finish_reason in CUT_OFF,
            Edge.REFUSED: self.finish_reason in ("content_filter", "refusal")
            or (self.answer is not None and is_refusal(self.answer.strip())),
        }
        return frozenset(edge for edge, is_so in told.items() if is_so)


def key_of(question: str) -> str:
    """The same for questions that differ in case, white space and numbers only."""
    if len(question) > KEY_CHARS_MAX:
        question = f"{question[: KEY_CHARS_MAX // 2]} {question[-KEY_CHARS_MAX // 2 :]}"
    return _SPACE.sub(" ", _DIGITS.sub("0", question)).strip().casefold()
