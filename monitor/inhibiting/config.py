"""What the configuration says about which incidents explain which others away, in the words of Alertmanager."""

import re
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alerts.finding import Severity
from alerts.inhibition import InhibitRule
from alerts.matcher import KEY, MATCHERS_MAX, SEVERITY, SOURCE, Matcher, Operator, parse_matcher

from .inhibitions import DEPENDS_ON, EXTENT, SILENCE, BuiltIn

RULES_MAX = 100
"""How many rules a deployment may add: each finding is held against all of them."""

EQUAL_MAX = 20
"""How many labels may have to be equal."""

NO_LABELS = (SOURCE, SEVERITY, KEY)
"""What matchers look at beside labels."""

KINDS = (*NO_LABELS, "proof", SILENCE, EXTENT)
"""What tells of which kind a finding is, and not what it is about: thousands may have it at once."""

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_NAMES = re.compile(r"(?:[\w/-]|\\.)+(?:\|(?:[\w/-]|\\.)+)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _matcher(text: str) -> str:
    parse_matcher(text)
    return text


def _label(name: str) -> str:
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{name!r} is no label; write it like target or service")
    if name in NO_LABELS:
        raise ValueError(
            f"{name} is no label of what is found: name one of what it is about, like target or service"
        )
    return name


def _rule_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits, '.', '_' and '-', and 64 of them at most")
    if name == DEPENDS_ON or name in list(BuiltIn):
        raise ValueError(f"{name} is the name of a built-in rule; take another one")
    return name


Matchers = Annotated[
    list[Annotated[str, AfterValidator(_matcher)]], Field(min_length=1, max_length=MATCHERS_MAX)
]


class InhibitRuleConfig(BaseModel):
    """While something that fits the source matchers fires, people do not hear of what fits the target matchers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_rule_name)] = Field(description="What `alerts explain` calls it.")
    source_matchers: Matchers = Field(description="What explains the others: service=gateway, severity=page.")
    target_matchers: Matchers = Field(description='What it explains: severity=~"ticket|info".')
    equal: list[Annotated[str, AfterValidator(_label)]] = Field(
        default_factory=list,
        max_length=EQUAL_MAX,
        description="Labels that both must have, with the same value: target, service.",
    )

    @model_validator(mode="after")
    def _is_about_the_same(self) -> Self:
        source, target = self._sides()
        if self.equal:
            if all(name in KINDS for name in self.equal):
                raise ValueError(
                    f"equal: {', '.join(self.equal)} only tells the kind of a finding: one incident would hold those "
                    "of every target and service. Name what they are about as well, like target or service"
                )
        elif not (_pins(source, is_pattern_good=False) and _pins(target, is_pattern_good=True)):
            raise ValueError(
                "without equal one incident could hold everything there is: say in which labels both have to be the "
                "same (equal: [target]), or name on both sides what they are about (source_matchers: [target=gateway], "
                'target_matchers: [service=~"shop|search"])'
            )
        if (
            (quiet := _severity(source)) is not None
            and (loud := _severity(target)) is not None
            and quiet < loud
        ):
            raise ValueError(
                f"a {quiet.name.lower()} never holds a {loud.name.lower()}: the source must be as loud as the target"
            )
        return self

    def rule(self) -> InhibitRule:
        """The rule as the alert arm knows it."""
        source, target = self._sides()
        return InhibitRule(source, target, tuple(self.equal), name=self.name)

    def _sides(self) -> tuple[tuple[Matcher, ...], tuple[Matcher, ...]]:
        return tuple(map(parse_matcher, self.source_matchers)), tuple(
            map(parse_matcher, self.target_matchers)
        )


class InhibitConfig(BaseModel):
    """Which incidents explain which others away, beside what is built in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: Annotated[list[InhibitRuleConfig], Field(max_length=RULES_MAX)] = Field(
        default_factory=list, description="Your own rules."
    )
    without: list[BuiltIn] = Field(
        default_factory=list, description="Built-in rules that are not to hold anything, by name."
    )


def _pins(matchers: Iterable[Matcher], *, is_pattern_good: bool) -> bool:
    """Whether one of the matchers names what a finding is about; with a pattern, names and nothing else."""
    about = [one for one in matchers if one.name not in KINDS and one.value]
    return any(
        one.operator is Operator.IS
        or (is_pattern_good and one.operator is Operator.LIKE and _NAMES.fullmatch(one.value) is not None)
        for one in about
    )


def _severity(matchers: Iterable[Matcher]) -> Severity | None:
    """The severity that the matchers ask for, where that is one."""
    asked = [one.value for one in matchers if one.name == SEVERITY and one.operator is Operator.IS]
    return Severity[asked[0].upper()] if asked else None
