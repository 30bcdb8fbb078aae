"""What is wrong with who depends on whom and with rules of inhibition that no single value of a configuration shows."""

from collections.abc import Iterator, Mapping
from typing import Any

from canaries.document import Places, Problem

from .dependencies import circle, merged

SECTIONS = ("targets", "services")
"""Where the configuration says who depends on whom."""

KNOWN_SHOWN = 20
"""How many of the known names a hint has at most."""


def dependency_problems(tree: Mapping[Any, Any], places: Places) -> Iterator[Problem]:
    """Names that nothing has, and circles: each told once, where it begins. ``tree`` may be in any state."""
    needs = {section: _needs(tree, section) for section in SECTIONS}
    known = {name: None for section in SECTIONS for name in needs[section]}
    for section, depending in needs.items():
        for name, above in depending.items():
            for index, one in enumerate(above):
                if one and one not in known:
                    at = (section, name, "depends_on", index)
                    yield places.problem(
                        at, f'no target and no service is called "{one}"', _hint(list(known))
                    )
    for name in needs["services"]:
        # One without a name would be every watch that is of no service.
        if not name or set(name) & set("*?"):
            yield places.problem(("services", name), "is one service by its whole name, without * and ?")
    yield from _circles(needs, places)


def _circles(needs: Mapping[str, Mapping[str, list[str]]], places: Places) -> Iterator[Problem]:
    everything, told = merged(needs["targets"], needs["services"]), set[frozenset[str]]()
    for section in SECTIONS:
        for name in needs[section]:
            way = circle(everything, name)
            # The same circle begins at each of its members.
            if way and way[1] in needs[section][name] and frozenset(way) not in told:
                told.add(frozenset(way))
                text = f"depends on itself: {' > '.join(way)}; while one of them is down, who would be told?"
                yield places.problem((section, name, "depends_on", needs[section][name].index(way[1])), text)


def rule_problems(tree: Mapping[Any, Any], places: Places) -> Iterator[Problem]:
    """Rules of inhibition of one name."""
    inhibit, seen = tree.get("inhibit"), set[str]()
    rules = inhibit.get("rules") if isinstance(inhibit, dict) else None
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        name = rule.get("name") if isinstance(rule, dict) else None
        if isinstance(name, str) and name in seen:
            yield places.problem(("inhibit", "rules", index, "name"), f'a second rule is called "{name}"')
        seen.add(str(name))


def _needs(tree: Mapping[Any, Any], section: str) -> dict[str, list[str]]:
    """What each name of the section depends on, as far as that can be read."""
    named = tree.get(section)
    found: dict[str, list[str]] = {}
    for name, one in (named if isinstance(named, dict) else {}).items():
        above = one.get("depends_on") if isinstance(one, dict) else None
        found[str(name)] = (
            [each if isinstance(each, str) else "" for each in above] if isinstance(above, list) else []
        )
    return found


def _hint(known: list[str]) -> str:
    more = f" and {len(known) - KNOWN_SHOWN} more" if len(known) > KNOWN_SHOWN else ""
    return f"targets and services have: {', '.join(known[:KNOWN_SHOWN])}{more}; a service is named below `services`"
