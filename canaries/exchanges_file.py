"""Recorded requests in a file: JSON lines, CSV or one prompt a line, each also with ``.gz``.

Of JSON lines and CSV the prompt is looked for under the usual names, or under the one that was named. In JSON lines it
may be a text, a list of messages, or the whole body of a request.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import orjson

from . import CompletionsError
from .harvest.exchange import Exchange
from .harvest.messages import conversation_of, text_of

LINE_CHARS_MAX = 20_000_000
"""The longest line that is read."""

PROMPTS = (
    "messages",
    "prompt",
    "input",
    "question",
    "query",
    "request",
    "body",
    "instruction",
    "user_message",
)
ANSWERS = ("answer", "completion", "response", "output", "assistant_message")
"""Where prompts and answers stand, where nobody says it."""

ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".log")

Counted = Callable[[str], None]
"""Is told why a row was left out."""


class _NoPrompt(Exception):  # noqa: N818 -- becomes a CompletionsError as soon as the place is known
    pass


def read_exchanges(
    path: Path, left_out: Counted, prompt: str | None = None, answer: str | None = None
) -> Iterator[Exchange]:
    """The requests in the file, in its order; ``left_out`` is told of those that cannot become a canary.

    ``prompt`` and ``answer`` name the fields or columns. Raises CompletionsError with file and line where something
    cannot be read.
    """
    kind = Path(path.name.removesuffix(".gz")).suffix.lower()
    if kind not in ENDINGS:
        raise CompletionsError(
            f"{path}: its name must end in {', '.join(ENDINGS)}, or in one of these and .gz"
        )
    number = 0
    try:
        with _opened(path) as file:
            for at, row in _rows(kind, file):
                number = at
                yield from _exchange(row, left_out, prompt, answer)
    except _NoPrompt as error:
        raise CompletionsError(f"{path}:{number}: {error}") from error
    except orjson.JSONDecodeError as error:
        raise CompletionsError(
            f"{path}:{number + 1}: is not JSON (character {error.colno}: {error.msg})"
        ) from error
    except csv.Error as error:
        raise CompletionsError(f"{path}:{number + 1}: is not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise CompletionsError(f"{path}:{number + 1}: is not UTF-8 text") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CompletionsError(f"{path}:{number + 1}: the gzip data is damaged or cut off here") from error
    except OSError as error:
        raise CompletionsError(f"{path}: cannot be read: {error.strerror}") from error


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(kind: str, file: IO[str]) -> Iterator[tuple[int, object]]:
    if kind in (".csv", ".tsv"):
        csv.field_size_limit(LINE_CHARS_MAX)
        reader = csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",")
        yield from ((reader.line_num, row) for row in reader)
        return
    is_json = kind in (".jsonl", ".ndjson")
    for number, line in enumerate(_lines(file), start=1):
        if line.strip():
            yield number, orjson.loads(line) if is_json else {"prompt": line.rstrip("\r\n")}


def _lines(file: IO[str]) -> Iterator[str]:
    while line := file.readline(LINE_CHARS_MAX):
        yield line


def _exchange(row: object, left_out: Counted, prompt: str | None, answer: str | None) -> Iterable[Exchange]:
    if not isinstance(row, dict):
        raise _NoPrompt("must be a JSON object for each request")
    found = conversation_of(_prompt(row, prompt))
    if found is None:
        left_out("no prompt in it")
    elif found.lacks is not None:
        left_out(found.lacks)
    else:
        yield Exchange(
            found.messages,
            _answer(row, answer),
            _finish(row),
            has_failed=bool(row.get("error")),
            tools=found.tools,
            tool_choice=found.tool_choice,
        )


def _prompt(row: Mapping[str, object], name: str | None) -> object:
    if name is not None:
        if name not in row:
            raise _NoPrompt(f'there is no "{name}"; there are: {_named(row)}')
        return row[name]
    key = next((key for key in PROMPTS if key in row), None)
    if key is None and "text" in row and "canary" not in row:
        key = "text"
    if key is None:
        raise _NoPrompt(f"no prompt is found; name its field with --prompt-field. There are: {_named(row)}")
    # The body of a request as it was sent has its system prompt beside the messages.
    return row if key in ("messages", "prompt", "input") else row[key]


def _named(row: Mapping[str, object]) -> str:
    return ", ".join(str(key)[:40] for key in list(row)[:20]) or "none at all"


def _answer(row: Mapping[str, object], name: str | None) -> str | None:
    keys = ANSWERS if name is None else (name,)
    found = next((row[key] for key in keys if row.get(key)), None)
    if found is None and name is None and "canary" in row:
        found = row.get("text")
    return _said(found)


def _said(document: object) -> str | None:
    """The text of an answer: as it is, or in the body of a response."""
    if not isinstance(document, dict):
        return text_of(document)
    inner = document.get("body")
    document = inner if isinstance(inner, dict) else document
    choices = document.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        document = choices[0].get("message") or choices[0]
    keys = ("content", "text", "output_text", "output")
    return next(
        (text for key in keys if isinstance(document, dict) and (text := text_of(document.get(key)))), None
    )


def _finish(row: Mapping[str, object]) -> str | None:
    for document in (row, row.get("response")):
        if isinstance(document, dict):
            choices = document.get("choices")
            first = choices[0] if isinstance(choices, list) and choices else document
            for key in ("finish_reason", "stop_reason"):
                if isinstance(first, dict) and isinstance(found := first.get(key), str):
                    return found
    return None
