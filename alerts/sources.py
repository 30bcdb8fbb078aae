"""The open incidents that may explain others away: few, however many are open."""

from collections.abc import Sequence

from sqlmodel import Session

from . import store
from .incident import Incident
from .inhibition import InhibitRule, may_inhibit, source_labels


def inhibiting(session: Session, rules: Sequence[InhibitRule]) -> tuple[Incident, ...]:
    """The firing incidents that could explain something away by one of the rules, the oldest first."""
    found = store.open_labelled(session, set(source_labels(rules)))
    return tuple(one for one in found if may_inhibit(one, rules))
