"""An audit as Markdown: for a wiki, a pull request, a mail."""

from collections.abc import Iterator, Sequence

from dashboards.audit import words
from dashboards.audit.report import Against, Audit, ModelEntry, ModelFigures, Subject, SubjectKind
from dashboards.words import quantity

HEADINGS = {SubjectKind.TARGET: "Targets (canaries)", SubjectKind.SERVICE: "Services (production)"}


def render_markdown(audit: Audit) -> str:
    """The audit as one Markdown document."""
    return "\n".join(_lines(audit)).rstrip() + "\n"


def _lines(audit: Audit) -> Iterator[str]:
    first = words.headline(audit)
    yield from (f"# {words.title(audit)}: {first.text}", "", first.detail, "", f"{words.period(audit)}.", "")
    yield from _section("What moved", [words.mover_words(one, audit.against) for one in audit.movers])
    for kind in SubjectKind:
        subjects = audit.of_kind(kind)
        if subjects:
            yield from (f"## {HEADINGS[kind]}", "")
        for subject in subjects:
            yield from _subject(subject)
    yield from _section("Budgets", [words.budget_words(one) for one in audit.budgets])
    pages = [words.paging_words(audit), *(f"{rule}: {count}" for rule, count in audit.paging.by_rule)]
    yield from _section("Pages", [*pages, *words.page_advice(audit)])
    yield from _section("Not seen", [f"{one.what}: {one.who}: {one.detail}" for one in audit.unseen])
    if audit.models:
        yield from ("## Models", "")
    for model in audit.models:
        yield from _model(model)


def _section(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from (f"## {heading}", "", *(f"- {_text(line)}" for line in lines), "")


def _subject(subject: Subject) -> Iterator[str]:
    detail = f" ({_text(subject.detail)})" if subject.detail else ""
    yield from (f"### {_text(subject.name)}{detail}", "")
    yield "| measure | now | n | before | change (95 %) | | baseline | change (95 %) | |"
    yield "|---|---:|---:|---:|---|---|---:|---|---|"
    for line in subject.lines:
        cells = [words.NAMES[line.measure], words.figure(line), f"{line.n:,}"]
        for against in Against:
            change = words.said(line, against)
            cells += [words.before(line, against), change.text, change.reality]
        yield f"| {' | '.join(cells)} |"
    if subject.failed_checks:
        failed = [
            f"{_text(one.name)} {one.failed:,} (before {one.before:,})" for one in subject.failed_checks
        ]
        yield from ("", f"Failed checks: {', '.join(failed)}")
    yield ""


def _model(model: ModelEntry) -> Iterator[str]:
    provider = f" ({_text(model.provider)})" if model.provider else ""
    yield from (f"### {_text(model.model)}{provider}{': new' if model.is_new else ''}", "")
    yield from (f"- {line}" for line in _model_facts(model))
    yield ""
    if model.now.calls or model.usual.calls:
        yield "| | period | days before |"
        yield "|---|---:|---:|"
        for name, now, usual in model_rows(model):
            yield f"| {name} | {now} | {usual} |"
        yield ""


def _model_facts(model: ModelEntry) -> Iterator[str]:
    for name, value in model_facts(model):
        yield f"{name}: {_text(value)}"


def model_facts(model: ModelEntry) -> Iterator[tuple[str, str]]:
    """What there is to say of a model besides its figures."""
    if model.use:
        yield "best for", model.use
    if model.first_seen is not None and model.last_seen is not None:
        yield "seen", f"{model.first_seen:%Y-%m-%d %H:%M} to {model.last_seen:%Y-%m-%d %H:%M} UTC"
    if model.asked_as:
        yield "asked for as", ", ".join(model.asked_as)
    if model.services:
        yield "used by", ", ".join(model.services)
    if model.targets:
        yield "canaries", ", ".join(model.targets)
    if model.canary_checked:
        yield "canary answers that broke a rule", words.share_words(model.canary_broken, model.canary_checked)


def model_rows(model: ModelEntry) -> list[tuple[str, str, str]]:
    """The figures of a model: what, in the period, on the days before."""
    now, usual = model_figures(model.now), model_figures(model.usual)
    return [(name, now[name], usual[name]) for name in now]


def model_figures(one: ModelFigures) -> dict[str, str]:
    """The figures of a model's calls in words."""
    return {
        "calls": f"{one.calls:,}",
        "cost": "no data" if one.cost_usd is None else f"${one.cost_usd:,.2f}",
        "cost per call": "no data" if one.cost_per_call is None else f"${one.cost_per_call:,.3g}",
        "latency p50": quantity(one.latency_p50, "s"),
        "latency p95": quantity(one.latency_p95, "s"),
        "latency p99": quantity(one.latency_p99, "s"),
        "first token p95": quantity(one.ttft_p95, "s"),
        "input tokens": quantity(one.input_tokens, ""),
        "output tokens": quantity(one.output_tokens, ""),
        "failed calls": quantity(one.error_share, "share"),
        "broken answers": words.share_words(one.broken, one.checked),
    }


def _text(text: str) -> str:
    """What strangers wrote, such as a model's name, without what Markdown would make of it."""
    for mark in ("\\", "`", "*", "_", "[", "]", "<", ">", "|", "#"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
