"""Which calls somebody looks at: by service, version, model and the like, as names or patterns."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

from ..windows.series import Series
from ..windows.window import Window

Pattern = str | list[str]
"""One value, or a list of them; ``*`` and ``?`` stand for any characters and any one character."""


def fits(pattern: Pattern | None, value: str) -> bool:
    """Whether the value is one that the pattern stands for; no pattern stands for all."""
    if pattern is None:
        return True
    return any(fnmatchcase(value, one) for one in ([pattern] if isinstance(pattern, str) else pattern))


class MatchConfig(BaseModel):
    """Which calls a watch or a validator looks at; what is left out matches all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Pattern | None = Field(None, description="service.name of the application.")
    environment: Pattern | None = Field(None, description="deployment.environment.name of the application.")
    version: Pattern | None = Field(None, description="service.version of the application.")
    operation: Pattern | None = Field(None, description="chat or embeddings.")
    provider: Pattern | None = Field(
        None, description="As in OpenTelemetry: openai, anthropic, aws.bedrock, ..."
    )
    model: Pattern | None = Field(None, description="The model asked for, or the one that answered.")


def matches(match: MatchConfig, series: Series) -> bool:
    """Whether a watch with this ``match`` looks at calls of this series."""
    return (
        fits(match.service, series.service)
        and fits(match.environment, series.environment)
        and fits(match.version, series.version)
        and fits(match.operation, series.operation)
        and fits(match.provider, series.provider)
        and (fits(match.model, series.request_model) or fits(match.model, series.response_model))
    )


def matching(match: MatchConfig, windows: Iterable[Window]) -> list[Window]:
    """The windows of the series that a watch with this ``match`` looks at; each series is looked at once."""
    known: dict[Series, bool] = {}
    found = []
    for window in windows:
        is_ours = known.get(window.series)
        if is_ours is None:
            is_ours = known[window.series] = matches(match, window.series)
        if is_ours:
            found.append(window)
    return found
