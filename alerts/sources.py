"""The open incidents that may explain others away: few, however many are open."""

from collections.abc import Sequence

from sqlmodel import Session

from . import store
from .inhibition import Inhibitors, InhibitRule, source_labels


def inhibitors(session: Session, rules: Sequence[InhibitRule]) -> Inhibitors:
    """The firing incidents that could explain something away by one of the rules."""
    return Inhibitors(rules, store.open_labelled(session, set(source_labels(rules))))
