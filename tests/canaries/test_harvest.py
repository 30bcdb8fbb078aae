"""Requests to a proposed suite: what is alike is found, what is picked is a spread, and nothing personal is left."""

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from canaries.harvest.clusters import NONE, cluster
from canaries.harvest.exchange import Edge, Exchange
from canaries.harvest.gathering import Gathered, Gathering
from canaries.harvest.language import language_of
from canaries.harvest.near_duplicates import near_duplicates
from canaries.harvest.picking import CHARS_MAX
from canaries.harvest.proposal import proposal_text
from canaries.harvest.proposing import Harvest, propose
from canaries.harvest.suggestions import suggested
from canaries.harvest.words import directions, words_of
from canaries.suite import ExpectDocument, Message
from canaries.tree import MAX_CHARS


def ask(question: str, answer: str | None = "Sure.", system: str | None = None, **more: Any) -> Exchange:
    first = [] if system is None else [Message("system", system)]
    return Exchange((*first, Message("user", question)), answer, **more)


def gathered(exchanges: Iterable[Exchange], prompts_max: int = 10_000) -> Gathered:
    gathering = Gathering(prompts_max=prompts_max)
    gathering.take(exchanges)
    return gathering.gathered()


def harvest(exchanges: Iterable[Exchange], wanted: int = 50, **more: Any) -> Harvest:
    found = propose(gathered(exchanges), wanted, **more)
    assert found is not None
    return found


# --- what is the same


def test_prompts_that_differ_in_case_space_and_numbers_are_one() -> None:
    found = gathered([ask("Where is order 4411?"), ask("where is  order 7?"), ask("Where is my order?")])
    assert [(one.key, one.requests) for one in found.prompts] == [
        ("where is order 0?", 2),
        ("where is my order?", 1),
    ]


def test_of_too_many_prompts_a_random_part_is_kept_with_all_its_requests() -> None:
    words = [
        f"{'abcdefghij'[n // 100]}{'klmnopqrst'[n // 10 % 10]}{'uvwxyzabcd'[n % 10]}" for n in range(1_000)
    ]
    found = gathered((ask(word) for word in words * 3), prompts_max=300)
    assert found.requests == 3_000
    assert found.share in (0.25, 0.125)
    assert len(found.prompts) == pytest.approx(1_000 * found.share, rel=0.3)
    assert {one.requests for one in found.prompts} == {3}


def test_near_duplicates_are_found_and_others_are_not() -> None:
    letter = "Dear team, thank you for the offer of last week, which we have read with great interest. "
    texts = [
        letter + "Please call us on Monday.",
        letter + "Please call us on Friday.",
        "Dear team, we have never had such a bad week in this house, please call the owner.",
        "",
        "",
        "Monday",
    ]
    groups = near_duplicates(words_of(texts))
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 5


SUBJECTS = {
    "parcel": ("parcel", "delivery", "courier", "tracking"),
    "refund": ("refund", "reimbursement", "repayment", "chargeback"),
    "login": ("password", "login", "locked", "credentials"),
    "gym": ("gym", "workout", "trainer", "treadmill"),
    "tax": ("tax", "deductions", "withholding", "bracket"),
    "recipe": ("recipe", "dough", "oven", "ingredients"),
    "visa": ("visa", "passport", "embassy", "permit"),
    "garden": ("garden", "soil", "pruning", "watering"),
}
SENTENCES = (
    "How do I change {} and {}?", "I need {} today, also {}.", "Why does {} take longer than {}?", "{} or {}, please",
    "Compare {} with {} in {n} sentences.", "Is {} possible without {}?", "Write {n} lines about {} and {}.",
)  # fmt: skip


OPENINGS = (
    "",
    "Hello there! ",
    "Quick question: ",
    "Sorry to bother again, ",
    "As told before, ",
    "urgent ",
    "My boss asks: ",
)
CLOSINGS = (
    "",
    " Thanks a lot",
    " Any idea?",
    " Keep it short.",
    " Kind regards",
    " It matters to me.",
    " Answer soon",
)


def about(subject: str, chance: random.Random) -> str:
    """A question about the subject, in two of its words."""
    sentence = "".join(chance.choice(part) for part in (OPENINGS, SENTENCES, CLOSINGS))
    return sentence.format(*chance.sample(SUBJECTS[subject], 2), n=chance.randrange(2, 9))


def test_known_subjects_are_found_again() -> None:
    chance = random.Random(1)
    truth = [list(SUBJECTS)[n % len(SUBJECTS)] for n in range(400)]
    texts = [about(subject, chance) for subject in truth]
    words, weights = words_of(texts), np.ones(len(texts))
    found = cluster(words, directions(words, weights), weights).of.tolist()
    counts = Counter(zip(found, truth, strict=True))
    majority = {n: max(SUBJECTS, key=lambda subject: counts[n, subject]) for n in set(found) - {NONE}}
    right = sum(majority.get(number) == true for number, true in zip(found, truth, strict=True))
    assert right / len(truth) > 0.95
    assert set(majority.values()) == set(SUBJECTS)
    assert len(majority) <= len(SUBJECTS) + 2


