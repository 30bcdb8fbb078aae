"""A proposal as a file: what is written is read back, and what a person says of it makes the suite."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaries.attachments import Attachments
from canaries.document import DocumentError
from canaries.harvest.proposal import (
    ProposalDocument,
    ProposedDocument,
    entry_text,
    proposal_text,
    read_entry,
    read_proposal,
    suite_document,
    suite_text,
)
from canaries.harvest.review import Answer, Terminal, review
from canaries.suite import SuiteDocument, load_suite


def entry(id: str, **more: Any) -> ProposedDocument:
    return ProposedDocument.model_validate({"id": id, "prompt": f"What about {id}?"} | more)


def proposal(*entries: ProposedDocument, **more: Any) -> ProposalDocument:
    return ProposalDocument(proposed=list(entries), **more)


STRANGE = [
    "1e5", "0o17", "true", "~", "no", "2024-01-02", "${HOME} costs $${5}", "$$${x}", "a: b # c", "- x", "'\"", "\ttab",
    " lead\n and trail \n", "\n\nlines\r\n", "{a}", "&x *y !z", "ключ 🔑 \u2028 \x07",
    "x" * 500, "word " * 60, "|", ">-",
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE)
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    written = proposal(entry("a", prompt=text, answer=text), system=text)
    read = read_proposal(proposal_text(written), "p.yaml")
    assert (read.system, read.proposed[0].prompt, read.proposed[0].answer) == (text, text, text)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    written = proposal(entry("a", prompt=text))
    assert read_proposal(proposal_text(written), "p.yaml").proposed[0].prompt == text


def test_expectations_are_read_as_they_were_written() -> None:
    expect = {
        "not_empty": True, "json": "repairable", "matches": [r"(?i)\bx\b", "${y}"], "labels": ["yes", "no"],
        "json_schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}, "max_length": 9,
    }  # fmt: skip
    written = proposal(entry("a", expect=expect, samples=3, parameters={"seed": 7}))
    assert read_proposal(proposal_text(written), "p.yaml") == written


def test_problems_come_together_with_their_places() -> None:
    text = (
        "proposed:\n  - {id: a, prompt: x, accepted: maybe}\n  - {id: a, prompt: y, expect: {matches: '('}}\n"
    )
    with pytest.raises(DocumentError) as raised:
        read_proposal(text, "p.yaml")
    assert [problem.path for problem in raised.value.problems] == [
        "proposed[0].accepted",
        "proposed[1].id",
        "proposed[1].expect.matches",
    ]


def test_the_suite_has_what_was_accepted_and_nothing_of_what_is_only_for_the_reader(tmp_path: Any) -> None:
    made = proposal(
        entry(
            "a",
            accepted=True,
            why="common",
            answer="Secret.",
            redacted={"email": 1},
            expect={"not_empty": True},
        ),
        entry("b"),
        entry("c", accepted="skipped"),
        entry("d", accepted="unchecked"),
        system="Be short.",
    )
    path = tmp_path / "support.yaml"
    path.write_text(suite_text(made, ["Harvested."]))
    suite = load_suite(path, {})
    assert [canary.id for canary in suite.canaries] == ["a", "d"]
    assert [message.content for message in suite.canaries[0].messages] == ["Be short.", "What about a?"]
    assert "Secret" not in path.read_text()
    assert suite_document(made).suite("support", Attachments(tmp_path)) == suite
    assert made.checked == 1


class Person:
    """Somebody at the terminal, with the answers ready."""

    def __init__(self, answers: str, edits: list[str | None] | None = None) -> None:
        self.answers: Iterator[str] = iter(answers)
        self.edits = edits or []
        self.asked: list[str] = []
        self.told: list[str] = []
        self.saved: list[ProposalDocument] = []

    def terminal(self) -> Terminal:
        def ask(one: ProposedDocument, number: int, of: int) -> Answer:
            self.asked.append(one.id)
            return Answer(next(self.answers))

        return Terminal(ask, lambda _: self.edits.pop(0), self.told.append, self.saved.append)


def test_each_answer_is_saved_before_the_next_question() -> None:
    person = Person("asq")
    after = review(proposal(entry("a"), entry("b"), entry("c")), person.terminal())
    assert [[one.accepted for one in saved.proposed] for saved in person.saved] == [
        [True, False, False],
        [True, "skipped", False],
    ]
    assert after == person.saved[-1]


def test_a_review_goes_on_with_what_nobody_has_looked_at() -> None:
    person = Person("aa")
    done = proposal(
        entry("a", accepted=True),
        entry("b"),
        entry("c", accepted="skipped"),
        entry("d", accepted="unchecked"),
    )
    after = review(done, person.terminal())
    assert person.asked == ["b", "d"]
    assert after.checked == 3


def test_going_back_asks_again() -> None:
    person = Person("sba" + "a")
    after = review(proposal(entry("a"), entry("b")), person.terminal())
    assert person.asked == ["a", "b", "a", "b"]
    assert [one.accepted for one in after.proposed] == [True, True]


def test_an_edit_is_accepted_once_it_is_sound() -> None:
    good = entry_text(entry("other", prompt="Why?"))
    person = Person("e", ["id: a\nprompt: x\nexpect: {matches: '('}\n", entry_text(entry("b")), good])
    after = review(proposal(entry("a"), entry("b", accepted=True)), person.terminal())
    assert [one.id for one in after.proposed] == ["other", "b"]
    assert after.proposed[0].accepted is True
    assert "regular expression" in person.told[0]
    assert "id of another canary" in person.told[1]


def test_an_edit_that_changes_nothing_asks_again() -> None:
    person = Person("ea", [None])
    after = review(proposal(entry("a")), person.terminal())
    assert person.asked == ["a", "a"]
    assert after.checked == 1


def test_an_entry_is_read_as_it_was_shown() -> None:
    one = entry("a", prompt="x\ny", expect={"max_length": 5}, why="common", answer="${A}")
    assert read_entry(entry_text(one)) == one


def test_a_person_is_told_when_enough_are_checked() -> None:
    person = Person("a" * 51)
    review(proposal(*(entry(f"c{number}") for number in range(51))), person.terminal())
    assert len(person.told) == 1
    assert isinstance(suite_document(person.saved[-1]), SuiteDocument)
