import time
import unicodedata

import pytest

from canaries.canonical import MAX_REGEX_CHARS, SCRUBBERS, CustomScrubber, canonical, tokens, well_formed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("  billing\n", "billing", id="outer white space"),
        pytest.param("caf\u00e9", "cafe\u0301", id="composed and decomposed letters"),
        pytest.param("a\r\nb\rc", "a\nb\nc", id="line ends"),
        pytest.param("\u3000 x \u00a0", "x", id="white space of other scripts"),
    ],
)
def test_what_differs_without_meaning_is_the_same(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Billing", "billing"), ("a b", "a  b"), ("a", "a."), ("\ufb01", "fi")], ids=repr
)
def test_what_may_have_meaning_stays_different(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("scrubber", "text", "expected"),
    [
        ("uuid", "id 3f2504e0-4f89-11d3-9a0c-0305e82c3301.", "id <uuid>."),
        ("uuid", "id 3f2504e0-4f89-11d3-9a0c", "id 3f2504e0-4f89-11d3-9a0c"),
        ("timestamp", "2024-01-31T10:20:30.123Z 2024-01-31 10:20 10:20:30", "<timestamp> <timestamp> <timestamp>"),
        ("timestamp", "2024-01-31T10:20:30+02:00", "<timestamp>"),
        ("timestamp", "ratio 3:2", "ratio 3:2"),
        ("date", "2024-01-31, 31.01.2024, 1/31/24", "<date>, <date>, <date>"),
        ("date", "January 31, 2024 or Jan. 3rd 2024 or 31 March 2024", "<date> or <date> or <date>"),
        ("date", "May I ask 2024 things", "May I ask 2024 things"),
        ("hex", "0xFF deadbeef01 cafebabe", "<hex> <hex> cafebabe"),
        ("number", "1,234.5 and 7", "<number> and <number>"),
    ],
)  # fmt: skip
def test_a_named_scrubber_takes_out_what_it_is_named_for(scrubber: str, text: str, expected: str) -> None:
    assert canonical(text, [scrubber]) == expected


def test_scrubbers_are_applied_in_their_order() -> None:
    text = "2024-01-31 and 5"
    assert canonical(text, ["date", "number"]) == "<date> and <number>"
    assert canonical(text, ["number", "date"]) == "<number>-<number>-<number> and <number>"


def test_a_scrubber_of_the_suite_replaces_in_the_words_of_re_sub() -> None:
    assert (
        canonical("Order 12 of Ann", [CustomScrubber(r"Order \d+ of (\w+)", r"Order N of \1")])
        == "Order N of Ann"
    )


def test_a_text_is_scrubbed_up_to_the_limit_and_kept_beyond_it() -> None:
    text = "1" + "a" * (MAX_REGEX_CHARS - 1) + "2"
    assert canonical(text, ["number"]) == "<number>" + "a" * (MAX_REGEX_CHARS - 1) + "2"


@pytest.mark.parametrize("name", SCRUBBERS)
@pytest.mark.parametrize(
    "text", ["1" * 20_000, "1-" * 10_000, "aF0" * 7_000, "1," * 10_000, "1:" * 9_000, "Maya " * 4_000]
)
def test_no_named_scrubber_is_slow_on_a_hostile_text(name: str, text: str) -> None:
    started = time.process_time()
    canonical(text, [name])
    assert time.process_time() - started < 2


def test_a_flood_of_accents_is_not_slow_and_stays_what_it_is() -> None:
    started = time.process_time()
    form = canonical("a" + "\u0301\u0327" * 50_000)
    assert time.process_time() - started < 5, "normalised at once this takes minutes"
    assert form.count("\u0327") + form.count("\u0301") > 90_000


def test_a_long_text_is_normalised_as_a_whole_would_be() -> None:
    text = "cafe\u0301 \u1112\u1161\u11ab " * 2_000
    assert canonical(text) == unicodedata.normalize("NFC", text).strip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't pay $12.50!", ["Don", "'", "t", "pay", "$", "12", ".", "50", "!"]),
        ("Größe naïve 東京 x_1", ["Größe", "naïve", "東京", "x", "_", "1"]),
        ("", []),
        (" \n\t", []),
        ("Case case", ["Case", "case"]),
        ("a👍🏽b", ["a", "👍", "🏽", "b"]),
    ],
    ids=repr,
)
def test_tokens_are_words_numbers_and_signs(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\ud83d\ude00b", "a\U0001f600b"), ("a\ud83db", "a\ufffdb"), ("\ude00", "\ufffd"), ("plain", "plain")],
    ids=["a pair is joined", "half of a pair", "the other half", "nothing to do"],
)
def test_lone_surrogates_do_not_survive(text: str, expected: str) -> None:
    assert well_formed(text) == expected
    canonical(text).encode("utf-8")