def test_requests_that_an_application_puts_together_are_grouped_by_its_template() -> None:
    random = np.random.default_rng(0)
    templates = [
        "Summarise this text in three short sentences: {}",
        "Translate the following text into French: {}",
    ]
    texts = [
        templates[n % 2].format(" ".join("".join(random.choice(list("abcdefgh"), 8)) for _ in range(12)))
        for n in range(400)
    ]
    words, weights = words_of(texts), np.ones(len(texts))
    found = cluster(words, directions(words, weights), weights)
    of = found.of.tolist()
    assert sum(of[n] == of[0] for n in range(0, 400, 2)) + sum(of[n] == of[1] for n in range(1, 400, 2)) > 390
    assert of[0] != of[1]


def test_prompts_without_anything_in_common_are_in_no_cluster() -> None:
    words, weights = words_of(["one", "two", "three", ""]), np.ones(4)
    assert cluster(words, directions(words, weights), weights).of.tolist() == [NONE] * 4


# --- what is picked


def requests(number: int = 600) -> list[Exchange]:
    chance = random.Random(5)
    weights = range(len(SUBJECTS), 0, -1)
    return [
        ask(about(subject, chance), f"About {subject}.")
        for subject in chance.choices(list(SUBJECTS), weights, k=number)
    ]


def test_every_kind_of_edge_case_is_proposed_beside_what_is_common() -> None:
    special = [
        ask("Please delete the whole account of the refund now", "I'm sorry, but I can't help with that."),
        ask("Why does the parcel take so long, is it lost?", None, has_failed=True),
        ask("What is the weather tomorrow, rain forecast please", None, finish_reason="tool_calls"),
        ask("Tell me all about the mortgage and its interest rate", "Once upon", finish_reason="length"),
        ask("Wo ist mein Paket und wann kommt es bei mir an?", "Morgen."),
        ask("xylophone quantum zebra"),
        *(ask("About the gym: " + f"workout number {n} and treadmill. " * 40) for n in range(3)),
    ]
    found = harvest([*requests(), *special], 60)
    assert set(found.account.edges) == {edge.value for edge in Edge}
    edges = sum(found.account.edges.values())
    assert 10 <= edges <= 60 * 0.3 + 1
    first = found.proposal.proposed[:20]
    assert sum(one.why.startswith("edge case") for one in first) >= 5


def test_the_largest_clusters_come_first_and_coverage_grows() -> None:
    account = harvest(requests(2_000), 60).account
    assert all(a.share >= b.share for a, b in zip(account.clusters, account.clusters[1:], strict=False))
    assert account.clusters[0].canaries
    assert list(account.coverage) == sorted(account.coverage)
    assert account.coverage[-1] > 0.9


def test_no_two_picks_are_nearly_the_same() -> None:
    same = [ask(f"please help me with the refund of my last order {'!' * n}") for n in range(50)]
    found = harvest([*same, *requests(200)], 100)
    texts = [one.prompt or "" for one in found.proposal.proposed]
    assert sum("refund of my last order" in text for text in texts) == 1


def test_what_a_suite_asks_already_is_not_proposed_again() -> None:
    known = "Please help me with the refund of my last order now"
    found = propose(
        gathered([ask(f"{known}!"), ask("Where is the gym?"), ask("The gym?")]), 1, known={"gym": known}
    )
    assert found is not None
    assert [(one.id, one.prompt) for one in found.proposal.proposed] == [("gym-2", "Where is the gym?")]


def test_the_same_requests_give_the_same_proposal() -> None:
    assert harvest(requests(), seed=3) == harvest(requests(), seed=3)


def test_prompts_too_long_to_be_read_are_left_out_and_told() -> None:
    found = harvest([*requests(50), ask("word " * CHARS_MAX)])
    assert found.account.left_out == {f"longer than {CHARS_MAX:,} characters": 1}


def test_a_question_that_was_also_asked_after_a_long_conversation_is_left_out() -> None:
    long = Exchange(
        (Message("user", "word " * CHARS_MAX), Message("assistant", "Oh."), Message("user", "Why?")), "So."
    )
    assert propose(gathered([ask("Why?"), long]), 10) is None


def test_a_proposal_has_a_bound_and_says_what_is_left_out() -> None:
    words = [f"{'abcdefghij'[n // 10]}{'klmnopqrst'[n % 10]}" for n in range(100)]
    found = harvest([ask(" ".join([word] * 6_000)) for word in words], 100)
    assert found.account.left_out == {"picked, but the proposal is full": 100 - len(found.proposal.proposed)}
    assert len(proposal_text(found.proposal)) < MAX_CHARS


