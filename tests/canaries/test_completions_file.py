import gzip
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from canaries import CompletionsError
from canaries.completion import Completion, Outcome, Run
from canaries.completions_file import read_rows, read_runs, row_of, write_runs
from canaries.prompt import ToolCall


def row(**fields: Any) -> str:
    return json.dumps({"canary": "a", "text": "x"} | fields)


@pytest.fixture
def written(tmp_path: Path):
    def write(*lines: str, name: str = "c.jsonl") -> Path:
        path = tmp_path / name
        data = "\n".join(lines).encode("utf-8", "surrogatepass")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def complaint(path: Path) -> str:
    with pytest.raises(CompletionsError) as caught:
        read_runs(path)
    return str(caught.value).removeprefix(str(path))


def test_rows_of_one_run_are_one_run_in_the_order_of_their_first_rows(written) -> None:
    path = written(row(run="r2"), row(run="r1"), row(run="r2", canary="b"))
    runs = read_runs(path)
    assert [run.id for run in runs] == ["r2", "r1"]
    assert [done.canary for done in runs[0].completions] == ["a", "b"]


def test_a_row_without_a_run_is_a_run_of_its_own(written) -> None:
    assert [len(run.completions) for run in read_runs(written(row(), row(), row()))] == [1, 1, 1]


def test_all_fields_are_read_and_unknown_ones_left_alone(written) -> None:
    path = written(
        row(
            run=7, at="2024-01-31T12:00:00+02:00", target="t", finish_reason="stop", token_ids=[1], logprobs=[-0.5, -1],
            first_top=[[7, -0.1], ["b", -2]], latency_s=1.5, ttft_s=0.2, input_tokens=3, output_tokens=2.0,
            served_model="m", system_fingerprint="fp", prompt_id="not read", sample=4,
        )
    )  # fmt: skip
    (run,) = read_runs(path, suite="support")
    at = datetime(2024, 1, 31, 10, 0, tzinfo=UTC)
    assert (run.id, run.target, run.suite, run.at) == ("7", "t", "support", at)
    assert run.completions == (
        Completion(
            canary="a", sample=4, text="x", finish_reason="stop", served_model="m", system_fingerprint="fp",
            logprobs=(-0.5, -1.0), first_top=(("7", -0.1), ("b", -2.0)), latency_s=1.5, ttft_s=0.2,
            input_tokens=3, output_tokens=2, at=at,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2024-01-31T10:00:00Z", datetime(2024, 1, 31, 10, 0, tzinfo=UTC)),
        ("2024-01-31T10:00:00", datetime(2024, 1, 31, 10, 0, tzinfo=UTC)),
        (1706695200, datetime(2024, 1, 31, 10, 0, tzinfo=UTC)),
        (1706695200.5, datetime(2024, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_iso_text_or_unix_seconds(written, at: object, expected: datetime) -> None:
    assert read_runs(written(row(at=at)))[0].at == expected


def test_a_run_starts_with_its_first_completion(written) -> None:
    (run,) = read_runs(written(row(run="r", at=200), row(run="r", at=100), row(run="r")))
    assert run.at == datetime.fromtimestamp(100, UTC)


def test_runs_without_a_time_are_as_far_apart_as_the_caller_says(written) -> None:
    runs = read_runs(written(row(), row(), row()), every_s=60)
    assert [later.at - earlier.at for earlier, later in pairwise(runs)] == [timedelta(minutes=1)] * 2
    assert all(done.at is None for run in runs for done in run.completions)


def test_no_two_answers_of_a_run_are_the_same_sample(written) -> None:
    # As when recordings of two origins, that count from 0 each, are put together.
    lines = [row(run=1, sample=n, text=t) for n, t in ((0, "x"), (1, "y"), (0, "z"), (5, "u"), (2, "v"))]
    (run,) = read_runs(written(*lines))
    assert [(done.sample, done.text) for done in run.completions] == [
        (0, "x"), (1, "y"), (2, "z"), (5, "u"), (4, "v"),
    ]  # fmt: skip


def test_a_run_is_of_one_target(written) -> None:
    path = written(row(run="r", target="bot"), row(run="r", canary="b"), row(run="r", target="other"))
    assert complaint(path) == ':3: run "r" is of target "bot": a run of "other" needs another id'
    (run,) = read_runs(written(row(run="r"), row(run="r", canary="b", target="bot")))
    assert run.target == "bot"


def test_samples_of_a_canary_are_counted_where_the_file_does_not(written) -> None:
    (run,) = read_runs(written(row(run="r"), row(run="r", canary="b"), row(run="r")))
    assert [(done.canary, done.sample) for done in run.completions] == [("a", 0), ("b", 0), ("a", 1)]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"error": "timeout"}, Outcome.TIMEOUT),
        ({"error": "something else"}, Outcome.SERVER),
        ({"error": "slow", "outcome": "rate_limit"}, Outcome.RATE_LIMIT),
        ({"error": None}, Outcome.ANSWERED),
        ({"error": ""}, Outcome.ANSWERED),
    ],
)
def test_an_error_is_an_outcome_and_has_no_text(written, fields: dict[str, Any], outcome: Outcome) -> None:
    (done,) = read_runs(written(row(**fields)))[0].completions
    assert (done.outcome, done.text) == (outcome, "x" if outcome is Outcome.ANSWERED else None)


