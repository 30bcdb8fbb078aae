"""An audit as a message: what fits into a chat, with the way to the whole."""

from collections.abc import Sequence

from alerts.message import Message, Section, report
from dashboards.audit import words
from dashboards.audit.report import Audit, Measure, SubjectKind
from dashboards.words import counted

LINES_MAX = 8
"""How many lines a section has; a last one says how many more there are."""


def message_of(audit: Audit) -> Message:
    """The message that is sent to the audit's receivers."""
    first = words.headline(audit)
    sections = (
        _section("What moved", [words.mover_words(one, audit.against) for one in audit.movers]),
        _section("Answers that break a rule", _broken(audit)),
        _section("Budgets", [words.budget_words(one) for one in audit.budgets]),
        _section("Pages", [words.paging_words(audit), *words.page_advice(audit)]),
        _section("Not seen", [f"{one.what}: {one.who}: {one.detail}" for one in audit.unseen]),
        _section("New models", [one.model for one in audit.models if one.is_new]),
    )
    return report(
        title=words.title(audit),
        summary=f"{first.text} {first.detail}".strip(),
        detail=f"{words.period(audit)}. {_looked_at(audit)}",
        sections=tuple(one for one in sections if one.lines),
        page=f"audits/{audit.night}",
        of=audit.until,
    )


def _looked_at(audit: Audit) -> str:
    targets, services = (len(audit.of_kind(kind)) for kind in (SubjectKind.TARGET, SubjectKind.SERVICE))
    spend = sum(line.value or 0.0 for one in audit.subjects if (line := one.line(Measure.SPEND)))
    return (
        f"{counted(targets, 'target')} and {counted(services, 'service')}, {counted(len(audit.models), 'model')}; "
        f"production spends ${spend:,.2f} a day."
    )


def _broken(audit: Audit) -> list[str]:
    found = [(one, words.broken_words(one, audit.against)) for one in audit.subjects]
    return [f"{one.name}: {said}" for one, said in found if said]


def _section(title: str, lines: Sequence[str]) -> Section:
    more = (f"and {len(lines) - LINES_MAX} more",) if len(lines) > LINES_MAX else ()
    return Section(title, (*lines[:LINES_MAX], *more))
