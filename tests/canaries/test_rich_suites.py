"""Canaries with pictures, tools, several turns and long texts: how a suite writes them, and what becomes of them."""

import base64
import random
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from canaries import ReplayError
from canaries.abilities import unsupported
from canaries.attachments import MAX_IMAGE_BYTES, MAX_TEXT_BYTES, image_of
from canaries.clock import SystemClock
from canaries.completion import Completion, Run
from canaries.completions_file import read_runs
from canaries.config import TargetConfig
from canaries.contract import contract_of, describe_change
from canaries.document import DocumentError, load_document
from canaries.features import extract
from canaries.prompt import Image, Message, Text, Tool, ToolCall, calls_text
from canaries.replay import replay
from canaries.suite import Canary, Expectations, ExpectedCall, Suite, load_suite
from canaries.validators import validate

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20
PNG64 = base64.b64encode(PNG).decode()
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = """
tools:
  - name: get_weather
    description: The weather of a city.
    parameters: {type: object, properties: {city: {type: string}}, required: [city]}
"""


@pytest.fixture
def load(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.jpg").write_bytes(JPEG)
    (tmp_path / "terms.txt").write_text("abc\n", encoding="utf-8")
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"\xe9")

    def load(text: str) -> Suite:
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        return load_suite(tmp_path / "s.yaml", {})

    load.folder = tmp_path
    return load


def one(suite: Suite, canary: str = "a") -> tuple[Message, ...]:
    return next(found.messages for found in suite.canaries if found.id == canary)


class TestReading:
    def test_a_prompt_may_be_made_of_texts_and_pictures(self, load) -> None:
        suite = load(f"""
canaries:
  - id: a
    prompt:
      - text: "What differs? "
      - image: a.png
      - image: b.jpg
      - image_url: https://example.com/c.webp
      - image_base64: "data:image/png;base64,{PNG64}"
      - text: Be brief.
""")
        (message,) = one(suite)
        assert message.content == "What differs? Be brief."
        assert message.parts == (
            Text("What differs? "),
            Image("image/png", PNG),
            Image("image/jpeg", JPEG),
            Image(url="https://example.com/c.webp"),
            Image("image/png", PNG),
            Text("Be brief."),
        )

    def test_parts_in_words_only_are_a_plain_message(self, load) -> None:
        suite = load("canaries: [{id: a, prompt: [{file: terms.txt}, {text: 'Who?'}]}]")
        assert one(suite) == (Message("user", "abc\nWho?"),)

    def test_a_text_is_filled_to_a_size_by_saying_it_again(self, load) -> None:
        parts = "[{file: terms.txt, fill_chars: 10}, {text: xy, fill_chars: 3}, {text: abc, fill_chars: 2}]"
        assert (
            one(load(f"canaries: [{{id: a, prompt: {parts}}}]"))[0].content == "abc\nabc\nab" + "xyx" + "ab"
        )

    def test_a_conversation_may_call_tools_and_answer_the_calls(self, load) -> None:
        suite = load(
            TOOLS
            + """
canaries:
  - id: a
    messages:
      - {role: user, content: "Warm?"}
      - role: assistant
        tool_calls: [{id: c1, name: get_weather, arguments: {city: Oslo}}, {id: c2, name: get_weather}]
      - {role: tool, tool_call_id: c2, content: "?"}
      - {role: tool, tool_call_id: c1, content: "4"}
      - {role: user, content: "So?"}
"""
        )
        calls = (ToolCall("get_weather", {"city": "Oslo"}, "c1"), ToolCall("get_weather", {}, "c2"))
        assert one(suite) == (
            Message("user", "Warm?"),
            Message("assistant", "", tool_calls=calls),
            Message("tool", "?", tool_call_id="c2"),
            Message("tool", "4", tool_call_id="c1"),
            Message("user", "So?"),
        )

    def test_tools_are_the_suites_unless_a_canary_has_its_own(self, load) -> None:
        suite = load(
            TOOLS
            + """
tool_choice: required
canaries:
  - {id: a, prompt: x}
  - {id: b, prompt: x, tools: [{name: own, strict: true}], tool_choice: own}
  - {id: c, prompt: x, tools: []}
"""
        )
        shared = Tool("get_weather", "The weather of a city.", WEATHER)
        assert [(canary.tools, canary.tool_choice) for canary in suite.canaries] == [
            ((shared,), "required"),
            ((Tool("own", strict=True),), "own"),
            ((), None),
        ]

    def test_expected_arguments_are_those_of_the_tool_unless_more_is_said(self, load) -> None:
        suite = load(
            TOOLS
            + """
canaries:
  - id: a
    prompt: x
    expect:
      tool_calls:
        - {name: get_weather}
        - {name: get_weather, arguments: {properties: {city: {const: Oslo}}}}
  - {id: none, prompt: x, expect: {tool_calls: []}}
"""
        )
        assert suite.canaries[0].expectations.tool_calls == (
            ExpectedCall("get_weather", WEATHER),
            ExpectedCall("get_weather", {"properties": {"city": {"const": "Oslo"}}}),
        )
        assert suite.canaries[1].expectations.tool_calls == ()


