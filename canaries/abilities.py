"""What a suite asks that a target's API cannot take: said before anything is sent."""

from collections.abc import Iterator

from .dialects import DIALECTS, Dialect
from .suite import Canary, Suite

NAMED_MAX = 3
"""More canaries with the same fault are counted, not named."""


def unsupported(suite: Suite, provider: str) -> tuple[str, ...]:
    """What the canaries of ``suite`` need and the ``provider``'s API lacks, a sentence each; nothing when all fits."""
    dialect = DIALECTS[provider]
    lacking: dict[str, list[str]] = {}
    for canary in suite.canaries:
        for fault in dict.fromkeys(_faults(canary, dialect)):
            lacking.setdefault(fault, []).append(canary.id)
    return tuple(f"{_named(canaries)}: {dialect.title} {fault}" for fault, canaries in lacking.items())


def _faults(canary: Canary, dialect: Dialect) -> Iterator[str]:
    if canary.tool_choice not in (None, "auto") and not dialect.has_tool_choice:
        yield "takes no `tool_choice`"
    for message in canary.messages:
        for image in message.images:
            if image.url and not dialect.fetches_images:
                yield "fetches no pictures; use `image` with a file instead of `image_url`"
            elif image.media_type and image.media_type not in dialect.image_types:
                yield f"takes no pictures of the kind {image.media_type}"


def _named(canaries: list[str]) -> str:
    names = ", ".join(f'"{canary}"' for canary in canaries[:NAMED_MAX])
    more = len(canaries) - NAMED_MAX
    return f"canar{'y' if len(canaries) == 1 else 'ies'} {names}{f' and {more} more' if more > 0 else ''}"
