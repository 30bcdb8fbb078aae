"""A message as Slack shows it: Block Kit, within its limits and with its control characters made harmless."""

from datetime import datetime
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from ..config import MentionsConfig
from ..finding import Severity
from ..incident import NoticeKind
from ..message import Message, Section
from ..trace_lines import trace_line
from .slack_buttons import buttons

MAX_FIELDS = 6
"""How many lines of evidence a message shows; a last line says how many more there are."""

MAX_FIELD_LENGTH = 300
"""How much of one line of evidence is shown."""

MAX_MEMBERS = 8
"""How many incidents of a group a message names; it counts the others. With longer lines they would be cut off."""
MAX_MORE = 40
"""What is left free for the line that says how many more there are."""

MAX_LABELS = 8
"""How many labels the small print shows."""

MAX_SECTIONS = 12
"""How many parts of a report a message shows; Slack takes 50 blocks."""

_MARKS = {
    NoticeKind.RESOLVED: "🟢",
    NoticeKind.ACKNOWLEDGED: "👀",
    NoticeKind.ROLLBACK: "⏪",
    NoticeKind.ROLLBACK_QUESTION: "⏪",
    NoticeKind.ROLLBACK_NEWS: "⏪",
    NoticeKind.TEST: "🔔",
    NoticeKind.REPORT: "📋",
}
_CALLING = (NoticeKind.FIRING, NoticeKind.ESCALATED, NoticeKind.REPEATED, NoticeKind.ROLLBACK_QUESTION)
_SEVERITY_MARKS = {Severity.PAGE: "🔴", Severity.TICKET: "🟠", Severity.INFO: "🔵"}


def slack_blocks(
    message: Message,
    public_url: str | None = None,
    mentions: MentionsConfig | None = None,
    *,
    with_buttons: bool = False,
) -> list[dict[str, Any]]:
    """Header, who is called, summary, evidence, buttons and small print, checked against Slack's limits."""
    mark = _MARKS.get(message.kind) or _SEVERITY_MARKS[message.severity]
    header = escaped(f"{mark} {message.headline}", HeaderBlock.text_max_length)
    blocks: list[Block] = [HeaderBlock(text=PlainTextObject(text=header, emoji=True))]
    if mentions is not None and message.kind in _CALLING and (called := mentions.of(message.severity)):
        blocks.append(SectionBlock(text=_markdown(" ".join(map(_mention, called)))))
    blocks += [_section(sentence) for sentence in message.sentences if sentence]
    if message.member_lines:
        blocks.append(_section("\n".join(f"• {line}" for line in _member_lines(message))))
    blocks += [_part(one) for one in message.sections[:MAX_SECTIONS]]
    fields = _fields(message.evidence)
    if fields:
        blocks.append(SectionBlock(fields=fields))
    if with_buttons and (pressed := buttons(message)):
        blocks.append(pressed)
    context = _context(message, public_url)
    if context:
        blocks.append(ContextBlock(elements=context))
    return [block.to_dict() for block in blocks]


def slack_text(message: Message) -> str:
    """The one line that a phone's notification shows."""
    return escaped(f"{message.headline}: {message.sentences[0]}", MAX_FIELD_LENGTH)


def escaped(text: str, limit: int) -> str:
    """The text with ``&``, ``<`` and ``>`` as Slack wants them, cut to at most ``limit`` characters.

    Without this a value such as ``<!channel>`` would be an order to Slack.
    """
    pieces: list[str] = []
    length = 0
    for character in text:
        piece = _ESCAPES.get(character, character)
        if length + len(piece) > limit:
            # The ellipsis takes the place of the last piece, which is never shorter.
            return "".join(pieces[:-1]) + "…"
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)


_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _member_lines(message: Message) -> list[str]:
    more = message.member_count - MAX_MEMBERS
    lines = [member.said[:MAX_FIELD_LENGTH] for member in message.members[:MAX_MEMBERS]]
    return [*lines, f"and {more} more"] if more > 0 else lines


def _mention(name: str) -> str:
    if name in ("here", "channel"):
        return f"<!{name}>"
    return f"<!subteam^{name}>" if name.startswith("S") else f"<@{name}>"


def _section(text: str) -> SectionBlock:
    return SectionBlock(text=_markdown(escaped(text, SectionBlock.text_max_length)))


def _part(section: Section) -> SectionBlock:
    """A part of a report, as many of its lines as Slack takes; a last line says how many more there are."""
    title = f"*{escaped(section.title, MAX_FIELD_LENGTH)}*"
    lines = [f"• {escaped(line, MAX_FIELD_LENGTH)}" for line in section.lines]
    room = SectionBlock.text_max_length - len(title) - MAX_MORE
    shown: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            shown.append(f"_and {len(lines) - len(shown)} more_")
            break
        shown.append(line)
    return SectionBlock(text=_markdown("\n".join([title, *shown])))


def _fields(evidence: tuple[tuple[str, str], ...]) -> list[str | PlainTextObject | MarkdownTextObject]:
    shown = evidence if len(evidence) <= MAX_FIELDS else evidence[: MAX_FIELDS - 1]
    lines = [f"*{escaped(name, MAX_FIELD_LENGTH)}*\n{_value(name, value)}" for name, value in shown]
    if len(shown) < len(evidence):
        lines.append(f"_and {len(evidence) - len(shown)} more_")
    return [_markdown(line) for line in lines]


def _value(name: str, value: str) -> str:
    found = trace_line(name, value)
    if found is None:
        return escaped(value, MAX_FIELD_LENGTH)
    return (
        f"<{escaped(found.address, MAX_FIELD_LENGTH)}|{found.trace}>{escaped(found.beside, MAX_FIELD_LENGTH)}"
    )


def _context(message: Message, public_url: str | None) -> list[Any]:
    words = [f"incident `{message.incident_id}`"] if message.incident_id else []
    if message.since is not None:
        words.append(f"since {_local_time(message.since)}")
    words += [
        escaped(f"{name}: {value}", MAX_FIELD_LENGTH)
        for name, value in list(message.labels.items())[:MAX_LABELS]
    ]
    if address := message.address(public_url):
        words.append(f"<{address}|{'Open Anchorwatch' if address == public_url else 'Open it'}>")
    return [_markdown(" · ".join(words))] if words else []


def _local_time(at: datetime) -> str:
    # Slack shows this in the reader's own time zone; what follows the bar is for clients that cannot.
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%M} UTC>"


def _markdown(text: str) -> MarkdownTextObject:
    # Verbatim: Slack makes no links of its own out of names and addresses in our values.
    return MarkdownTextObject(text=text, verbatim=True)
