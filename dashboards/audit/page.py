"""An audit as a page: of its own, with nothing to fetch, or within the dashboard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboards.audit import words
from dashboards.audit.drawings import (
    ROW,
    SPARK_HEIGHT,
    SPARK_WIDTH,
    WIDTH,
    bars,
    mover_picture,
    tail_picture,
)
from dashboards.audit.markdown import HEADINGS, model_facts, model_rows
from dashboards.audit.report import Against, Audit, AuditSummary, Measure, SubjectKind
from dashboards.pages import templates

STATIC = Path(__file__).parent.parent / "static"


def render_audit(audit: Audit) -> str:
    """The audit as one HTML file of its own."""
    style = "\n".join(
        (STATIC / name).read_text(encoding="utf-8") for name in ("anchorwatch.css", "audit.css")
    )
    return templates.get_template("audit.html").render(**_shown(audit), style=style)


def render_audit_page(audit: Audit) -> str:
    """The audit within the dashboard."""
    return templates.get_template("audit_page.html").render(**_shown(audit), root="../")


def render_audits(audits: Sequence[AuditSummary]) -> str:
    """The list of the nightly audits, newest first."""
    return templates.get_template("audits.html").render(audits=audits, root="")


def _shown(audit: Audit) -> dict[str, Any]:
    return {
        "audit": audit,
        "words": words,
        "headline": words.headline(audit),
        "groups": [(HEADINGS[kind], subjects) for kind in SubjectKind if (subjects := audit.of_kind(kind))],
        "references": tuple(Against),
        "movers": mover_picture(audit),
        "tails": tail_picture(audit),
        "bars": bars,
        "broken": Measure.BROKEN_ANSWERS,
        "spend": Measure.SPEND,
        "model_facts": model_facts,
        "model_rows": model_rows,
        "size": {"width": WIDTH, "row": ROW, "spark": (SPARK_WIDTH, SPARK_HEIGHT)},
    }
