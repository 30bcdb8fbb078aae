"""A proposed suite as a file that a person goes through, and the suite that comes of it."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..document import Places, Problem, load_document_with_places
from ..prompt_document import Content, MessageDocument
from ..suite import MAX_CANARIES, CanaryDocument, Name, SuiteDocument
from .writing import to_yaml

HEADER = """\
# A suite proposed by `anchorwatch canaries harvest`. Nothing of it is in use yet.
# Either `anchorwatch canaries review THIS-FILE` asks you about each canary, or you do it here: read it, mend what is
# expected of its answers, write `accepted: true` or `accepted: skipped`. Then
# `anchorwatch canaries accept THIS-FILE SUITE-FILE` writes the suite.
# `answer` is what was answered in production. It, `why` and `redacted` are for you, and do not get into the suite.
# Values were redacted by their form. Names of people and places have none: look for them.

"""

Accepted = bool | Literal["skipped", "unchecked"]
"""``False``: nobody has looked at it yet. ``unchecked``: taken all the same."""


class ProposedDocument(CanaryDocument):
    """One entry of ``proposed``: a canary, and what helps to judge it."""

    accepted: Accepted = False
    why: str = ""
    answer: str | None = None
    redacted: Mapping[str, int] = Field(default_factory=dict)


class ProposalDocument(BaseModel):
    """A proposal as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name | None = None
    system: Content | None = None
    proposed: Annotated[list[ProposedDocument], Field(min_length=1, max_length=MAX_CANARIES)]

    @property
    def accepted(self) -> list[ProposedDocument]:
        """The canaries that were taken."""
        return [one for one in self.proposed if one.accepted in (True, "unchecked")]

    @property
    def checked(self) -> int:
        """How many canaries a person has looked at and taken."""
        return sum(one.accepted is True for one in self.proposed)

    @property
    def open(self) -> list[int]:
        """The places of those that nobody has looked at."""
        return [place for place, one in enumerate(self.proposed) if one.accepted in (False, "unchecked")]

    def with_entry(self, place: int, entry: ProposedDocument) -> "ProposalDocument":
        """The proposal with another entry at the place."""
        proposed = [entry if number == place else one for number, one in enumerate(self.proposed)]
        return self.model_copy(update={"proposed": proposed})

    def all_accepted(self) -> "ProposalDocument":
        """The proposal with all taken that nobody has looked at."""
        proposed = [
            one.model_copy(update={"accepted": "unchecked"}) if one.accepted is False else one
            for one in self.proposed
        ]
        return self.model_copy(update={"proposed": proposed})


def read_proposal(text: str, source: str) -> ProposalDocument:
    """The proposal in the text. Raises DocumentError with every problem; ``source`` names the file."""
    return load_document_with_places(text, source, ProposalDocument, {}, check=_repeated_ids)[0]


def proposal_text(proposal: ProposalDocument) -> str:
    """The proposal as a file for a person to go through."""
    head = _without_none({"name": proposal.name, "system": proposal.system})
    return HEADER + to_yaml(head | {"proposed": [entry_tree(one) for one in proposal.proposed]})


def entry_tree(entry: ProposedDocument) -> dict[str, Any]:
    """One entry as it is written in a proposal: what is asked about first."""
    head = {"id": entry.id, "accepted": entry.accepted, "why": entry.why}
    return (
        head
        | _canary_tree(entry)
        | _without_none({"answer": entry.answer, "redacted": dict(entry.redacted) or None})
    )


def entry_text(entry: ProposedDocument) -> str:
    """One entry as a document of its own, to be edited."""
    return to_yaml({name: value for name, value in entry_tree(entry).items() if name != "accepted"})


def expect_text(entry: ProposedDocument) -> str:
    """What is expected of the answers, as it is written."""
    return to_yaml(_canary_tree(entry).get("expect", {})).rstrip()


def read_entry(text: str) -> ProposedDocument:
    """The entry in a document of its own. Raises DocumentError with every problem."""
    return load_document_with_places(text, "canary", ProposedDocument, {})[0]


def suite_text(proposal: ProposalDocument, notes: Sequence[str]) -> str:
    """The suite of the accepted canaries; ``notes`` stand above it."""
    head = _without_none({"name": proposal.name, "system": proposal.system})
    canaries = [_canary_tree(one) for one in proposal.accepted]
    return "".join(f"# {note}\n" for note in notes) + to_yaml(head | {"canaries": canaries})


def text_with_added(text: str, proposal: ProposalDocument) -> str:
    """The text of a suite with the accepted canaries below its last one; it is for the caller to read it and see.

    Comments and all else stay as they are, for which no YAML is written anew.
    """
    items = re.search(r"^canaries:[^\n]*\n(?:\s*(?:#[^\n]*)?\n)*( *)- ", text, re.MULTILINE)
    indent = items[1] if items else "  "
    added = to_yaml([_canary_tree(one) for one in proposal.accepted])
    return f"{text.rstrip()}\n{textwrap.indent(added, indent)}"


def with_own_system(proposal: ProposalDocument) -> ProposalDocument:
    """The proposal with its system prompt in each of its canaries."""
    if proposal.system is None:
        return proposal
    first = MessageDocument(role="system", content=proposal.system)
    proposed = [
        ProposedDocument.model_validate(
            one.model_dump(by_alias=True, exclude={"prompt", "messages"}, exclude_unset=True)
            | {
                "messages": [
                    first,
                    *(one.messages or [MessageDocument(role="user", content=one.prompt or "")]),
                ]
            }
        )
        for one in proposal.proposed
    ]
    return proposal.model_copy(update={"system": None, "proposed": proposed})


def suite_document(proposal: ProposalDocument) -> SuiteDocument:
    """The suite of the accepted canaries, as it will be read."""
    names = CanaryDocument.model_fields
    canaries = [
        CanaryDocument.model_validate(one.model_dump(include=set(names), by_alias=True))
        for one in proposal.accepted
    ]
    return SuiteDocument(name=proposal.name, system=proposal.system, canaries=canaries)


def _canary_tree(entry: ProposedDocument) -> dict[str, Any]:
    """What a suite has of the canary, without what is left at its default."""
    names = [name for name in CanaryDocument.model_fields if name in entry.model_fields_set]
    tree = entry.model_dump(include=set(names), by_alias=True, exclude_defaults=True, exclude_none=True)
    order = [CanaryDocument.model_fields[name].alias or name for name in CanaryDocument.model_fields]
    tree = {name: tree[name] for name in order if name in tree}
    if "expect" in tree:
        # A single pattern is easier to read than a list of one.
        for name in ("matches", "must_not_match"):
            patterns = tree["expect"].get(name)
            if patterns is not None and len(patterns) == 1:
                tree["expect"][name] = patterns[0]
    return tree


def _without_none(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if value is not None}


def _repeated_ids(tree: Any, places: Places) -> Iterator[Problem]:
    entries = tree.get("proposed") if isinstance(tree, dict) else None
    first: dict[str, int] = {}
    for place, entry in enumerate(entries if isinstance(entries, list) else []):
        identity = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(identity, str) and first.setdefault(identity, place) != place:
            yield places.problem(
                ("proposed", place, "id"), f'"{identity}" is already the id of proposed[{first[identity]}]'
            )
