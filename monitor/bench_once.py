"""A bench for a person at the terminal: asked, shown as it goes, appended to a file, within a spend cap."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import httpx
import orjson
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from canaries.bench.lines import line_of, read_lines
from canaries.bench.load import Asked, Endpoint, run_load
from canaries.bench.measured import Measured, Meter
from canaries.bench.plan import Ask, Load, asked_samples, identity, long_canaries, plan
from canaries.clock import Clock
from canaries.completion import Outcome
from canaries.config import TargetConfig
from canaries.suite import Suite

from . import MonitorError
from .spending.canary_cost import answer_cost_usd, sample_costs

_CUT_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Bench:
    """What is to be measured: the suite's prompts against targets, as hard as ``load`` says."""

    suite: Suite
    targets: Mapping[str, TargetConfig]
    load: Load

    @property
    def asked_suite(self) -> Suite:
        """The suite with the long prompt, of which one stands for all."""
        return replace(self.suite, canaries=(*self.suite.canaries, *long_canaries(self.suite, self.load)[:1]))

    @property
    def identity(self) -> str:
        """The same for benches whose figures may be put together."""
        return identity(self.suite, self.targets, self.load)

    def meter(self) -> Meter:
        """What measures its requests, at the price of each target."""
        canaries = {one.id: one for one in self.asked_suite.canaries}
        return Meter(
            self.suite,
            lambda target, completion: answer_cost_usd(
                completion, self.targets[target], canaries[completion.canary]
            ),
        )


@dataclass(slots=True)
class Purse:
    """What a bench may still spend. A request takes its estimate out, and its price goes there when it is known."""

    cap_usd: float | None
    estimates: Mapping[str, Mapping[str, float] | None]
    spent_usd: float = 0.0
    is_empty: bool = False
    _under_way_usd: float = field(default=0.0)

    def may_ask(self, ask: Ask) -> bool:
        """Whether there is money for the request, which is then set aside."""
        estimate = self._estimate(ask)
        if self.cap_usd is not None and self.spent_usd + self._under_way_usd + estimate > self.cap_usd:
            self.is_empty = True
        if not self.is_empty:
            self._under_way_usd += estimate
        return not self.is_empty

    def paid(self, asked: Asked, cost_usd: float | None) -> None:
        """Take note of what a request cost. One that timed out may have been charged in full."""
        estimate = self._estimate(asked.ask)
        self._under_way_usd -= estimate
        unknown = estimate if asked.completion.outcome in (Outcome.ANSWERED, Outcome.TIMEOUT) else 0.0
        self.spent_usd += unknown if cost_usd is None else cost_usd

    def _estimate(self, ask: Ask) -> float:
        return (self.estimates[ask.target] or {}).get(ask.canary.id, 0.0)


@dataclass(slots=True)
class Outcomes:
    """What came of a bench so far. ``is_complete`` when all that was planned was asked."""

    found: list[Measured] = field(default_factory=list)
    is_complete: bool = False
    is_interrupted: bool = False
    resumed: int = 0
    purse: Purse | None = None


def estimate_usd(bench: Bench, asks: Mapping[str, tuple[Ask, ...]], now: datetime) -> tuple[float, Purse]:
    """What the requests will cost by the lengths of prompts and the limits of answers; and a purse that knows it.

    A target without a known price counts as free; the purse holds nothing for it.
    """
    estimates = {
        name: sample_costs(bench.asked_suite, target, {}, now) for name, target in bench.targets.items()
    }
    total = sum(
        (estimates[name] or {}).get(canary, 0.0) * count
        for name, ones in asks.items()
        for canary, count in asked_samples(ones).items()
    )
    return total, Purse(None, estimates)


def run_bench(
    bench: Bench, clock: Clock, *, cap_usd: float | None, out: Path | None, resume: bool
) -> Outcomes:
    """Ask what is not answered in ``out`` yet; what there is when somebody presses Ctrl-C.

    Raises MonitorError when the cap cannot be kept, or the file is another bench's.
    """
    console = Console(stderr=True, markup=False)
    outcomes, meter = Outcomes(), bench.meter()
    done = _resumed(bench, meter, out, outcomes) if out is not None and resume else set()
    if out is not None and not resume and out.exists() and out.stat().st_size:
        raise MonitorError(f"{out}: is there already; --resume goes on with it, another name begins anew")
    asks = {
        name: tuple(one for one in ones if one.key not in done or one.is_warm_up)
        for name, ones in plan(bench.suite, tuple(bench.targets), bench.load).items()
    }
    asks = {name: ones if any(not one.is_warm_up for one in ones) else () for name, ones in asks.items()}
    outcomes.purse = _purse(bench, asks, clock, cap_usd, console)
    outcomes.purse.spent_usd = sum(one.cost_usd or 0.0 for one in outcomes.found)
    try:
        uvloop.run(_ask(bench, meter, asks, clock, outcomes, out, console))
    except KeyboardInterrupt:
        outcomes.is_interrupted = True
    outcomes.is_complete = not outcomes.is_interrupted and not outcomes.purse.is_empty
    return outcomes


