"""Which versions of suites were in use, on which targets and when, in the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlmodel import Session, col, select

from . import CanaryError
from .baseline import Baseline
from .baseline_store import list_baselines, load_baseline
from .contract import HASH_SHOWN, Contract, content_of, describe_change, is_made_of
from .suite import Suite
from .tables import SuiteUseRow, SuiteVersionRow


@dataclass(frozen=True, slots=True)
class Use:
    """A version in use on a target; ``until`` is not known of one that still is."""

    target: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a suite: what it says, as hashes, its uses and the ids of the ``baselines`` of it.

    ``changes`` tell how it differs from the version before it, a sentence each.
    """

    hash: str
    first_at: datetime
    content: Contract
    uses: tuple[Use, ...]
    baselines: tuple[str, ...]
    changes: tuple[str, ...]

    @property
    def short(self) -> str:
        """The hash as people say it."""
        return self.hash[:HASH_SHOWN]

    @property
    def is_in_use(self) -> bool:
        """Whether some target is asked it."""
        return any(use.until is None for use in self.uses)


def note_uses(session: Session, suites: Mapping[str, Suite], now: datetime) -> None:
    """Note the suite of each target as it is from ``now`` on; a target that is not among them has none any more."""
    contents = {target: content_of(suite) for target, suite in suites.items()}
    known = set()
    for row in session.exec(select(SuiteUseRow).where(col(SuiteUseRow.until_at).is_(None))).all():
        suite = suites.get(row.target)
        if suite is not None and (suite.name, contents[row.target].hash) == (row.suite, row.hash):
            known.add(row.target)
        else:
            row.until_at = now.timestamp()
            session.add(row)
    for target, suite in suites.items():
        _note_version(session, suite.name, contents[target], now)
        if target not in known:
            row = SuiteUseRow(
                target=target, suite=suite.name, hash=contents[target].hash, since_at=now.timestamp()
            )
            session.add(row)
    session.flush()


def _note_version(session: Session, suite: str, content: Contract, now: datetime) -> None:
    if session.get(SuiteVersionRow, (suite, content.hash)) is None:
        row = SuiteVersionRow(
            suite=suite, hash=content.hash, first_at=now.timestamp(), content=content.to_json()
        )
        session.add(row)
        session.flush()


def suite_names(session: Session) -> tuple[str, ...]:
    """The suites that were ever in use, by name."""
    return tuple(sorted(set(session.exec(select(SuiteVersionRow.suite)))))


def versions(session: Session, suite: str) -> tuple[Version, ...]:
    """The versions of a suite in the order in which they were first used. Raises CanaryError when there is none."""
    query = select(SuiteVersionRow).where(SuiteVersionRow.suite == suite)
    rows = session.exec(query.order_by(col(SuiteVersionRow.first_at), col(SuiteVersionRow.hash))).all()
    if not rows:
        known = ", ".join(suite_names(session)) or "none yet: the daemon notes them when it starts"
        raise CanaryError(f"no suite {suite!r} was ever in use; there are: {known}")
    contents = {row.hash: Contract.from_json(row.content) for row in rows}
    bound = _bound(session, suite, contents)
    found, before = [], None
    for row in rows:
        content = contents[row.hash]
        changes = () if before is None else describe_change(before, content)
        found.append(
            Version(
                row.hash,
                _time(row.first_at),
                content,
                _uses(session, suite, row.hash),
                bound[row.hash],
                changes,
            )
        )
        before = content
    return tuple(found)


def version_named(found: Sequence[Version], beginning: str) -> Version:
    """The version whose hash begins so. Raises CanaryError when there is none, or more than one."""
    fitting = [one for one in found if one.hash.startswith(beginning)]
    if len(fitting) == 1 and beginning:
        return fitting[0]
    known = ", ".join(one.short for one in found)
    raise CanaryError(
        f"{'several versions begin' if fitting else 'no version begins'} with {beginning!r}: {known}"
    )


def _uses(session: Session, suite: str, hash: str) -> tuple[Use, ...]:
    query = select(SuiteUseRow).where(SuiteUseRow.suite == suite, SuiteUseRow.hash == hash)
    return tuple(
        Use(row.target, _time(row.since_at), None if row.until_at is None else _time(row.until_at))
        for row in session.exec(query.order_by(col(SuiteUseRow.position)))
    )


def _bound(session: Session, suite: str, contents: Mapping[str, Contract]) -> Mapping[str, tuple[str, ...]]:
    """The baselines of each version: those whose contract is that of asking it."""
    bound: dict[str, tuple[str, ...]] = dict.fromkeys(contents, ())
    for summary in reversed(list_baselines(session)):
        if summary.suite == suite:
            version = _version_of(load_baseline(session, summary.id), contents)
            if version is not None:
                bound[version] += (summary.id,)
    return bound


def _version_of(baseline: Baseline, contents: Mapping[str, Contract]) -> str | None:
    """The latest version that the baseline may be of: two may differ in what the target says all the same."""
    fitting = [hash for hash, content in contents.items() if is_made_of(baseline.contract, content)]
    return fitting[-1] if fitting else None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