LONE = "must have exactly one of `text`, `file`, `image`, `image_url`, `image_base64`"
CALLING = "{role: assistant, tool_calls: [{id: c, name: get_weather}]}"
PROBLEMS = {
    "two sources": ("prompt: [{text: a, file: terms.txt}]", ["prompt[0]: " + LONE]),
    "no source": ("prompt: [{fill_chars: 3}]", ["prompt[0]: " + LONE]),
    "a misspelt part": ("prompt: [{imge: a.png}]", ["prompt[0].imge: unknown key"]),
    "a filled picture": (
        "prompt: [{image: a.png, fill_chars: 3}]",
        ["prompt[0].fill_chars: is for a text with something in it: it is repeated"],
    ),
    "a text that is too long": (
        "prompt: [{file: terms.txt, fill_chars: 8000001}]",
        ["prompt[0].fill_chars: must be at most 8000000, not 8000001"],
    ),
    "no such file": (
        "prompt: [{file: no.txt}]",
        ["prompt[0].file: FOLDER/no.txt cannot be read: No such file"],
    ),
    "no such picture, in a message": (
        "messages: [{role: user, content: [{text: x}, {image: no.png}]}]",
        ["messages[0].content[1].image: FOLDER/no.png cannot be read: No such file"],
    ),
    "a folder": ("prompt: [{file: .}]", ["prompt[0].file: FOLDER cannot be read: Is a directory"]),
    "a text that is no picture": (
        "prompt: [{image: terms.txt}]",
        ["prompt[0].image: FOLDER/terms.txt is no PNG, JPEG, WebP or GIF"],
    ),
    "a file that is no text": (
        "prompt: [{file: latin.txt}]",
        ["prompt[0].file: FOLDER/latin.txt is not UTF-8 text"],
    ),
    "an empty file": ("prompt: [{file: empty.txt}]", ["prompt[0].file: FOLDER/empty.txt is empty"]),
    "broken base64": ("prompt: [{image_base64: '%%'}]", ["prompt[0].image_base64: is not base64"]),
    "base64 of something else": (
        "prompt: [{image_base64: YWJj}]",
        ["prompt[0].image_base64: is no PNG, JPEG, WebP or GIF"],
    ),
    "a picture of the system": (
        "messages: [{role: system, content: [{image: a.png}]}]",
        ["messages[0].content[0]: only a message of the role `user` holds pictures"],
    ),
    "an empty message": (
        "messages: [{role: user}]",
        ["messages[0].content: this key is required and is not there"],
    ),
    "calls of a user": (
        "messages: [{role: user, content: x, tool_calls: [{id: c, name: get_weather}]}]",
        ["messages[0].tool_calls: only a message of the role `assistant` calls tools"],
    ),
    "an answer to no call": (
        "messages: [{role: tool, content: x, tool_call_id: c}]",
        ["messages[0].tool_call_id: answers no call before it that is still open"],
    ),
    "an answer without its call": (
        "messages: [{role: tool, content: x}]",
        ["messages[0].tool_call_id: belongs to each message of the role `tool`, and to no other"],
    ),
    "a call without its answer": (
        f"messages: [{CALLING}, {{role: user, content: x}}]",
        [
            "messages[0].tool_calls[0].id: this call has no answer: a message of the role `tool` with this"
            " `tool_call_id` must follow"
        ],
    ),
    "a call of no tool": (
        "tools: [{name: other}], messages: [" + CALLING + ", {role: tool, content: x, tool_call_id: c}]",
        ['messages[0].tool_calls[0].name: "get_weather" is none of the canary\'s `tools`'],
    ),
    "an expected call of no tool": (
        "prompt: x, expect: {tool_calls: [{name: book}]}",
        ['expect.tool_calls[0].name: "book" is none of the canary\'s `tools`'],
    ),
    "a choice of no tool": (
        "prompt: x, tool_choice: book",
        ['tool_choice: "book" is none of the canary\'s `tools`'],
    ),
    "the suite's choice of a tool that the canary has not": (
        "prompt: x, tools: [{name: own}]",
        ['tool_choice: "get_weather" is none of the canary\'s `tools`'],
    ),
    "a choice without tools": (
        "prompt: x, tools: [], tool_choice: auto",
        ["tool_choice: the canary has no `tools`"],
    ),
    "a tool by the name of a choice": (
        "prompt: x, tools: [{name: auto}]",
        ['tools[0].name: is a word of `tool_choice`; a tool needs another name, not "auto"'],
    ),
    "two tools of one name": (
        "prompt: x, tools: [{name: t}, {name: t}]",
        ["tools[1].name: is already the name of tools[0]"],
    ),
    "arguments that are no object": (
        "prompt: x, tools: [{name: t, parameters: {type: string}}]",
        ["tools[0].parameters: must have `type: object`: the arguments of a call are an object"],
    ),
    "a broken schema": (
        "prompt: x, tools: [{name: t, parameters: {type: object, properties: {n: {type: nubmer}}}}]",
        [
            "tools[0].parameters.properties.n.type: not a valid JSON schema: 'nubmer' is not valid under any of the"
            " given schemas"
        ],
    ),
    "tools twice": (
        "prompt: x, parameters: {tools: []}",
        [": has `tools` and the same in `parameters`; keep `tools`"],
    ),
}


