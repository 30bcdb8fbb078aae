"""Suites: a named file of canaries, and what is expected of their answers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .attachments import Attachments
from .canonical import CustomScrubber, ScrubberName
from .config import Parameters, Samples
from .document import DocumentError, Path, Places, Problem, load_document_with_places, placed
from .gate.config import GateConfig
from .prompt import Message as Message
from .prompt import Tool
from .prompt_document import (
    CHOICES,
    MAX_MESSAGE_CHARS,
    Content,
    Document,
    MessageDocument,
    Parts,
    Schema,
    ToolName,
    Tools,
    called_names,
    message_of,
    unanswered,
)

MAX_CANARIES = 1_000
"""The most canaries in a suite."""

MAX_MESSAGES = 100
"""The most messages of a canary."""

MAX_EXPECTED_CALLS = 50
"""The most calls of tools that a canary may expect."""


class JsonRule(StrEnum):
    """How strictly an answer must be JSON: as it is, or after json-repair has mended it."""

    STRICT = "strict"
    REPAIRABLE = "repairable"


@dataclass(frozen=True, slots=True)
class IdRule:
    """Every id that ``pattern`` finds in an answer must fully match ``allowed``."""

    pattern: str
    allowed: str


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call of the tool ``name`` with arguments that fit the JSON schema ``arguments``."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is expected of each answer to a canary; what is not set is not expected."""

    not_empty: bool = False
    matches: tuple[str, ...] = ()
    must_not_match: tuple[str, ...] = ()
    json: JsonRule | None = None
    json_schema: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ()
    ids: IdRule | None = None
    max_length: int | None = None
    no_refusal: bool = False
    tool_calls: tuple[ExpectedCall, ...] | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    """One prompt with its expectations. ``parameters`` are its own, over the suite's and the target's.

    The model may call ``tools``; ``tool_choice`` is ``auto``, ``none``, ``required`` or the name of one of them.
    """

    id: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any]
    samples: int | None
    expectations: Expectations
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Canaries that are replayed together. ``scrub`` is for ``canonical``, ``gate`` what it asks of a release."""

    name: str
    canaries: tuple[Canary, ...]
    scrub: tuple[str | CustomScrubber, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    samples: int | None = None
    gate: GateConfig = field(default_factory=GateConfig)

    def expected_samples(self, target_samples: int | None = None) -> dict[str, int]:
        """How many answers a full run has, by canary: the canary's word, the suite's, the target's, or 1."""
        default = self.samples or target_samples or 1
        return {canary.id: canary.samples or default for canary in self.canaries}

    def sent_parameters(self, canary: Canary, target_parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent with a canary: the target's parameters, over them the suite's, over them the canary's own."""
        return {**target_parameters, **self.parameters, **canary.parameters}


def load_suite(path: FilePath, env: Mapping[str, str]) -> Suite:
    """The suite in the file at ``path``. Raises DocumentError with every problem and its place."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DocumentError([Problem(str(path), 1, 1, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise DocumentError([Problem(str(path), 1, 1, "", "is not UTF-8 text")]) from error
    return read_suite(text, path, env)


def read_suite(text: str, path: FilePath, env: Mapping[str, str]) -> Suite:
    """The suite in the text of the file at ``path``. Raises DocumentError with every problem and its place."""
    files = Attachments(path.parent)

    def check(tree: Any, places: Places) -> Iterator[Problem]:
        yield from _repeated_ids(tree, places)
        yield from files.problems(tree, places)

    document, _ = load_document_with_places(text, str(path), SuiteDocument, env, check=check)
    return document.suite(path.stem, files)


def _repeated_ids(tree: Any, places: Places) -> Iterator[Problem]:
    canaries = tree.get("canaries") if isinstance(tree, dict) else None
    first: dict[str, int] = {}
    for index, canary in enumerate(canaries if isinstance(canaries, list) else []):
        identity = canary.get("id") if isinstance(canary, dict) else None
        if isinstance(identity, str) and first.setdefault(identity, index) != index:
            yield places.problem(
                ("canaries", index, "id"), f'"{identity}" is already the id of canaries[{first[identity]}]'
            )


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        place = "" if error.pos is None else f" (at character {error.pos + 1})"
        raise ValueError(f"is not a regular expression: {error.msg}{place}") from error
    except (RecursionError, OverflowError) as error:
        raise ValueError("is too large a regular expression") from error
    return pattern


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Regex = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_regex)]
Regexes = Annotated[list[Regex], Field(max_length=50), BeforeValidator(_listed)]
ToolChoice = Annotated[str, Field(min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]


class IdsDocument(Document):
    """``expect.ids`` of a canary."""

    pattern: Regex
    allowed: Regex


class ExpectDocument(Document):
    """``expect`` of a canary."""

    not_empty: bool = False
    matches: Regexes = Field(default_factory=list)
    must_not_match: Regexes = Field(default_factory=list)
    json_rule: bool | Literal["repairable"] = Field(False, alias="json")
    json_schema: Schema | None = None
    labels: Annotated[list[str], Field(max_length=1_000)] = Field(default_factory=list)
    ids: IdsDocument | None = None
    max_length: int | None = Field(None, ge=1)
    no_refusal: bool = False

    def expectations(self) -> Expectations:
        """The same, as the validators take it."""
        return Expectations(
            not_empty=self.not_empty,
            matches=tuple(self.matches),
            must_not_match=tuple(self.must_not_match),
            json=self._json(),
            json_schema=self.json_schema,
            labels=tuple(self.labels),
            ids=None if self.ids is None else IdRule(self.ids.pattern, self.ids.allowed),
            max_length=self.max_length,
            no_refusal=self.no_refusal,
        )

    def _json(self) -> JsonRule | None:
        if self.json_rule == "repairable":
            return JsonRule.REPAIRABLE
        return JsonRule.STRICT if self.json_rule or self.json_schema is not None else None


class ExpectedCallDocument(Document):
    """One entry of ``expect.tool_calls``: the tool, and what its arguments must be."""

    name: ToolName
    arguments: Schema | None = None


class CanaryExpectDocument(ExpectDocument):
    """``expect`` of a canary, whose answer may call tools."""

    tool_calls: Annotated[list[ExpectedCallDocument], Field(max_length=MAX_EXPECTED_CALLS)] | None = None

    def expected(self, tools: tuple[Tool, ...]) -> Expectations:
        """The same, as the validators take it; arguments must fit the tool where nothing more is said of them."""
        if self.tool_calls is None:
            return self.expectations()
        known = {tool.name: tool.parameters for tool in tools}
        calls = tuple(
            ExpectedCall(call.name, known[call.name] if call.arguments is None else call.arguments)
            for call in self.tool_calls
        )
        return replace(self.expectations(), tool_calls=calls)


class CanaryDocument(Document):
    """One entry of ``canaries``: a ``prompt``, or whole ``messages``."""

    id: Name
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARS)] | Parts | None = None
    messages: Annotated[list[MessageDocument], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    parameters: Parameters = Field(default_factory=dict)
    samples: Samples | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    expect: CanaryExpectDocument = Field(default_factory=CanaryExpectDocument)

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("must have either `prompt` or `messages`")
        if faults := [(("messages", *path), fault) for path, fault in unanswered(self.messages or ())]:
            raise placed(faults)
        return self

    def canary(self, suite: "SuiteDocument", files: Attachments) -> Canary:
        """The canary. The suite's system message comes first, unless the canary brings one of its own."""
        messages = [message.message(files) for message in self.messages or ()]
        if self.prompt is not None:
            messages = [message_of("user", self.prompt, files)]
        is_instructed = any(message.role in ("system", "developer") for message in messages)
        if suite.system is not None and not is_instructed:
            messages = [Message("system", suite.system), *messages]
        own = suite.tools if self.tools is None else self.tools
        tools = tuple(one.tool() for one in own)
        return Canary(
            self.id,
            tuple(messages),
            self.parameters,
            self.samples,
            self.expect.expected(tools),
            tools,
            (self.tool_choice or suite.tool_choice) if tools else None,
        )

    def tool_faults(self, suite: "SuiteDocument") -> Iterator[tuple[Path, str]]:
        """What is wrong with the tools that the canary speaks of, each fault with its path in the canary."""
        tools = suite.tools if self.tools is None else self.tools
        known = {tool.name for tool in tools}
        choice = self.tool_choice or suite.tool_choice
        if self.tool_choice is not None and not tools:
            yield ("tool_choice",), "the canary has no `tools`"
        elif tools and choice is not None and choice not in (*CHOICES, *known):
            yield ("tool_choice",), _no_tool(choice)
        named = [(("messages", *path), name) for path, name in called_names(self.messages or ())]
        named += [
            (("expect", "tool_calls", index, "name"), call.name)
            for index, call in enumerate(self.expect.tool_calls or ())
        ]
        yield from ((path, _no_tool(name)) for path, name in named if name not in known)
        if tools and {"tools", "tool_choice"} & (self.parameters.keys() | suite.parameters.keys()):
            yield (), "has `tools` and the same in `parameters`; keep `tools`"


def _no_tool(name: str) -> str:
    return f'"{name}" is none of the canary\'s `tools`'


class ScrubDocument(Document):
    """A scrubber of the suite's own, in the words of ``re.sub``."""

    pattern: Regex
    replace: Annotated[str, Field(max_length=100)] = ""

    @model_validator(mode="after")
    def _sound_replacement(self) -> Self:
        try:
            re.compile(rf"(?:{self.pattern})|").sub(self.replace, "")
        except (re.error, IndexError) as error:
            raise placed([(("replace",), "refers to a group that the pattern does not have")]) from error
        return self


class SuiteDocument(Document):
    """A suite as it is written."""

    name: Name | None = None
    system: Content | None = None
    parameters: Parameters = Field(default_factory=dict)
    samples: Samples | None = None
    tools: Tools = Field(default_factory=list)
    tool_choice: ToolChoice | None = None
    scrub: Annotated[list[ScrubberName | ScrubDocument], Field(max_length=50)] = Field(default_factory=list)
    gate: GateConfig = Field(default_factory=GateConfig)
    canaries: Annotated[list[CanaryDocument], Field(min_length=1, max_length=MAX_CANARIES)]

    @model_validator(mode="after")
    def _known_tools(self) -> Self:
        faults = [
            (("canaries", index, *path), fault)
            for index, canary in enumerate(self.canaries)
            for path, fault in canary.tool_faults(self)
        ]
        if faults:
            raise placed(faults)
        return self

    def suite(self, default_name: str, files: Attachments) -> Suite:
        """The suite; ``default_name`` where the document has no name."""
        return Suite(
            name=self.name or default_name,
            canaries=tuple(canary.canary(self, files) for canary in self.canaries),
            scrub=tuple(
                entry if isinstance(entry, str) else CustomScrubber(entry.pattern, entry.replace)
                for entry in self.scrub
            ),
            parameters=self.parameters,
            samples=self.samples,
            gate=self.gate,
        )
