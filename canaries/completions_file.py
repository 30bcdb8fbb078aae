"""Recorded completions: JSON lines, one completion each, to runs and back.

Of each line these fields are read: ``run``, ``canary``, ``text``, ``at``, ``target``, ``sample``, ``finish_reason``,
``logprobs``, ``first_top``, ``latency_s``, ``ttft_s``, ``input_tokens``, ``output_tokens``, ``cached_input_tokens``,
``cache_write_input_tokens``, ``reasoning_tokens``, ``served_model``, ``system_fingerprint``, ``error``, ``outcome``,
``tool_calls`` (``[{"name": ..., "arguments": ...}]``). Others are left alone. Lines of one ``run`` are one run, and a
line without it is a run of its own.
"""

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import orjson

from . import CompletionsError
from .canonical import LOWEST_LOGPROB, well_formed
from .completion import Completion, Outcome, Run
from .prompt import ToolCall, calls_text

MAX_LINE_CHARS = 20_000_000
"""The longest line that is read."""

MAX_LINES = 5_000_000
"""The most lines that are read of one file."""

FIRST_AT = datetime(2000, 1, 1, tzinfo=UTC)
"""When the first run was, where the file does not say; the runs after it follow at a fixed distance."""


class _BadRow(Exception):  # noqa: N818 -- becomes a CompletionsError as soon as the line's number is known
    pass


@dataclass(slots=True)
class _Rows:
    """The rows of one run, as they come."""

    run: str
    target: str
    completions: list[Completion] = field(default_factory=list)
    samples: Counter[str] = field(default_factory=Counter)
    places: set[tuple[str, int]] = field(default_factory=set)

    def add(self, row: dict[str, Any], target: str) -> None:
        """Take one more row. Raises _BadRow when it is none, or of another target than the rows before."""
        if target and self.target and target != self.target:
            raise _BadRow(
                f'run "{self.run}" is of target "{self.target}": a run of "{target}" needs another id'
            )
        self.target = self.target or target
        completion = _completion(row)
        count, sample = self.samples[completion.canary], completion.sample
        if "sample" not in row or (completion.canary, sample) in self.places:
            sample = max(count, sample)  # recordings of several origins count from 0 each
        while (completion.canary, sample) in self.places:
            sample += 1
        self.places.add((completion.canary, sample))
        self.samples[completion.canary] += 1
        self.completions.append(replace(completion, sample=sample))


def read_runs(path: Path, *, every_s: float = 3600.0, suite: str = "") -> list[Run]:
    """The runs of a file (``.gz`` or plain) in the order of their first lines.

    A run starts when the first of its completions was asked for; where the file does not say when, runs are
    ``every_s`` apart. Raises CompletionsError with file and line where something cannot be read.
    """
    runs: dict[str, _Rows] = {}
    for number, line in _lines(path):
        try:
            row = _row(line)
            name = _name(row.get("run"), "run") or f"line-{number}"
            target = _name(row.get("target"), "target")
            runs.setdefault(name, _Rows(name, target)).add(row, target)
        except _BadRow as bad:
            raise CompletionsError(f"{path}:{number}: {bad}") from bad
    if not runs:
        raise CompletionsError(f"{path}: holds no completions")
    return [_run(rows, index, every_s, suite or path.name) for index, rows in enumerate(runs.values())]


def write_runs(path: Path, runs: Iterable[Run]) -> None:
    """Write the runs into a file (``.gz`` or plain) that ``read_runs`` reads back.

    Raises CompletionsError when it cannot be written.
    """
    try:
        with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
            for run in runs:
                for completion in run.completions:
                    file.write(
                        orjson.dumps(row_of(completion, run.id, run.target), option=orjson.OPT_APPEND_NEWLINE)
                    )
    except OSError as error:
        raise CompletionsError(f"{path}: cannot be written: {error.strerror}") from error


def row_of(completion: Completion, run: str, target: str) -> dict[str, Any]:
    """The line of a completion as a mapping, without what is not known of it."""
    calls = [{"name": call.name, "arguments": call.arguments} for call in completion.tool_calls]
    known = {
        "run": run,
        "target": target or None,
        "canary": completion.canary,
        "sample": completion.sample,
        "at": None if completion.at is None else completion.at.isoformat(),
        "outcome": completion.outcome.value,
        "text": completion.text,
        "tool_calls": calls or None,
        "error": completion.error,
        "finish_reason": completion.finish_reason,
        "served_model": completion.served_model,
        "system_fingerprint": completion.system_fingerprint,
        "logprobs": completion.logprobs,
        "first_top": completion.first_top,
        "latency_s": completion.latency_s,
        "ttft_s": completion.ttft_s,
        "input_tokens": completion.input_tokens,
        "output_tokens": completion.output_tokens,
        "cached_input_tokens": completion.cached_input_tokens,
        "cache_write_input_tokens": completion.cache_write_input_tokens,
        "reasoning_tokens": completion.reasoning_tokens,
    }
    return {name: value for name, value in known.items() if value is not None}


def read_rows(path: Path) -> Iterator[tuple[dict[str, Any], Completion]]:
    """Each line of a file as it is, with its completion. Raises CompletionsError with file and line of a bad one."""
    for number, line in _lines(path):
        try:
            row = _row(line)
            yield row, _completion(row)
        except _BadRow as bad:
            raise CompletionsError(f"{path}:{number}: {bad}") from bad


