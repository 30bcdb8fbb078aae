"""A person at the terminal and a proposal: each canary is shown, one letter answers, an editor helps where wanted."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from canaries.harvest.proposal import ProposalDocument, ProposedDocument, proposal_text
from canaries.harvest.review import Answer, Terminal
from monitor import MonitorError

if TYPE_CHECKING:
    from rich.console import Console

    from canaries.prompt_document import PartDocument

PROMPT_SHOWN, ANSWER_SHOWN = 3_000, 1_200
"""How many characters of a prompt and of its recorded answer are shown."""

QUESTION = "[a]ccept, [e]dit, [s]kip, [b]ack, [q]uit (what you said is kept)? "

DEFAULT_EDITOR = "vi"

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def is_person_here() -> bool:
    """Whether somebody can be asked: both ends are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def terminal(path: Path, console: "Console") -> Terminal:
    """The terminal on ``console``; the proposal is kept at ``path`` after each answer."""

    def ask(entry: ProposedDocument, number: int, of: int) -> Answer:
        _show(entry, number, of, console)
        while True:
            console.print(QUESTION, end="")
            line = sys.stdin.readline()
            if not line:
                return Answer.QUIT
            try:
                return Answer(line.strip().lower()[:1])
            except ValueError:
                console.print("Answer with one of the letters in brackets.")

    def tell(sentence: str) -> None:
        console.print(sentence)

    return Terminal(ask, _edited, tell, lambda proposal: save(path, proposal_text(proposal)))


def save(path: Path, text: str) -> None:
    """Put the text into the file, whole or not at all; only the user may read it. Raises MonitorError."""
    try:
        # Beside it, as only within one file system one file takes the place of another at once.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            beside = Path(file.name)
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise MonitorError(f"{path}: cannot be written: {error.strerror}") from error


def _show(entry: ProposedDocument, number: int, of: int, console: "Console") -> None:
    from canaries.harvest.proposal import expect_text

    console.rule(f"{number} of {of}: {entry.id}", align="left")
    console.print(entry.why)
    for message in entry.messages or ():
        console.print(f"{message.role}: {_cut(_text_of(message.content), PROMPT_SHOWN)}")
        for call in message.tool_calls:
            console.print(f"{message.role} calls {_cut(f'{call.name} {call.arguments}', PROMPT_SHOWN)}")
    if entry.prompt is not None:
        console.print(f"user: {_cut(_text_of(entry.prompt), PROMPT_SHOWN)}")
    if entry.tools:
        console.print(f"tools: {', '.join(tool.name for tool in entry.tools)}")
    answered = "none was recorded" if entry.answer is None else _cut(entry.answer, ANSWER_SHOWN)
    console.print(f"\nanswer in production: {answered}")
    console.print(f"\nwhat would be expected:\n{expect_text(entry)}")
    if entry.redacted:
        kinds = ", ".join(f"{count} {kind}" for kind, count in entry.redacted.items())
        console.print(f"redacted: {kinds}")


def printable(text: str) -> str:
    """The text without what would steer the terminal: anybody may have written it."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def _text_of(content: "str | Sequence[PartDocument]") -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.text or "(a file or picture)" for part in content)


def _cut(text: str, chars: int) -> str:
    more = "" if len(text) <= chars else f" ... ({len(text) - chars:,} characters more)"
    return printable(text[:chars]) + more


def _edited(text: str) -> str | None:
    """The text as it left the person's editor; ``None`` where it was left as it was."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or DEFAULT_EDITOR
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False, encoding="utf-8") as file:
        file.write(text)
    path = Path(file.name)
    try:
        subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603 - the person's own editor
        edited = path.read_text(encoding="utf-8")
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise MonitorError(
            f"the editor {editor!r} could not be used: {error}. Set EDITOR to another one; `canaries review` goes on."
        ) from error
    finally:
        path.unlink(missing_ok=True)
    return None if edited == text else edited


def progress_of(before: ProposalDocument, after: ProposalDocument) -> str:
    """What came of a review so far, as a sentence."""
    skipped = sum(one.accepted == "skipped" for one in after.proposed)
    looked_at = len(before.open) - len(after.open)
    return f"{looked_at} looked at now. In all {after.checked} accepted, {skipped} skipped, {len(after.open)} left."