class TestProblems:
    @pytest.mark.parametrize(("canary", "expected"), PROBLEMS.values(), ids=PROBLEMS)
    def test_a_canary_that_cannot_be_used_says_why_and_where(self, load, canary, expected) -> None:
        choice = "get_weather" if "name: own" in canary else "auto"
        with pytest.raises(DocumentError) as caught:
            load(
                TOOLS.replace("\ntools", f"\ntool_choice: {choice}\ntools")
                + f"canaries:\n  - {{id: a, {canary}}}\n"
            )
        told = [f"{p.path}: {p.message}".replace(str(load.folder), "FOLDER") for p in caught.value.problems]
        wanted = [f"canaries[0]{'' if text[0] == ':' else '.'}{text}" for text in expected]
        assert [text.replace(" or directory", "") for text in told] == wanted
        assert all(problem.line == 8 for problem in caught.value.problems)

    def test_what_is_wrong_with_files_is_told_together_with_all_else(self, load) -> None:
        with pytest.raises(DocumentError) as caught:
            load(
                "samples: 0\ncanaries:\n- {id: a, prompt: [{image: no.png}]}\n- {id: a, prompt: [{file: no.txt}]}"
            )
        assert [p.path for p in caught.value.problems] == [
            "samples", "canaries[0].prompt[0].image", "canaries[1].id", "canaries[1].prompt[0].file",
        ]  # fmt: skip

    @pytest.mark.parametrize(("key", "most"), [("image", MAX_IMAGE_BYTES), ("file", MAX_TEXT_BYTES)])
    def test_a_file_that_is_too_large_is_told(self, load, key: str, most: int) -> None:
        (load.folder / "large").write_bytes(PNG[:8] if key == "image" else b"")
        with (load.folder / "large").open("ab") as file:
            file.truncate(most + 1)
        with pytest.raises(DocumentError, match="large is larger than"):
            load(f"canaries: [{{id: a, prompt: [{{{key}: large}}]}}]")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
        (b"<svg/>", None),
    ],
    ids=str,
)
def test_a_picture_is_known_by_its_first_bytes(data: bytes, kind: str | None) -> None:
    found = image_of(data)
    assert (found.media_type if found else None) == kind


PLAIN_HASH = "feb6c4c767b0f21dd703f38a1f1a43cf"
"""What it was when there was nothing else. A baseline of a plain suite must outlive an upgrade."""