def _resumed(bench: Bench, meter: Meter, out: Path, outcomes: Outcomes) -> set[tuple[str, str, int]]:
    """The requests that the file holds, which ``outcomes`` then has; a line that was cut off is removed from it."""
    if not out.exists():
        return set()
    _drop_cut_line(out)
    done = set()
    for target, completion, queued_s in read_lines(out, bench.identity) if out.stat().st_size else ():
        done.add((target, completion.canary, completion.sample))
        outcomes.found.append(meter.measured(target, completion, queued_s))
    outcomes.resumed = len(done)
    return done


def _drop_cut_line(path: Path) -> None:
    """Shorten the file to its last line end: what comes after it was being written when something stopped it."""
    with path.open("rb+") as file:
        end = size = file.seek(0, 2)
        while end > 0:
            begin = max(0, end - _CUT_READ_BYTES)
            file.seek(begin)
            place = file.read(end - begin).rfind(b"\n")
            if place >= 0:
                file.truncate(begin + place + 1)
                return
            end = begin
        if size:
            file.truncate(0)


def _purse(
    bench: Bench,
    asks: Mapping[str, tuple[Ask, ...]],
    clock: Clock,
    cap_usd: float | None,
    console: Console,
) -> Purse:
    total, purse = estimate_usd(bench, asks, clock.now())
    unpriced = [name for name, one in purse.estimates.items() if one is None]
    if cap_usd is not None and unpriced:
        raise MonitorError(
            f"--max-spend-usd cannot be kept: the price of {', '.join(unpriced)} is not known; "
            "give the target a `price`"
        )
    requests = sum(map(len, asks.values()))
    warm_up = sum(one.is_warm_up for ones in asks.values() for one in ones)
    known = (
        "" if len(unpriced) == len(asks) else f", about ${total:.2g} if answers are as long as they may be"
    )
    free = f"; the price of {', '.join(unpriced)} is not known" if unpriced else ""
    console.print(f"{requests:,} requests, {warm_up:,} of them to warm up and not counted{known}{free}")
    if cap_usd is not None and total > cap_usd:
        console.print(f"that may be more than --max-spend-usd {cap_usd:g}: it stops where it would be")
    purse.cap_usd = cap_usd
    return purse


async def _ask(
    bench: Bench,
    meter: Meter,
    asks: Mapping[str, tuple[Ask, ...]],
    clock: Clock,
    outcomes: Outcomes,
    out: Path | None,
    console: Console,
) -> None:
    purse, name_of = outcomes.purse, bench.identity
    assert purse is not None  # noqa: S101 - for the type checker
    file = None if out is None else out.open("ab")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bars = {name: progress.add_task(name, total=len(ones), failed="") for name, ones in asks.items()}
            failed = dict.fromkeys(asks, 0)

            def on_asked(asked: Asked) -> None:
                target = asked.ask.target
                one = meter.measured(target, asked.completion, asked.queued_s)
                purse.paid(asked, one.cost_usd)
                failed[target] += not one.is_answered
                progress.update(
                    bars[target], advance=1, failed=f"{failed[target]} failed" if failed[target] else ""
                )
                if asked.ask.is_warm_up:
                    return
                outcomes.found.append(one)
                if file is not None:
                    file.write(orjson.dumps(line_of(asked, name_of)) + b"\n")
                    file.flush()

            encryption = httpx.create_ssl_context()  # once: to load all the authorities takes 20 ms
            await run_load(
                bench.suite,
                [Endpoint(name, target) for name, target in bench.targets.items()],
                asks,
                bench.load.concurrency,
                clock,
                lambda: httpx.AsyncClient(verify=encryption),
                on_asked,
                purse.may_ask,
            )
    finally:
        if file is not None:
            file.close()
