"""Suites: a named file of canaries, and what is expected of their answers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from .canonical import CustomScrubber, ScrubberName
from .config import Parameters, Samples
from .document import DocumentError, Places, Problem, load_document_with_places, placed
from .schema import schema_faults

MAX_CANARIES = 1_000
"""The most canaries in a suite."""

MAX_MESSAGES = 100
"""The most messages of a canary."""

MAX_MESSAGE_CHARS = 200_000
"""The longest message of a canary."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt."""

    role: str
    content: str


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


@dataclass(frozen=True, slots=True)
class Canary:
    """One prompt with its expectations. ``parameters`` are its own, over the suite's and the target's."""

    id: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any]
    samples: int | None
    expectations: Expectations


@dataclass(frozen=True, slots=True)
class Suite:
    """Canaries that are replayed together. ``scrub`` is for ``canonical``."""

    name: str
    canaries: tuple[Canary, ...]
    scrub: tuple[str | CustomScrubber, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    samples: int | None = None

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
    document, _ = load_document_with_places(text, str(path), SuiteDocument, env, check=_repeated_ids)
    return document.suite(default_name=path.stem)


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


def _sound_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    faults = schema_faults(schema)
    if faults:
        raise placed(faults)
    return schema


Regex = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_regex)]
Regexes = Annotated[list[Regex], Field(max_length=50), BeforeValidator(_listed)]
Content = Annotated[str, Field(max_length=MAX_MESSAGE_CHARS)]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IdsDocument(_Document):
    """``expect.ids`` of a canary."""

    pattern: Regex
    allowed: Regex


class ExpectDocument(_Document):
    """``expect`` of a canary."""

    not_empty: bool = False
    matches: Regexes = Field(default_factory=list)
    must_not_match: Regexes = Field(default_factory=list)
    json_rule: bool | Literal["repairable"] = Field(False, alias="json")
    json_schema: Annotated[dict[str, JsonValue], AfterValidator(_sound_schema)] | None = None
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


class MessageDocument(_Document):
    """One entry of ``messages``."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content


class CanaryDocument(_Document):
    """One entry of ``canaries``: a ``prompt``, or whole ``messages``."""

    id: Name
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARS)] | None = None
    messages: Annotated[list[MessageDocument], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    parameters: Parameters = Field(default_factory=dict)
    samples: Samples | None = None
    expect: ExpectDocument = Field(default_factory=ExpectDocument)

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("must have either `prompt` or `messages`")
        return self

    def canary(self, system: str | None) -> Canary:
        """The canary. ``system`` comes first, unless the canary brings a system message of its own."""
        own = [Message(message.role, message.content) for message in self.messages or ()]
        messages = own or [Message("user", self.prompt or "")]
        if system is not None and not any(message.role in ("system", "developer") for message in messages):
            messages = [Message("system", system), *messages]
        return Canary(self.id, tuple(messages), self.parameters, self.samples, self.expect.expectations())


class ScrubDocument(_Document):
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


class SuiteDocument(_Document):
    """A suite as it is written."""

    name: Name | None = None
    system: Content | None = None
    parameters: Parameters = Field(default_factory=dict)
    samples: Samples | None = None
    scrub: Annotated[list[ScrubberName | ScrubDocument], Field(max_length=50)] = Field(default_factory=list)
    canaries: Annotated[list[CanaryDocument], Field(min_length=1, max_length=MAX_CANARIES)]

    def suite(self, default_name: str) -> Suite:
        """The suite; ``default_name`` where the document has no name."""
        return Suite(
            name=self.name or default_name,
            canaries=tuple(canary.canary(self.system) for canary in self.canaries),
            scrub=tuple(
                entry if isinstance(entry, str) else CustomScrubber(entry.pattern, entry.replace)
                for entry in self.scrub
            ),
            parameters=self.parameters,
            samples=self.samples,
        )
