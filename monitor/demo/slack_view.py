"""Slack messages as a terminal can show them."""

import re
from collections.abc import Mapping, Sequence
from html import unescape
from typing import Any

from rich.console import Group, RenderableType
from rich.emoji import Emoji
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from monitor.demo.fake_slack import SlackMessage

BLOCKS_OF_REPLY = 2
"""How much is shown of a reply: its header and its first sentence."""

_MARKS = re.compile(
    r"\*(?P<bold>[^*\n]+)\*|(?<!\w)_(?P<italic>[^_\n]+)_(?!\w)|`(?P<code>[^`\n]+)`"
    r"|<(?P<url>[^|>]+)(?:\|(?P<label>[^>]+))?>"
)
_STYLES = {"bold": "bold", "italic": "italic", "code": "bright_red"}


def show_thread(thread: Sequence[SlackMessage], channel: str = "on-call") -> RenderableType:
    """A message and the beginnings of its replies, as they stand in the channel now."""
    first, *replies = thread
    shown: list[RenderableType] = [show_message(first)]
    for reply in replies:
        beginning = show_message(reply, blocks_max=BLOCKS_OF_REPLY)
        shown += [Text(), Padding(beginning, (0, 0, 0, 4))]
    return Panel(Group(*shown), title=f"Slack #{channel}", title_align="left", border_style="magenta")


def show_message(message: SlackMessage, blocks_max: int | None = None) -> RenderableType:
    """One message with its author; its text where it has no blocks."""
    author = Text.assemble(
        ("anchorwatch", "bold"), (" APP", "dim"), (" (edited)" if message.edits else "", "dim")
    )
    content = [
        *map(_block, message.blocks[:blocks_max]),
        *map(_attachment, message.attachments),
        *(Text(f"{one.name}: {one.title}", style="italic") for one in message.files),
    ]
    return Group(author, *(content or [mrkdwn(message.text)]))


def mrkdwn(text: str) -> Text:
    """Text in Slack's own markup, styled."""
    styled, end = Text(), 0
    text = Emoji.replace(text)
    for found in _MARKS.finditer(text):
        styled.append(unescape(text[end : found.start()]))
        kind = found.lastgroup or ""
        if found["url"]:
            # <!date^...|label> and its like are no links.
            link = "" if found["url"].startswith("!") else f"blue underline link {found['url']}"
            styled.append(unescape(found["label"] or found["url"]), style=link)
        else:
            styled.append(unescape(found[kind]), style=_STYLES[kind])
        end = found.end()
    styled.append(unescape(text[end:]))
    return styled


def _attachment(attachment: Mapping[str, Any]) -> RenderableType:
    blocks = [_block(block) for block in attachment.get("blocks", ())]
    content = Group(*(blocks or [mrkdwn(attachment.get("text") or attachment.get("fallback") or "")]))
    bar = Table.grid(padding=(0, 1))
    bar.add_row(Text("┃", style=attachment.get("color") or "white"), content)
    return bar


def _block(block: Mapping[str, Any]) -> RenderableType:
    match block["type"]:
        case "header":
            return Text(Emoji.replace(_text(block["text"]).plain), style="bold underline")
        case "section":
            return _section(block)
        case "context":
            small = Text("  ").join([_text(element) for element in block["elements"]])
            small.stylize("dim")
            return small
        case "divider":
            return Rule(style="dim")
        case "actions":
            buttons = (Text(f"[ {element['text']['text']} ]", style="bold") for element in block["elements"])
            return Text("  ").join(buttons)
        case kind:
            return Text(f"({kind})", style="dim")


def _section(block: Mapping[str, Any]) -> RenderableType:
    shown: list[RenderableType] = [_text(block["text"])] if "text" in block else []
    if fields := block.get("fields"):
        table = Table.grid(padding=(0, 3))
        for place in range(0, len(fields), 2):
            table.add_row(*(_text(field) for field in fields[place : place + 2]))
        shown.append(table)
    return Group(*shown)


def _text(element: Mapping[str, Any]) -> Text:
    if element["type"] == "mrkdwn":
        return mrkdwn(element["text"])
    return Text(unescape(str(element.get("text") or element.get("alt_text") or "")))
