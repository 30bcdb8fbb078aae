"""The part of the JSON API that is about rollbacks: list, dry run, approve, reject, lock, unlock."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from dashboards.desk_api import LOOKUPS, REFUSALS, Found, body_like
from dashboards.rollback_desk import DryRun, LockLine, RollbackDesk, RollbackLine, RollbackOverview
from dashboards.write_guard import WriteGuard

TAG = "rollbacks"


Named = Annotated[str, Path(description="Its name.", examples=["deploy"])]
"""The name of a rollback in an address."""


class _Person(BaseModel):
    model_config = body_like({"by": "ada"})

    by: str = Field(min_length=1, max_length=200, description="Who you are.")


class Answer(_Person):
    """What a person says to a rollback that waits."""

    rollback: str | None = Field(
        None, max_length=64, description="Which one, if the incident asked for several."
    )


class NewLock(_Person):
    """A lock from now on."""

    model_config = body_like({"by": "ada", "comment": "database migration"})

    comment: str = Field("", max_length=1000, description="Why.")


class Unlocking(_Person):
    """Who takes a lock back."""


def rollback_routes(desk: RollbackDesk, guard: WriteGuard) -> APIRouter:
    """The routes by which rollbacks are seen to; what changes something passes ``guard`` first."""
    router = APIRouter(prefix="/api/v1", tags=[TAG])
    _add_questions(router, desk)
    _add_answers(router, desk, guard)
    _add_locks(router, desk, guard)
    return router


def _add_questions(router: APIRouter, desk: RollbackDesk) -> None:
    @router.get("/rollbacks", summary="Rollbacks", responses=LOOKUPS)
    async def rollbacks(limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> RollbackOverview:
        """What there is, what was decided (the newest first), and what is locked."""
        return await desk.overview(limit)

    @router.get("/rollbacks/{rollback}/dry-run", summary="What a rollback would do", responses=LOOKUPS)
    async def dry_run(
        rollback: Named,
        incident: Annotated[str | None, Query(max_length=500, description="Its id or its key.")] = None,
    ) -> DryRun:
        """What the guard would say now, and what the deploy system would get. Nothing is changed or sent."""
        return await desk.dry_run(rollback, incident)


def _add_answers(router: APIRouter, desk: RollbackDesk, guard: WriteGuard) -> None:
    guarded = [Depends(guard)]

    @router.post(
        "/incidents/{incident}/rollback/approve",
        summary="Approve a rollback",
        responses=REFUSALS,
        dependencies=guarded,
    )
    async def approve(incident: Found, asked: Answer) -> RollbackLine:
        """The order goes out. The first answer counts."""
        return await desk.approve(incident, asked.by, asked.rollback)

    @router.post(
        "/incidents/{incident}/rollback/reject",
        summary="Reject a rollback",
        responses=REFUSALS,
        dependencies=guarded,
    )
    async def reject(incident: Found, asked: Answer) -> RollbackLine:
        """It is not sent for this incident. The first answer counts."""
        return await desk.reject(incident, asked.by, asked.rollback)


def _add_locks(router: APIRouter, desk: RollbackDesk, guard: WriteGuard) -> None:
    guarded = [Depends(guard)]

    @router.post(
        "/rollbacks/{rollback}/lock", summary="Lock a rollback", responses=REFUSALS, dependencies=guarded
    )
    async def lock(rollback: Named, asked: NewLock) -> LockLine:
        """It does not act until somebody unlocks it; `*` locks every rollback."""
        return await desk.lock(rollback, asked.by, asked.comment)

    @router.post(
        "/rollbacks/{rollback}/unlock", summary="Unlock a rollback", responses=REFUSALS, dependencies=guarded
    )
    async def unlock(rollback: Named, asked: Unlocking) -> LockLine:
        """It may act again; what was held back meanwhile stays so."""
        return await desk.unlock(rollback, asked.by)
