"""Whether a call failed, which its span does not always say, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..calls import ErrorClass, FinishReason
from . import errors
from .tables import Dialect, Place
from .told import Told
from .usage import Usage
from .values import text


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back, as far as it is told; ``has_begun``: the beginning of a stream did."""

    finish: FinishReason | None
    usage: Usage
    response_id: str | None
    has_begun: bool

    @property
    def is_answered(self) -> bool:
        """Something came back."""
        return bool(self.usage.output) or self.finish is not None


def failure_of(told: Told, dialect: Dialect, outcome: Outcome) -> tuple[ErrorClass, int | None] | None:
    """The class of the error and its HTTP status, when the call failed."""
    span, facts = told.span, dialect.facts
    if not _is_failed(told, dialect, outcome):
        told.sources.pop("error", None)
        if _tells_ends(told, dialect) and outcome.has_begun and not outcome.is_answered:
            told.sources["error"] = "concluded: the stream began, and nothing tells of its end"
            return ErrorClass.CONNECTION, None
        return None
    told.sources.setdefault("error", "status" if span.is_error else "exception event")
    error_class, status = errors.classify(
        span, _texts(told, facts.error_types), _texts(told, facts.error_messages)
    )
    if _is_aftermath(outcome, error_class, status):
        told.sources.pop("error")
        return None
    return error_class, status


def _tells_ends(told: Told, dialect: Dialect) -> bool:
    beside = dialect.tells_ends_beside
    return dialect.tells_ends_of_streams and (not beside or beside in told.span.attributes)


_OF_THE_ANSWER = (ErrorClass.BAD_REQUEST, ErrorClass.BAD_RESPONSE, ErrorClass.CONTEXT_LENGTH)
"""What an answer that was cut at its limit may be called; who was timed out or refused got none."""


def _is_aftermath(outcome: Outcome, error_class: ErrorClass, status: int | None) -> bool:
    """The provider did answer: a library calls an answer an error that was cut at its limit, or that it cannot use."""
    has_come = outcome.usage.output or outcome.response_id is not None
    if not has_come or outcome.finish is None or status is not None:
        return False
    return error_class is ErrorClass.OTHER or (
        outcome.finish is FinishReason.LENGTH and error_class in _OF_THE_ANSWER
    )


def _is_failed(told: Told, dialect: Dialect, outcome: Outcome) -> bool:
    """The span says that the call failed."""
    span, facts = told.span, dialect.facts
    kind = told.find("error", facts.error_types, text)
    said = told.find("error", facts.failed, text)
    if span.is_error or (kind is not None and "error.type" in span.attributes):
        return True
    if said is not None and said.lower() in ("error", "failed", "failure"):
        return True
    # An exception that was caught by a retry is on the spans of calls that were answered, too.
    is_raised = any(event.name == "exception" for event in span.events)
    return is_raised and not outcome.is_answered and outcome.response_id is None


def _texts(told: Told, where: Sequence[Place]) -> list[str]:
    return [str(found) for place in where if (found := told.find("", (place,), _any)) is not None]


def _any(raw: object) -> str | None:
    return raw if isinstance(raw, str) else str(raw) if isinstance(raw, int | float) else None