def test_an_error_needs_no_text(written) -> None:
    (run,) = read_runs(written(json.dumps({"canary": "a", "error": "connection"})))
    assert run.completions[0].outcome is Outcome.CONNECTION


def test_an_empty_text_is_an_answer(written) -> None:
    (run,) = read_runs(written(row(text="")))
    assert (run.completions[0].text, run.completions[0].is_answered) == ("", True)


def test_gzip_is_read_and_empty_lines_are_passed_over(written) -> None:
    runs = read_runs(written(row(), "", "  ", row(), name="c.jsonl.gz"))
    assert [run.id for run in runs] == ["line-1", "line-4"]


def test_line_separators_inside_of_a_text_do_not_end_the_line(written) -> None:
    path = written('{"canary": "a", "text": "one\u2028two\x85three"}')
    assert read_runs(path)[0].completions[0].text == "one\u2028two\x85three"


def test_an_impossible_token_has_the_lowest_log_probability(written) -> None:
    (done,) = read_runs(written(row(logprobs=[float("-inf"), -1], first_top=[["a", float("-inf")]])))[
        0
    ].completions
    assert (done.logprobs, done.first_top) == ((-9999.0, -1.0), (("a", -9999.0),))


def test_half_a_character_is_replaced(written) -> None:
    assert read_runs(written('{"canary": "a", "text": "\\ud83d"}'))[0].completions[0].text == "\ufffd"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{oops", ":2: is not JSON (character 2: Expecting property name enclosed in double quotes)"),
        ("[1]", ":2: must be a JSON object, not a list"),
        ("[" * 100_000, ":2: is not JSON that can be read: a number too long, or nested too deeply"),
        ('{"text": "x"}', ':2: "canary" is missing: the name of the prompt that was asked'),
        ('{"canary": "a"}', ':2: "text" is missing, and there is no "error" instead'),
        (row(text=None), ':2: "text" must be text, not null; a request that failed has an "error"'),
        (row(text=5), ':2: "text" must be text, not a number'),
        (row(canary=["a"]), ':2: "canary" must be text, not a list'),
        (row(run={"a": 1}), ':2: "run" must be text, not an object'),
        (row(error={"code": 1}), ':2: "error" must be text, not an object'),
        (row(at="yesterday"), ':2: "at" must be a time such as "2026-01-31T12:00:00Z", or Unix seconds'),
        (row(at=1e300), ':2: "at" must be a time such as "2026-01-31T12:00:00Z", or Unix seconds'),
        (row(latency_s="1"), ':2: "latency_s" must be a number, not text'),
        (row(latency_s=-1), ':2: "latency_s" must not be negative'),
        (row(input_tokens=1.5), ':2: "input_tokens" must be a whole number from 0 on'),
        (row(logprobs=-1), ':2: "logprobs" must be a list of numbers, not a number'),
        (row(logprobs=[None]), ':2: "logprobs" must be a number, not null'),
        (row(first_top=[["a"]]), ':2: each entry of "first_top" must be [token, logprob]'),
        (row(latency_s=float("nan")), ':2: "latency_s" must be a finite number'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_row_is_named_with_its_line(written, line: str, expected: str) -> None:
    assert complaint(written(row(), line)) == expected


def test_a_complaint_never_holds_the_text_of_an_answer(written) -> None:
    assert "private words" not in complaint(written('{"canary": "a", "text": "private words", }'))


@pytest.mark.parametrize("lines", [(), ("", " ")], ids=["empty", "only empty lines"])
def test_a_file_without_completions_is_refused(written, lines: tuple[str, ...]) -> None:
    assert complaint(written(*lines)) == ": holds no completions"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.jsonl") == ": cannot be read: No such file or directory"


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(row().encode() + b"\n\xff\xfe\n")
    assert "is not UTF-8 text" in complaint(path)


@pytest.mark.parametrize("cut", [slice(0, -6), slice(0, 15)], ids=["at its end", "at its beginning"])
def test_gzip_that_is_cut_off_is_told(tmp_path: Path, cut: slice) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join([row()] * 100).encode())[cut])
    assert "the gzip data is damaged or cut off here" in complaint(path)


