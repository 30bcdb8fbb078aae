"""The practice model through the real OpenAI client: what the client takes, others take too."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from monitor.demo.practice_model import PracticeModel, practice_app
from monitor.demo.serving import LocalServer

LABEL = "Classify this ticket as billing, bug or how-to: I was charged twice."
REFUND = "In one sentence: what is the refund policy?"


async def no_wait(seconds: float) -> None:
    """The model answers at once."""


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer(practice_app(PracticeModel(seed=5), sleep=no_wait)) as server:
        yield server


@pytest.fixture
def client(server: LocalServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="practice", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, prompt: str = REFUND, **settings) -> openai.types.chat.ChatCompletion:
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model="practice-1", messages=messages, **settings)


def shift(server: LocalServer, mode: str) -> httpx.Response:
    return httpx.post(f"{server.url}/practice/shift", json={"mode": mode})


def texts(client: openai.OpenAI, prompt: str, times: int = 30) -> set[str]:
    return {ask(client, prompt, temperature=0.7).choices[0].message.content for _ in range(times)}


def test_an_answer_has_what_a_real_one_has(client):
    answer = ask(client, max_tokens=200)
    assert answer.model == "practice-1"
    assert answer.system_fingerprint == "fp_practice_a"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens > 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_free_text_varies_and_labels_hardly(client):
    assert len(texts(client, REFUND)) > 10
    assert texts(client, LABEL) <= {"billing", "Billing"}


def test_the_same_seed_gives_the_same_answer(client):
    first, second = (ask(client, seed=11).choices[0].message.content for _ in range(2))
    others = {ask(client, seed=seed).choices[0].message.content for seed in range(8)}
    assert first == second
    assert len(others) > 3


def test_a_stream_holds_the_same_answer_and_its_usage(client):
    whole = ask(client, seed=11)
    chunks = list(ask(client, seed=11, stream=True, stream_options={"include_usage": True}))
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]


def test_a_stream_says_no_usage_unless_asked(client):
    assert all(chunk.usage is None for chunk in ask(client, stream=True))


def test_logprobs_come_when_asked_for(client):
    tokens = ask(client, LABEL, logprobs=True, top_logprobs=2, temperature=1).choices[0].logprobs.content
    assert {top.token for top in tokens[0].top_logprobs} == {"billing", "Billing"}
    assert ask(client, LABEL).choices[0].logprobs is None


def test_an_answer_that_is_too_long_is_cut(client):
    answer = ask(client, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


def test_drift_changes_the_answers_and_nothing_else_that_shows(client, server):
    before, steady = ask(client), texts(client, REFUND)
    assert shift(server, "drifted").status_code == 200
    after, drifted = ask(client), texts(client, REFUND)
    assert not steady & drifted
    assert (after.model, after.system_fingerprint) == (before.model, before.system_fingerprint)


def test_a_swapped_model_shows_its_new_name_and_fingerprint(client, server):
    shift(server, "swapped")
    answer = ask(client)
    assert (answer.model, answer.system_fingerprint) == ("practice-2", "fp_practice_b")


def test_a_model_that_is_down_comes_back(client, server):
    shift(server, "down")
    with pytest.raises(openai.InternalServerError):
        ask(client)
    shift(server, "steady")
    assert ask(client).choices


def test_an_unknown_mode_is_refused_and_changes_nothing(client, server):
    refusal = shift(server, "sideways")
    assert refusal.status_code == 400
    assert "steady, drifted, down, swapped" in refusal.text
    assert httpx.get(f"{server.url}/practice").json()["mode"] == "steady"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"temperature": 3}, openai.BadRequestError),
        ({"max_tokens": 0}, openai.BadRequestError),
        ({"extra_body": {"model": "gpt-4o"}}, openai.NotFoundError),
    ],
    ids=["temperature out of range", "no tokens at all", "another model"],
)
def test_a_bad_request_is_refused_as_openai_does(client, settings, error):
    with pytest.raises(error):
        ask(client, **settings)


def test_another_key_is_refused(server):
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        ask(client)


def test_a_drifted_model_takes_longer():
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    with (
        LocalServer(practice_app(PracticeModel(), sleep=note)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="practice", max_retries=0) as client,
    ):
        ask(client)
        shift(server, "drifted")
        ask(client)
    assert waits[1] > 3 * waits[0]