class TestContract:
    TARGET = TargetConfig(model="m", suite="s.yaml")

    def hash(self, suite: Suite) -> str:
        return contract_of(suite, self.TARGET).hash

    def test_of_a_plain_suite_is_what_it_was_before_there_were_pictures_and_tools(self, load) -> None:
        suite = load("canaries: [{id: a, prompt: x, expect: {not_empty: true}}]")
        assert self.hash(suite) == PLAIN_HASH

    def test_has_the_bytes_of_pictures(self, load) -> None:
        text = "canaries: [{id: a, prompt: [{text: x}, {image: a.png}]}]"
        before = contract_of(load(text), self.TARGET)
        (load.folder / "a.png").write_bytes(PNG + b"1")
        after = contract_of(load(text), self.TARGET)
        assert describe_change(before, after) == ("canary 'a': messages changed",)

    @pytest.mark.parametrize(
        "other",
        [
            "prompt: x, tools: [{name: u}]",
            "prompt: x, tools: [{name: t, description: d}]",
            "prompt: x, tools: [{name: t, strict: true}]",
            "prompt: x, tools: [{name: t}], tool_choice: t",
            "prompt: x, tools: [{name: t}], expect: {tool_calls: []}",
            "prompt: x",
        ],
    )
    def test_has_all_of_the_tools(self, load, other: str) -> None:
        before = load("canaries: [{id: a, prompt: x, tools: [{name: t}]}]")
        assert self.hash(load(f"canaries: [{{id: a, {other}}}]")) != self.hash(before)

    def test_has_the_calls_of_earlier_turns(self, load) -> None:
        text = (
            TOOLS + "canaries: [{id: a, messages: [{role: assistant, tool_calls: [{id: c, name: get_weather,"
            " arguments: {city: Oslo}}]}, {role: tool, content: x, tool_call_id: c}]}]"
        )
        assert self.hash(load(text)) != self.hash(load(text.replace("Oslo", "Rome")))


OSLO = ToolCall("get_weather", {"city": "Oslo"})
ROME = ToolCall("get_weather", {"city": "Rome"})
BOOK = ToolCall("book", {})
EXPECTED = (ExpectedCall("get_weather", WEATHER), ExpectedCall("book", {}))


@pytest.mark.parametrize(
    ("expected", "calls", "checks"),
    [
        pytest.param(EXPECTED, (OSLO, BOOK), [True, True], id="as expected"),
        pytest.param(EXPECTED, (BOOK, OSLO), [False, False], id="in another order"),
        pytest.param(EXPECTED, (OSLO,), [False, False], id="too few"),
        pytest.param(EXPECTED, (OSLO, BOOK, BOOK), [False, False], id="too many"),
        pytest.param(EXPECTED, (), [False, False], id="none"),
        pytest.param(
            EXPECTED, (ToolCall("get_weather", {}), BOOK), [True, False], id="an argument is missing"
        ),
        pytest.param(
            EXPECTED, (ToolCall("get_weather", "{oops"), BOOK), [True, False], id="arguments are no JSON"
        ),
        pytest.param((), (), [True], id="none expected"),
        pytest.param((), (OSLO,), [False], id="none expected, one came"),
    ],
)
def test_calls_are_checked_by_name_order_and_arguments(expected, calls, checks) -> None:
    found = validate(Expectations(tool_calls=expected), calls_text(calls), "tool_calls", calls)
    assert [check.passed for check in found] == checks
    assert all("Oslo" not in check.note and "oops" not in check.note for check in found)


def test_text_that_only_looks_like_a_call_is_none() -> None:
    (names, _) = validate(Expectations(tool_calls=EXPECTED[:1]), calls_text([OSLO]), "stop", ())
    assert not names.passed


def test_calls_are_compared_in_one_form_whatever_the_order_of_keys() -> None:
    one_way = [ToolCall("book", {"b": 1, "a": "é"}, "id-1")]
    other_way = [ToolCall("book", {"a": "é", "b": 1}, "id-2")]
    assert calls_text(one_way) == calls_text(other_way) == '[{"arguments":{"a":"é","b":1},"name":"book"}]'


def test_a_score_sees_the_call_and_its_checks() -> None:
    expectations = Expectations(tool_calls=EXPECTED[:1])
    canary = Canary("a", (Message("user", "x"),), {}, None, expectations)
    suite = Suite("s", (canary,))

    def features(call: ToolCall):
        done = Completion("a", text=calls_text([call]), tool_calls=(call,))
        return extract(Run("r", "t", "s", datetime(2026, 1, 1, tzinfo=UTC), (done,)), suite, b"key").answers[
            0
        ]

    assert features(OSLO).checks == {"tool_calls": True, "tool_arguments": True}
    assert features(OSLO).answer_hash != features(ROME).answer_hash


