"""The part of the JSON API by which incidents are seen to: list, explain, acknowledge, mark, silence."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from alerts.duration import Duration
from alerts.matcher import MATCHERS_MAX
from dashboards.desk import (
    ExplanationView,
    IncidentDesk,
    IncidentFile,
    IncidentLine,
    RoutingView,
    SilenceView,
    WouldTell,
)
from dashboards.routing_page import asked_of
from dashboards.write_guard import WriteGuard

TAG = "incidents"


Found = Annotated[str, Path(description="Its id.", examples=["5f1b9c0e7a42d386"])]
"""The id of an incident in an address."""

Matchers = Annotated[
    list[str] | None, Query(description="All must fit: service=checkout.", examples=["service=checkout"])
]


def body_like(example: dict[str, JsonValue]) -> ConfigDict:
    """What a body is like, with an example for the API's description."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class Acknowledgement(BaseModel):
    """Who sees to it."""

    model_config = body_like({"by": "ada"})

    by: str = Field(min_length=1, max_length=200, description="Who you are.")


class Marking(BaseModel):
    """What a person says of a page afterwards."""

    model_config = body_like({"is_true": False, "by": "ada"})

    is_true: bool = Field(description="Whether something was wrong; false: the alarm was false.")
    by: str = Field(min_length=1, max_length=200, description="Who you are.")


class Matching(BaseModel):
    """Which incidents are meant."""

    model_config = body_like({"matchers": ["service=checkout", "severity!=page"]})

    matchers: list[str] = Field(
        min_length=1, max_length=MATCHERS_MAX, description="All must fit: service=checkout."
    )


class NewSilence(Matching):
    """A silence, from now on unless it begins later."""

    model_config = body_like(
        {"matchers": ["service=checkout"], "for": "2h", "by": "ada", "comment": "moving the database"}
    )

    for_: Duration = Field(default=3600.0, alias="for", gt=0, description="How long: 1h, 1d.")
    starts_at: AwareDatetime | None = Field(
        default=None, description="When it begins, with its zone: 2026-03-02T18:00Z; now unless set."
    )
    by: str = Field(min_length=1, max_length=200, description="Who you are.")
    comment: str = Field(default="", max_length=1000, description="Why.")


class Ending(BaseModel):
    """Who ends something."""

    model_config = body_like({"by": "ada"})

    by: str = Field(min_length=1, max_length=200, description="Who you are.")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was wrong, and what would be right."""

    detail: str


REFUSALS: dict[int | str, dict[str, object]] = {
    code: {"model": Refusal} for code in (400, 401, 403, 404, 409, 415, 503)
}
LOOKUPS: dict[int | str, dict[str, object]] = {code: {"model": Refusal} for code in (400, 404, 503)}


def desk_routes(desk: IncidentDesk, guard: WriteGuard) -> APIRouter:
    """The routes by which incidents are seen to; what changes something passes ``guard`` first."""
    router = APIRouter(prefix="/api/v1", tags=[TAG])
    _add_questions(router, desk)
    _add_changes(router, desk, guard)
    return router


def _add_questions(router: APIRouter, desk: IncidentDesk) -> None:
    @router.get("/incidents", summary="Incidents that fit", responses=LOOKUPS)
    async def incidents(
        match: Matchers = None,
        everything: Annotated[bool, Query(alias="all", description="Resolved ones too.")] = False,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> tuple[IncidentLine, ...]:
        """Open incidents, or all of them, the newest first."""
        return await desk.incidents(match or [], everything, limit)

    @router.get("/incidents/{incident}", summary="All that is on record of an incident", responses=LOOKUPS)
    async def incident(incident: Found) -> IncidentFile:
        """Its evidence, the messages about it and every decision, with what keeps people from hearing of it now."""
        return await desk.incident(incident)

    @router.get("/explain", summary="Why was I told, or why not", responses=LOOKUPS)
    async def explain(
        incident: Annotated[
            str,
            Query(
                max_length=500, description="The id of an incident, or a key.", examples=["watch/chat-p95"]
            ),
        ],
    ) -> ExplanationView:
        """Every decision about an incident or a key, with its time, and what became of each message."""
        return await desk.explain(incident)

    @router.get("/silences", summary="Silences", responses=LOOKUPS)
    async def silences(
        everything: Annotated[bool, Query(alias="all", description="Those that are over too.")] = False,
    ) -> tuple[SilenceView, ...]:
        """Silences that hold, or will."""
        return await desk.silences(everything)

    @router.get("/routing", summary="Who is told of what", responses=LOOKUPS)
    async def routing() -> RoutingView:
        """The tree of routes, the mute times, routes that nothing reaches, and what explains what away."""
        return await desk.routing()

    @router.get("/routing/told", summary="Who would be told", responses=LOOKUPS)
    async def told(
        labels: Annotated[
            list[str] | None, Query(description="What it is about.", examples=["service=checkout"])
        ] = None,
        severity: Annotated[str, Query(description="page, ticket or info.", examples=["page"])] = "page",
        source: Annotated[str, Query(description="ledger, proof, watch or self_check.")] = "watch",
        key: Annotated[str, Query(max_length=500, description="Its key.")] = "",
    ) -> WouldTell:
        """Who would be told of an incident with these labels, when and why, and what would keep it quiet now."""
        return await desk.would_tell(asked_of("\n".join(labels or ()), severity, source, key))


def _add_changes(router: APIRouter, desk: IncidentDesk, guard: WriteGuard) -> None:
    guarded = [Depends(guard)]

    @router.post(
        "/incidents/{incident}/acknowledge",
        summary="See to an incident",
        responses=REFUSALS,
        dependencies=guarded,
    )
    async def acknowledge(incident: Found, asked: Acknowledgement) -> IncidentLine:
        """No repeats and no escalation until it is over or gets worse."""
        return await desk.acknowledge(incident, asked.by)

    @router.post(
        "/incidents/{incident}/mark", summary="Judge a page", responses=REFUSALS, dependencies=guarded
    )
    async def mark(incident: Found, asked: Marking) -> IncidentLine:
        """The precision of each rule is counted from this."""
        return await desk.mark(incident, asked.is_true, asked.by)

    @router.post(
        "/silences/preview",
        summary="What a silence would hold",
        responses=REFUSALS,
        dependencies=guarded,
    )
    async def preview(asked: Matching) -> tuple[IncidentLine, ...]:
        """Nothing is changed."""
        return await desk.preview(asked.matchers)

    @router.post("/silences", summary="Silence", responses=REFUSALS, dependencies=guarded)
    async def silence(asked: NewSilence) -> SilenceView:
        """What still fires when it is over is told then."""
        return await desk.silence(asked.matchers, asked.for_, asked.comment, asked.by, asked.starts_at)

    @router.post(
        "/silences/{silence}/expire", summary="End a silence", responses=REFUSALS, dependencies=guarded
    )
    async def expire(
        silence: Annotated[str, Path(description="Its id.", examples=["3f2a91c07b5d"])],
        asked: Ending,
    ) -> SilenceView:
        """It is over now."""
        return await desk.expire(silence, asked.by)
