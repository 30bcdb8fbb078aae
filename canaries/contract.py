"""What a baseline was made of: everything about suite and target that changes what answers are like."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from .config import TargetConfig
from .features import FEATURES_VERSION
from .prompt import Image, Message, Part
from .suite import Canary, Expectations, Suite

SHOWN_CHARS_MAX = 64
"""A longer value of a parameter is shown and stored as a hash: it may be a text."""

HASHED = "hash:"
"""How the stored form of a hidden value begins."""

HASH_SHOWN = 10
"""How much of a version's hash people see and say."""

NAMED_CANARIES_MAX = 3
"""More canaries with the same change are counted, not named."""


@dataclass(frozen=True)
class Contract:
    """The identity of suite and target. Prompts and expectations are in it as hashes only.

    ``shared`` are values of the target and of the whole suite, ``canaries`` those of each canary. Two runs can be
    compared when the ``hash`` of their contracts is the same.
    """

    shared: Mapping[str, Any]
    canaries: Mapping[str, Mapping[str, Any]]

    @cached_property
    def hash(self) -> str:
        """The same for the same contract, whatever the order in which it was written."""
        return _hash(asdict(self))

    def expected_samples(self) -> dict[str, int]:
        """The answers of a full run, by canary."""
        return {canary: values["samples"] for canary, values in self.canaries.items()}

    def to_json(self) -> str:
        """The contract as JSON that ``from_json`` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Contract":
        """The contract that ``to_json`` wrote."""
        return cls(**json.loads(text))


def contract_of(suite: Suite, target: TargetConfig) -> Contract:
    """The contract of replaying ``suite`` against ``target``.

    What only changes when and how requests travel (schedule, retries, streaming, credentials) is not part of it.
    """
    samples = suite.expected_samples(target.samples)
    return Contract(
        shared={
            "target.provider": target.provider,
            "target.base_url": target.base_url.rstrip("/"),
            "target.model": target.model,
            "target.logprobs": target.logprobs,
            "target.seed": target.seed,
            "suite.scrub": _scrub(suite),
            "anchorwatch.features": FEATURES_VERSION,
        },
        canaries={
            canary.id: {
                **_asked(canary),
                "samples": samples[canary.id],
                # As they are sent: whether target, suite or canary sets one makes no difference to the answers.
                **_parameters(suite.sent_parameters(canary, target.parameters)),
            }
            for canary in sorted(suite.canaries, key=lambda canary: canary.id)
        },
    )


def content_of(suite: Suite) -> Contract:
    """What a suite itself says, whatever target it is replayed against: the ``hash`` of it is the suite's version.

    Its name is no part of it, nor is the order of its canaries.
    """
    return Contract(
        shared={"suite.scrub": _scrub(suite)},
        canaries={
            canary.id: {
                **_asked(canary),
                "samples": canary.samples or suite.samples,
                **_parameters(suite.sent_parameters(canary, {})),
            }
            for canary in sorted(suite.canaries, key=lambda canary: canary.id)
        },
    )


def is_made_of(contract: Contract, content: Contract) -> bool:
    """Whether the contract is that of replaying the suite with this content against some target."""
    if contract.canaries.keys() != content.canaries.keys():
        return False
    if contract.shared.get("suite.scrub") != content.shared["suite.scrub"]:
        return False
    # What the suite leaves open, the target says.
    return all(
        contract.canaries[id].get(name) == value
        for id, values in content.canaries.items()
        for name, value in values.items()
        if value is not None
    )


def describe_change(old: Contract, new: Contract) -> tuple[str, ...]:
    """What changed from ``old`` to ``new``, a sentence each; nothing when they are the same."""
    return (*_shared_changes(old, new), *_membership_changes(old, new), *_canary_changes(old, new))


def added_canaries(old: Contract, new: Contract) -> tuple[str, ...]:
    """The canaries that ``new`` has beyond ``old``, by name, where nothing else is different; else nothing."""
    added = new.canaries.keys() - old.canaries.keys()
    return tuple(sorted(added)) if only(new, old.canaries).hash == old.hash else ()


def removed_canaries(old: Contract, new: Contract) -> tuple[str, ...]:
    """The canaries that ``new`` lacks of ``old``, by name; nothing where more is different than that and added ones."""
    both = old.canaries.keys() & new.canaries.keys()
    if not both or only(old, both).hash != only(new, both).hash:
        return ()
    return tuple(sorted(old.canaries.keys() - new.canaries.keys()))


def only(contract: Contract, canaries: Iterable[str]) -> Contract:
    """The contract without all but these canaries."""
    kept = {id: values for id, values in contract.canaries.items() if id in set(canaries)}
    return Contract(contract.shared, kept)


def _scrub(suite: Suite) -> Any:
    return _shown([list(s) if isinstance(s, tuple) else s for s in suite.scrub])


def _asked(canary: Canary) -> dict[str, Any]:
    return {
        "messages": _hidden([_message(message) for message in canary.messages]),
        "expectations": _hidden(_expected(canary.expectations)),
        **_tools(canary),
    }


def _parameters(sent: Mapping[str, Any]) -> dict[str, Any]:
    return {f"parameters.{name}": _shown(value) for name, value in sorted(sent.items())}


def _shared_changes(old: Contract, new: Contract) -> Iterator[str]:
    for name, was, now in _differences(old.shared, new.shared):
        yield _change(name, was, now)


def _membership_changes(old: Contract, new: Contract) -> Iterator[str]:
    for word, canaries in (
        ("removed", old.canaries.keys() - new.canaries.keys()),
        ("added", new.canaries.keys() - old.canaries.keys()),
    ):
        if canaries:
            yield f"{_named(sorted(canaries))}: {word}"


def _canary_changes(old: Contract, new: Contract) -> Iterator[str]:
    both = sorted(old.canaries.keys() & new.canaries.keys())
    changed: dict[str, list[str]] = {}
    for canary in both:
        for name, was, now in _differences(old.canaries[canary], new.canaries[canary]):
            changed.setdefault(_change(name, was, now), []).append(canary)
    for change, canaries in changed.items():
        is_all = len(canaries) == len(both) > NAMED_CANARIES_MAX
        yield f"{f'all {len(both)} canaries' if is_all else _named(canaries)}: {change}"


_ABSENT = object()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*old, *new)):
        was, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if was != now:
            yield name, was, now


def _change(name: str, was: Any, now: Any) -> str:
    if any(isinstance(value, str) and value.startswith(HASHED) for value in (was, now)):
        return f"{name} {'added' if was is _ABSENT else 'removed' if now is _ABSENT else 'changed'}"
    was_shown, now_shown = (
        "not set" if value in (_ABSENT, None) else json.dumps(value) for value in (was, now)
    )
    return f"{name}: {was_shown} -> {now_shown}"


def _named(canaries: list[str]) -> str:
    names = ", ".join(f"'{canary}'" for canary in canaries[:NAMED_CANARIES_MAX])
    more = len(canaries) - NAMED_CANARIES_MAX
    return f"canar{'y' if len(canaries) == 1 else 'ies'} {names}{f' and {more} more' if more > 0 else ''}"


# What a suite does not use must not be in its contract: baselines from before it could be used go on.


def _message(message: Message) -> list[Any]:
    plain: list[Any] = [message.role, message.content]
    if message.parts:
        plain.append([_part(part) for part in message.parts])
    if message.tool_calls or message.tool_call_id:
        calls = [[call.id, call.name, call.arguments] for call in message.tool_calls]
        plain.append({"calls": calls, "answers": message.tool_call_id})
    return plain


def _part(part: Part) -> list[str]:
    if isinstance(part, Image):
        # The bytes themselves: another picture under the same name is another question.
        return ["image", part.media_type, part.url, blake2b(part.data, digest_size=16).hexdigest()]
    return ["text", part.text]


def _expected(expectations: Expectations) -> dict[str, Any]:
    values = asdict(expectations)
    if values["tool_calls"] is None:
        del values["tool_calls"]
    return values


def _tools(canary: Canary) -> dict[str, Any]:
    if not canary.tools:
        return {}
    tools = [[tool.name, tool.description, tool.parameters, tool.strict] for tool in canary.tools]
    return {"tools": _hidden(tools), "tool_choice": canary.tool_choice}


def _shown(value: Any) -> Any:
    return value if len(json.dumps(value)) <= SHOWN_CHARS_MAX else _hidden(value)


def _hidden(value: Any) -> str:
    return HASHED + _hash(value)


def _hash(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
