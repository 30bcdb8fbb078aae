"""A person goes through a proposal, one canary after the other; each answer is kept before the next question."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ..document import DocumentError
from .proposal import ProposalDocument, ProposedDocument, entry_text, read_entry

CHECKED_GOOD = 50
"""So many canaries that a person has checked are what is advised for a suite that gates changes."""


class Answer(StrEnum):
    """What a person may say to a proposed canary."""

    ACCEPT = "a"
    EDIT = "e"
    SKIP = "s"
    BACK = "b"
    QUIT = "q"


@dataclass(frozen=True, slots=True)
class Terminal:
    """How a person is spoken with.

    ``ask`` shows an entry and gives the answer, ``edit`` gives the text as the person left it (``None``: unchanged),
    ``tell`` says a sentence, ``save`` keeps the proposal.
    """

    ask: Callable[[ProposedDocument, int, int], Answer]
    edit: Callable[[str], str | None]
    tell: Callable[[str], None]
    save: Callable[[ProposalDocument], None]


def review(proposal: ProposalDocument, terminal: Terminal) -> ProposalDocument:
    """The proposal with what the person said of those canaries that nobody had looked at."""
    places, at = proposal.open, 0
    while at < len(places):
        place = places[at]
        answer = terminal.ask(proposal.proposed[place], at + 1, len(places))
        if answer is Answer.QUIT:
            break
        if answer is Answer.BACK:
            at = max(0, at - 1)
            continue
        changed = _changed(proposal, place, answer, terminal)
        if changed is None:
            continue
        proposal = proposal.with_entry(place, changed)
        terminal.save(proposal)
        at += 1
        if answer is not Answer.SKIP and proposal.checked == CHECKED_GOOD:
            terminal.tell(
                f"{CHECKED_GOOD} are accepted, which is what is advised for a suite. More is fine; q ends here."
            )
    return proposal


def _changed(
    proposal: ProposalDocument, place: int, answer: Answer, terminal: Terminal
) -> ProposedDocument | None:
    """The entry as the person wants it; ``None``: to be asked again."""
    entry = proposal.proposed[place]
    if answer is Answer.SKIP:
        return entry.model_copy(update={"accepted": "skipped"})
    if answer is Answer.EDIT:
        edited = _edited(proposal, place, terminal)
        if edited is None:
            return None
        entry = edited
    return entry.model_copy(update={"accepted": True})


def _edited(proposal: ProposalDocument, place: int, terminal: Terminal) -> ProposedDocument | None:
    """The entry after it was edited, once it is sound: until then the person has the text back with what is wrong."""
    text = entry_text(proposal.proposed[place])
    while (edited := terminal.edit(text)) is not None:
        try:
            entry = read_entry(edited)
        except DocumentError as error:
            terminal.tell(f"It cannot be used yet:\n{error}")
            text = edited
            continue
        others = {one.id for number, one in enumerate(proposal.proposed) if number != place}
        if entry.id not in others:
            return entry
        terminal.tell(f'"{entry.id}" is the id of another canary')
        text = edited
    return None