def _run(rows: _Rows, index: int, every_s: float, suite: str) -> Run:
    times = [completion.at for completion in rows.completions if completion.at is not None]
    at = min(times) if times else FIRST_AT + timedelta(seconds=every_s * index)
    return Run(rows.run, rows.target, suite, at, tuple(rows.completions))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with _opened(path) as file:
            while line := file.readline(MAX_LINE_CHARS + 1):
                number += 1
                if len(line) > MAX_LINE_CHARS or number > MAX_LINES:
                    raise CompletionsError(
                        f"{path}:{number}: the line, or the file, is longer than can be read"
                    )
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise CompletionsError(f"{path}:{number + 1}: is not UTF-8 text") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CompletionsError(f"{path}:{number + 1}: the gzip data is damaged or cut off here") from error
    except OSError as error:
        raise CompletionsError(f"{path}: cannot be read: {error.strerror}") from error


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise _BadRow(f"is not JSON (character {error.pos + 1}: {error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise _BadRow("is not JSON that can be read: a number too long, or nested too deeply") from error
    if not isinstance(row, dict):
        raise _BadRow(f"must be a JSON object, not {_kind(row)}")
    return row


def _completion(row: dict[str, Any]) -> Completion:
    canary = _name(row.get("canary"), "canary")
    if not canary:
        raise _BadRow('"canary" is missing: the name of the prompt that was asked')
    error, outcome = _text(row, "error"), _outcome(row)
    calls = _tool_calls(row.get("tool_calls"))
    if calls:
        row = {"text": calls_text(calls), **row}
    if outcome is Outcome.ANSWERED and "text" not in row:
        raise _BadRow('"text" is missing, and there is no "error" instead')
    text = _text(row, "text")
    if outcome is Outcome.ANSWERED and text is None:
        raise _BadRow('"text" must be text, not null; a request that failed has an "error"')
    return Completion(
        canary=canary,
        sample=_count(row, "sample") or 0,
        outcome=outcome,
        text=text if outcome is Outcome.ANSWERED else None,
        finish_reason=_text(row, "finish_reason"),
        served_model=_text(row, "served_model"),
        system_fingerprint=_text(row, "system_fingerprint"),
        logprobs=_logprobs(row.get("logprobs")),
        first_top=_first_top(row.get("first_top")),
        latency_s=_seconds(row, "latency_s"),
        ttft_s=_seconds(row, "ttft_s"),
        input_tokens=_count(row, "input_tokens"),
        output_tokens=_count(row, "output_tokens"),
        cached_input_tokens=_count(row, "cached_input_tokens"),
        cache_write_input_tokens=_count(row, "cache_write_input_tokens"),
        reasoning_tokens=_count(row, "reasoning_tokens"),
        tool_calls=calls,
        error=error,
        at=_at(row.get("at")),
    )


def _tool_calls(value: object) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _BadRow(f'"tool_calls" must be a list, not {_kind(value)}')
    return tuple(_tool_call(entry) for entry in value)


def _tool_call(entry: object) -> ToolCall:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "arguments" not in entry:
        raise _BadRow('each entry of "tool_calls" must have "name" and "arguments"')
    try:
        orjson.dumps(entry["arguments"])
    except TypeError as error:
        raise _BadRow(
            '"arguments" hold what cannot be stored: a number too long, or nested too deeply'
        ) from error
    return ToolCall(well_formed(entry["name"]), entry["arguments"])


def _outcome(row: dict[str, Any]) -> Outcome:
    """What ``outcome`` says, or ``error`` when that is the name of an outcome; any other error is the server's."""
    said = _text(row, "outcome") or _text(row, "error")
    if not said:
        return Outcome.ANSWERED
    try:
        return Outcome(said)
    except ValueError:
        return Outcome.SERVER


def _name(value: object, key: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _BadRow(f'"{key}" must be text, not {_kind(value)}')
    return well_formed(str(value))


def _text(row: dict[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise _BadRow(f'"{key}" must be text, not {_kind(value)}')
    return None if value is None else well_formed(value)


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadRow(f'"{key}" must be a number, not {_kind(value)}')
    if not math.isfinite(value):
        raise _BadRow(f'"{key}" must be a finite number')
    return float(value)


def _logprob(value: object, key: str) -> float:
    return LOWEST_LOGPROB if value == -math.inf else _number(value, key)


def _seconds(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    seconds = _number(value, key)
    if seconds < 0:
        raise _BadRow(f'"{key}" must not be negative')
    return seconds


def _count(row: dict[str, Any], key: str) -> int | None:
    value = row.get(key)
    if value is None:
        return None
    count = _number(value, key)
    if count < 0 or count != int(count):
        raise _BadRow(f'"{key}" must be a whole number from 0 on')
    return int(count)


def _logprobs(value: object) -> tuple[float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _BadRow(f'"logprobs" must be a list of numbers, not {_kind(value)}')
    return tuple(_logprob(entry, "logprobs") for entry in value)


def _first_top(value: object) -> tuple[tuple[str, float], ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _BadRow(f'"first_top" must be a list of [token, logprob], not {_kind(value)}')
    return tuple(_top(pair) for pair in value)


def _top(pair: object) -> tuple[str, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise _BadRow('each entry of "first_top" must be [token, logprob]')
    return _name(pair[0], "first_top"), _logprob(pair[1], "first_top")


def _at(value: object) -> datetime | None:
    """A moment in UTC, from ISO text or Unix seconds; without a zone it is taken as UTC."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return datetime.fromtimestamp(_number(value, "at"), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise _BadRow('"at" must be a time such as "2026-01-31T12:00:00Z", or Unix seconds') from error


def _kind(value: object) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "null")
