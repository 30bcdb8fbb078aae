import math
import random

import pytest

from monitor.demo.language import Language, phrases, tokens_of

WEATHER = Language([("It rains.", 6), ("It snows.", 3), ("Sun", 1)])


def spoken(language: Language, temperature: float = 1.0, times: int = 400) -> list[str]:
    rng = random.Random(7)
    return [language.speak(rng, temperature, max_tokens=50).text for _ in range(times)]


@pytest.mark.parametrize(
    "text", ["It rains.", '{"a": [1, 2]}', "two  spaces\nand a line ", "", "naïve – dash"]
)
def test_the_tokens_of_a_text_joined_are_the_text(text):
    assert "".join(tokens_of(text)) == text


def test_answers_come_about_as_often_as_their_weights_say():
    assert spoken(WEATHER).count("It rains.") == pytest.approx(240, abs=40)


def test_temperature_zero_always_says_the_likeliest():
    assert set(spoken(WEATHER, temperature=0)) == {"It rains."}


def test_a_low_temperature_says_the_rare_less_often_than_a_high_one():
    cold, hot = spoken(WEATHER, temperature=0.3), spoken(WEATHER, temperature=2.0)
    assert cold.count("Sun") < 10 < 60 < hot.count("Sun")


def test_the_logprobs_of_an_answer_multiply_to_its_probability():
    answer = next(
        a for seed in range(50) if (a := WEATHER.speak(random.Random(seed), 1.0, 50)).text == "It snows."
    )
    assert math.exp(sum(token.logprob for token in answer.tokens)) == pytest.approx(0.3)


def test_the_likeliest_first_tokens_are_those_of_all_answers():
    answer = WEATHER.speak(random.Random(1), 1.0, 50, likeliest=5)
    assert {text: round(math.exp(logprob), 3) for text, logprob in answer.tokens[0].likeliest} == {
        "It": 0.9,
        "Sun": 0.1,
    }


@pytest.mark.parametrize(
    ("max_tokens", "text", "was_cut"),
    [(2, "It rains", True), (3, "It rains.", False), (9, "It rains.", False)],
    ids=["shorter than the answer", "just as long", "longer"],
)
def test_an_answer_is_cut_only_where_more_was_to_say(max_tokens, text, was_cut):
    answer = WEATHER.speak(random.Random(1), 0, max_tokens)
    assert (answer.text, answer.was_cut) == (text, was_cut)


def test_phrases_are_every_choice_with_the_product_of_the_weights():
    assert dict(phrases({"A": 1, "B": 2}, " is", {" so": 0.5, " not": 0.25})) == {
        "A is so": 0.5,
        "A is not": 0.25,
        "B is so": 1.0,
        "B is not": 0.5,
    }
