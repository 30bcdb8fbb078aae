"""What differs between two contracts, where it is only that canaries came or went."""

from collections.abc import Mapping
from typing import Any

import pytest

from canaries.contract import Contract, added_canaries, only, removed_canaries


def contract(*canaries: str, model: str = "m", **changes: Mapping[str, Any]) -> Contract:
    return Contract(
        {"target.model": model}, {id: {"samples": 1} | dict(changes.get(id, {})) for id in canaries}
    )


OLD = contract("a", "b", "c")
CASES = {
    "the same": (contract("a", "b", "c"), (), ()),
    "one more": (contract("a", "b", "c", "z"), ("z",), ()),
    "two more, named in order": (contract("y", "a", "b", "c", "x"), ("x", "y"), ()),
    "one less": (contract("a", "c"), (), ("b",)),
    "one for another": (contract("a", "b", "z"), (), ("c",)),
    "one more, and another model": (contract("a", "b", "c", "z", model="n"), (), ()),
    "one less, and another model": (contract("a", "b", model="n"), (), ()),
    "one more, and one of both changed": (contract("a", "b", "c", "z", a={"samples": 2}), (), ()),
    "one less, and one of both changed": (contract("a", "b", a={"samples": 2}), (), ()),
    "none of them left": (contract("z"), (), ()),
    "no canary at all": (contract(), (), ()),
}


@pytest.mark.parametrize(("new", "added", "removed"), CASES.values(), ids=CASES)
def test_canaries_that_came_or_went_are_told_only_where_nothing_else_changed(
    new: Contract, added: tuple[str, ...], removed: tuple[str, ...]
) -> None:
    assert added_canaries(OLD, new) == added
    assert removed_canaries(OLD, new) == removed


def test_removing_first_leaves_what_was_added() -> None:
    new = contract("a", "b", "z")
    assert added_canaries(only(OLD, new.canaries), new) == ("z",)


def test_a_contract_without_some_canaries_is_that_of_the_smaller_suite() -> None:
    assert only(OLD, ["c", "a", "unknown"]).hash == contract("a", "c").hash
