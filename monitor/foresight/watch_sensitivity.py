"""How small a change each target's watch would page, worked out once for each baseline and number of samples."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlmodel import Session

from canaries.baseline import Baseline, BaselineStatus
from canaries.features import RunFeatures
from canaries.sensitivity import Sensitivity
from canaries.store import load_features

from ..canary_flow.baseline_life import baseline_of
from ..database import Database
from ..watched import House, Watched

Known = tuple[str, int | None]
"""What a sensitivity was worked out for: the baseline, and the samples where they were cut."""


@dataclass
class SensitivityWatch:
    """The sensitivity of every target, brought up to date when asked; ``found`` has what is known."""

    database: Database
    house: House
    watched: Mapping[str, Watched]
    found: dict[str, Sensitivity] = field(default_factory=dict)
    _known: dict[str, Known] = field(default_factory=dict)

    async def look(self, samples: Mapping[str, int]) -> None:
        """Work out what is new; ``samples`` is how many of a canary the target's last run was planned with."""
        for name, watched in self.watched.items():
            full = max(watched.contract.expected_samples().values(), default=1)
            planned = samples.get(name, full)
            cut = planned if 0 < planned < full else None

            def read(session: Session, watched: Watched = watched) -> Baseline | None:
                return self._frozen(session, watched)

            baseline = await self.database.aread(read)
            if baseline is None:
                self._forget(name)
            elif self._known.get(name) != (baseline.id, cut):
                await self._work_out(name, baseline, cut)

    def _frozen(self, session: Session, watched: Watched) -> Baseline | None:
        current = baseline_of(session, watched.name, watched.suite_name)
        is_frozen = current is not None and current.status is BaselineStatus.FROZEN
        baseline = (
            self.house.frozen_baseline(session, current.id) if current is not None and is_frozen else None
        )
        # One of an earlier version has no scores that could be read.
        return baseline if baseline is not None and baseline.scores is not None else None

    async def _work_out(self, name: str, baseline: Baseline, cut: int | None) -> None:
        # Imported here: with what draws random numbers it takes 7 MB, and without a frozen baseline nobody needs it.
        from .sensitivity import runs_to_try, sensitivity_of

        def read(session: Session) -> tuple[RunFeatures, ...]:
            return load_features(session, runs_to_try(baseline))

        runs = await self.database.aread(read)
        watched = self.watched[name]
        budget = self.house.budgets.pages_per_quarter * watched.share
        # In a thread, as it takes a second in which calls and pages must not wait.
        self.found[name] = await asyncio.to_thread(
            sensitivity_of, baseline, runs, watched.slot_s, budget, cut
        )
        self._known[name] = (baseline.id, cut)

    def _forget(self, name: str) -> None:
        self.found.pop(name, None)
        self._known.pop(name, None)