def test_nothing_gathered_makes_no_proposal() -> None:
    assert propose(gathered([]), 10) is None
    assert propose(gathered([ask("word " * CHARS_MAX)]), 10) is None


# --- what becomes of a pick


def test_nothing_personal_gets_into_a_proposal() -> None:
    told = "jane.doe@example.org"
    found = harvest([ask(f"Where is the order of {told}?", f"It was sent to {told}.", system=f"Help {told}")])
    (one,) = found.proposal.proposed
    assert found.proposal.system == "Help <email-1>"
    assert (one.prompt, one.answer) == ("Where is the order of <email-1>?", "It was sent to <email-1>.")
    assert (one.redacted, found.account.redacted, found.account.redacted_canaries) == (
        {"email": 1},
        {"email": 1},
        1,
    )
    assert "jane" not in str(found)


def test_answers_to_other_numbers_are_not_taken_for_answers_to_this_prompt() -> None:
    found = harvest([ask("Is 4 even?", "Yes, 4 is."), ask("Is 5 even?", "No, 5 is odd.")])
    assert found.proposal.proposed[0].expect.matches == [r"(?i)(?<!\w)Yes,\s+4\s+is(?!\w)"]


def test_system_prompts_that_differ_stay_with_their_canary() -> None:
    found = harvest([ask("Where is it?", system="Be kind."), ask("How much is this?", system="Be short.")])
    assert found.proposal.system is None
    messages = found.proposal.proposed[0].messages
    assert messages is not None
    assert [one.role for one in messages] == ["system", "user"]


def test_ids_are_names_and_each_is_there_once() -> None:
    found = harvest([ask("配送状況を教えてください"), ask("返品できますか"), *requests(60)], 80)
    ids = [one.id for one in found.proposal.proposed]
    assert len(set(ids)) == len(ids)
    assert "canary" in ids


LANGUAGES = {
    "Where is my order and when will it come?": "English",
    "Wo ist meine Bestellung und wann kommt sie?": "German",
    "Où est ma commande et quand arrive-t-elle dans mon pays ?": "French",
    "¿Dónde está mi pedido y cómo lo cambio?": "Spanish",
    "Где мой заказ?": "Cyrillic",
    "配送状況を教えてください": "Japanese",
    "我的订单在哪里": "Chinese",
    "SELECT 1": "",
    "": "",
}


@pytest.mark.parametrize(("text", "language"), LANGUAGES.items())
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert language_of(text) == language


# --- what is expected of its answers

LABELS = ["refund", "delivery", "refund", "other", "delivery", "refund"]
SUGGESTED: dict[str, tuple[list[str], list[str], dict[str, Any]]] = {
    "no answer": ([], [], {"not_empty": True}),
    "a sentence": (["It takes three days."], [], {"not_empty": True, "no_refusal": True, "max_length": 500}),
    "a word": (["Canberra."], [], {"matches": r"(?i)(?<!\w)Canberra(?!\w)"}),
    "a refusal": (["I'm sorry, but I can't help with that."], [], {"not_empty": True, "max_length": 500}),
    "an object": (
        ['{"queue": "a", "age": 3}', '{"queue": "b", "age": null}'],
        [],
        {
            "json_schema": {
                "type": "object",
                "required": ["queue", "age"],
                "properties": {"queue": {"type": "string"}},
            }
        },
    ),
    "a list": (["[1, 2]"], [], {"json": True}),
    "a fenced object": (['```json\n{"a": 1}\n```'], [], {"json": "repairable"}),
    "labels": (["refund"], LABELS, {"labels": ["delivery", "other", "refund"]}),
    "labels that hide somebody": (
        ["<email-1>"],
        ["<email-1>"] * 6,
        {"not_empty": True, "no_refusal": True, "max_length": 500},
    ),
    "a number in all answers": (
        ["It is 230 volts.", "Volts: 230, at 50 Hz."],
        [],
        {"matches": [r"(?i)(?<!\w)230(?!\w)"]},
    ),
    "a long answer": (["word " * 300], [], {"max_length": 5_000}),
    "a redacted word": (["<email-1>"], [], {"not_empty": True, "no_refusal": True, "max_length": 500}),
}  # fmt: skip


@pytest.mark.parametrize(("answers", "beside", "part"), SUGGESTED.values(), ids=SUGGESTED)
def test_what_is_suggested_fits_the_recorded_answers(
    answers: list[str], beside: list[str], part: dict[str, Any]
) -> None:
    found = suggested("What is it?", answers, beside)
    assert part.items() <= found.items()
    if "not_empty" in part:
        assert found == part
    ExpectDocument.model_validate(found)


def test_a_number_of_the_question_is_no_news_in_an_answer() -> None:
    assert "matches" not in suggested("What is 12 x 12?", ["12 x 12 is a lot", "It is 12 times 12"])
