"""What makes the drift of the demo worth showing: no check of its suite can see it."""

from pathlib import Path

import pytest

import monitor.demo
from canaries.suite import Canary, load_suite
from canaries.validators import validate
from monitor.demo.practice_model import ChatRequest, Mode, PracticeModel

SUITE = load_suite(Path(monitor.demo.__file__).parent / "deployment/suites/practice.yaml", {})
ANSWERS = 150


def answers(canary: Canary, mode: Mode) -> list[str]:
    model = PracticeModel(seed=3)
    model.mode = mode
    messages = [{"role": message.role, "content": message.content} for message in canary.messages]
    request = ChatRequest(model="practice-1", messages=messages, **SUITE.parameters)
    return [model.answer(request).spoken.text for _ in range(ANSWERS)]


@pytest.mark.parametrize("canary", SUITE.canaries, ids=lambda canary: canary.id)
@pytest.mark.parametrize("mode", [Mode.STEADY, Mode.DRIFTED])
def test_every_answer_meets_its_expectations(canary, mode):
    for text in set(answers(canary, mode)):
        failed = [check.name for check in validate(canary.expectations, text, "stop") if not check.passed]
        assert not failed, text


@pytest.mark.parametrize("canary", SUITE.canaries, ids=lambda canary: canary.id)
def test_the_drift_says_the_same_in_other_words(canary):
    steady, drifted = (answers(canary, mode) for mode in (Mode.STEADY, Mode.DRIFTED))
    unseen = sum(text not in set(steady) for text in drifted)
    usual = max(set(steady), key=steady.count)
    assert unseen > ANSWERS / 5 or drifted.count(usual) < 0.8 * steady.count(usual)
