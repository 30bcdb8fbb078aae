"""A bench for a person at the terminal: asked, shown as it goes, appended to a file, within a spend cap."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from canaries.bench.lines import line_of, read_lines
from canaries.bench.load import Asked, Endpoint, run_load
from canaries.bench.measured import Measured, Meter
from canaries.bench.plan import Ask, Load, identity, long_canaries, plan, what_is_left
from canaries.bench.purse import Purse
from canaries.clock import Clock
from canaries.config import TargetConfig
from canaries.providers.wire import Wire
from canaries.suite import Suite

from .. import MonitorError
from ..spending.canary_cost import answer_cost_usd, sample_costs

LAG_EVERY_S = 0.02
"""How often it is looked whether this machine keeps up."""

_CUT_READ_BYTES = 1 << 20
"""How much of a file is read at a time in search of its last line end."""


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
class Outcomes:
    """What came of a bench so far. ``lags_s`` are how late this machine itself was, looked at now and then."""

    purse: Purse
    found: list[Measured] = field(default_factory=list)
    is_interrupted: bool = False
    resumed: int = 0
    lags_s: list[float] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether all that was planned was asked."""
        return not self.is_interrupted and not self.purse.is_empty

    @property
    def lag_p95_s(self) -> float:
        """How late this machine was in one case of twenty."""
        lags = sorted(self.lags_s)
        return lags[int(0.95 * len(lags))] if lags else 0.0


def run_bench(
    bench: Bench, clock: Clock, *, cap_usd: float | None, out: Path | None, resume: bool
) -> Outcomes:
    """Ask what is not answered in ``out`` yet; what there is when somebody presses Ctrl-C.

    Raises MonitorError when the cap cannot be kept, or the file cannot be written or is another bench's.
    """
    if out is not None and not resume and out.exists() and out.stat().st_size:
        raise MonitorError(f"{out}: is there already; --resume goes on with it, another name begins anew")
    now = clock.now()
    estimates = {name: sample_costs(bench.asked_suite, one, {}, now) for name, one in bench.targets.items()}
    outcomes, meter = Outcomes(Purse(cap_usd, estimates)), bench.meter()
    done = _resumed(bench, meter, out, outcomes) if out is not None and resume else set()
    outcomes.purse.spent_usd = sum(one.cost_usd or 0.0 for one in outcomes.found)
    asks = what_is_left(plan(bench.suite, tuple(bench.targets), bench.load), done)
    console = Console(stderr=True, markup=False)
    _tell_estimate(outcomes.purse, asks, console)
    try:
        # Not uvloop, which sends what several tasks write in one go at their end: requests would go out in step.
        asyncio.run(_ask(bench, meter, asks, clock, outcomes, out, console))
    except KeyboardInterrupt:
        outcomes.is_interrupted = True
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


def _tell_estimate(purse: Purse, asks: Mapping[str, Sequence[Ask]], console: Console) -> None:
    """Say what is about to be asked, and what it may cost. Raises MonitorError when the cap cannot be kept."""
    unpriced = [name for name, one in purse.estimates.items() if one is None]
    if purse.cap_usd is not None and unpriced:
        raise MonitorError(
            f"--max-spend-usd cannot be kept: the price of {', '.join(unpriced)} is not known; "
            "give the target a `price`"
        )
    requests = sum(map(len, asks.values()))
    warm_up = sum(one.is_warm_up for ones in asks.values() for one in ones)
    total = purse.total_usd(asks)
    known = "" if len(unpriced) == len(asks) else f", ${total:.2g} if answers are as long as they may be"
    free = f"; the price of {', '.join(unpriced)} is not known" if unpriced else ""
    console.print(f"{requests:,} requests, {warm_up:,} of them to warm up and not counted{known}{free}")
    if purse.cap_usd is not None and purse.spent_usd + total > purse.cap_usd:
        console.print(f"that may be more than --max-spend-usd {purse.cap_usd:g}: it stops where it would be")


async def _ask(
    bench: Bench,
    meter: Meter,
    asks: Mapping[str, Sequence[Ask]],
    clock: Clock,
    outcomes: Outcomes,
    out: Path | None,
    console: Console,
) -> None:
    purse, name_of = outcomes.purse, bench.identity
    file = None if out is None else _opened(out)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    watching = asyncio.create_task(_watch_lag(clock, outcomes.lags_s))
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

            async with Wire(httpx.create_ssl_context()) as client:
                await run_load(
                    bench.suite,
                    [Endpoint(name, target) for name, target in bench.targets.items()],
                    asks,
                    bench.load.concurrency,
                    clock,
                    client,
                    on_asked,
                    purse.may_ask,
                )
    except* OSError as group:
        raise MonitorError(f"{out}: cannot be written any more: {group.exceptions[0]}") from group
    finally:
        watching.cancel()
        if file is not None:
            file.close()


async def _watch_lag(clock: Clock, lags_s: list[float]) -> None:
    """Note how much later than asked for this task is woken: so much later answers are read, too."""
    while True:
        began = clock.monotonic()
        await asyncio.sleep(LAG_EVERY_S)
        lags_s.append(max(0.0, clock.monotonic() - began - LAG_EVERY_S))


def _opened(out: Path) -> BinaryIO:
    try:
        return out.open("ab")
    except OSError as error:
        raise MonitorError(f"{out}: cannot be written: {error.strerror}") from error