class TestAbilities:
    @pytest.mark.parametrize(
        ("provider", "expected"),
        [
            ("openai", ()),
            ("anthropic", ()),
            ("vllm", ()),
            (
                "ollama",
                (
                    'canary "url": Ollama fetches no pictures; use `image` with a file instead of `image_url`',
                    'canary "chosen": Ollama takes no `tool_choice`',
                ),
            ),
            ("gemini", ('canary "gif": Gemini generateContent takes no pictures of the kind image/gif',)),
        ],
    )
    def test_what_an_api_lacks_is_said_of_the_canaries_that_need_it(self, load, provider, expected) -> None:
        assert unsupported(self.suite(load), provider) == expected

    async def test_a_run_that_asks_what_an_api_lacks_does_not_start(self, load) -> None:
        target = TargetConfig(provider="ollama", model="m", suite="s.yaml")
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: pytest.fail("asked"))) as client:
            with pytest.raises(ReplayError, match='canary "url": Ollama fetches no pictures'):
                await replay(self.suite(load), target, "t", "r", SystemClock(), random.Random(1), client)

    def suite(self, load) -> Suite:
        (load.folder / "c.gif").write_bytes(b"GIF89a")
        return load(
            TOOLS
            + """
canaries:
  - {id: gif, prompt: [{image: c.gif}]}
  - {id: url, prompt: [{image_url: "https://example.com/a.png"}]}
  - {id: chosen, prompt: x, tool_choice: get_weather}
  - {id: plain, prompt: x, tool_choice: auto}
"""
        )


class TestTarget:
    def complaints(self, text: str) -> list[str]:
        with pytest.raises(DocumentError) as caught:
            load_document(f"{{model: m, suite: s, {text}}}", "t.yaml", TargetConfig, {})
        return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "provider: anthropic, logprobs: 5",
                ["logprobs: cannot be had: Anthropic messages has no log-probabilities"],
            ),
            ("provider: anthropic, seed: 5", ["seed: cannot be sent: Anthropic messages takes none"]),
            ("provider: openai_responses, seed: 5", ["seed: cannot be sent: OpenAI responses takes none"]),
            ("provider: azure", ["base_url: is required: Azure OpenAI has no address of its own"]),
            (
                "provider: anthropic, base_url: 'https://a.o/v1/messages'",
                [
                    'base_url: must end before "/messages", which is added to it, not "https://a.o/v1/messages"'
                ],
            ),
        ],
    )
    def test_that_asks_what_its_api_lacks_says_so(self, text: str, expected: list[str]) -> None:
        assert self.complaints(text) == expected

    def test_of_a_misspelt_provider_gets_a_hint(self) -> None:
        with pytest.raises(DocumentError, match='did you mean "gemini"'):
            load_document("{model: m, suite: s, provider: gemnii}", "t.yaml", TargetConfig, {})

    @pytest.mark.parametrize(
        ("provider", "address"),
        [
            ("openai", "https://api.openai.com/v1"),
            ("anthropic", "https://api.anthropic.com/v1"),
            ("gemini", "https://generativelanguage.googleapis.com/v1beta"),
            ("ollama", "http://127.0.0.1:11434/v1"),
        ],
    )
    def test_has_the_usual_address_of_its_provider(self, provider: str, address: str) -> None:
        text = f"{{model: m, suite: s, provider: {provider}}}"
        assert load_document(text, "t.yaml", TargetConfig, {}).base_url == address


class TestCompletionsFile:
    def test_a_line_may_hold_calls_in_place_of_a_text(self, tmp_path: Path) -> None:
        path = tmp_path / "c.jsonl"
        path.write_text('{"canary": "a", "tool_calls": [{"name": "book", "arguments": {"n": 1}}]}\n')
        (run,) = read_runs(path)
        assert run.completions[0].text == '[{"arguments":{"n":1},"name":"book"}]'
        assert run.completions[0].tool_calls == (ToolCall("book", {"n": 1}),)

    @pytest.mark.parametrize("calls", ['"x"', "[1]", '[{"name": "a"}]', '[{"name": 1, "arguments": {}}]'])
    def test_calls_that_are_none_are_told(self, tmp_path: Path, calls: str) -> None:
        path = tmp_path / "c.jsonl"
        path.write_text(f'{{"canary": "a", "text": "x", "tool_calls": {calls}}}\n')
        with pytest.raises(Exception, match=r"c\.jsonl:1: .*tool_calls"):
            read_runs(path)