def test_what_is_only_called_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(row().encode())
    assert "the gzip data is damaged or cut off here" in complaint(path)


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    at = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
    answered = Completion(
        "a", 1, text="Zürich\n\u2028\x00", finish_reason="stop", served_model="m-1", system_fingerprint="fp",
        logprobs=(-0.1, -0.2), first_top=(("Z", -0.1), ("B", -3.5)), latency_s=1.5, ttft_s=0.25,
        input_tokens=12, output_tokens=3, cached_input_tokens=4, at=at,
    )  # fmt: skip
    failed = Completion("b", outcome=Outcome.TIMEOUT, error="after 60 s", at=at)
    empty = Completion("b", 1, text="", tool_calls=(ToolCall("refund", {"order": 7}),), at=at)
    runs = [Run("r1", "bot", name, at, (answered, failed)), Run("r2", "bot", name, at, (empty,))]
    write_runs(tmp_path / name, runs)
    assert read_runs(tmp_path / name) == runs


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompletionsError, match=r"c\.jsonl: cannot be written: No such file"):
        write_runs(tmp_path / "none" / "c.jsonl", [])


def test_a_completion_that_was_written_is_read_again(tmp_path: Path) -> None:
    answered = Completion(
        "a",
        2,
        text="Canberra.",
        finish_reason="stop",
        served_model="m-1",
        system_fingerprint="fp",
        logprobs=(-0.5, -1.0),
        first_top=(("Can", -0.5), ("Syd", -1.5)),
        latency_s=0.5,
        ttft_s=0.25,
        input_tokens=10,
        output_tokens=3,
        cached_input_tokens=4,
        at=datetime(2026, 3, 2, tzinfo=UTC),
    )
    failed = Completion("a", 3, outcome=Outcome.RATE_LIMIT, error="HTTP 429")
    path = tmp_path / "out.jsonl"
    rows = [row_of(one, "run-1", "bot") | {"more": 7} for one in (answered, failed)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [completion for _, completion in read_rows(path)] == [answered, failed]
    assert [row["more"] for row, _ in read_rows(path)] == [7, 7]
    assert read_runs(path)[0].target == "bot"
