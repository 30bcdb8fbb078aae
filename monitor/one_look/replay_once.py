"""One run now, for a person at the terminal: replayed, checked and shown, not stored."""

import asyncio
import random
import uuid

import httpx
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from canaries.clock import SystemClock
from canaries.completion import Completion, Run
from canaries.config import TargetConfig
from canaries.replay import replay
from canaries.suite import Suite
from canaries.validators import Check, validate

TEXT_SHOWN = 60
"""How much of an answer the table shows."""


def replay_once(suite: Suite, target: TargetConfig, name: str) -> Run:
    """The run, with a progress bar on stderr."""

    async def work() -> Run:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task(f"asking {target.model}", total=None)

            def on_progress(completion: Completion, done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total)

            # A person waits: the start is not put off, nor the requests spread.
            at_once = target.model_copy(update={"jitter": 0.0, "spread": 0.0})
            async with httpx.AsyncClient() as client:
                run_id, rng = uuid.uuid4().hex, random.Random()  # noqa: S311 - an order of requests, not a secret
                return await replay(
                    suite, at_once, name, run_id, SystemClock(), rng, client, on_progress=on_progress
                )

    return asyncio.run(work())


def show_table(suite: Suite, run: Run, console: Console) -> None:
    """Print the run's completions on ``console``, a row each."""
    table = Table(
        "canary", "outcome", "latency", "first token", "tokens", "checks", "answer", title=f"{run.target}"
    )
    for completion, checks in _checked(suite, run):
        failed = [check.name for check in checks if not check.passed]
        table.add_row(
            completion.canary,
            completion.outcome.value,
            _seconds(completion.latency_s),
            _seconds(completion.ttft_s),
            "" if completion.output_tokens is None else str(completion.output_tokens),
            f"failed: {', '.join(failed)}" if failed else f"{len(checks)} passed" if checks else "",
            _short(completion.text if completion.is_answered else completion.error),
        )
    console.print(table)


def show_json(suite: Suite, run: Run) -> str:
    """The run as JSON: its completions, each with its checks."""
    completions = [
        {
            "canary": one.canary,
            "sample": one.sample,
            "outcome": one.outcome.value,
            "text": one.text,
            "error": one.error,
            "finish_reason": one.finish_reason,
            "served_model": one.served_model,
            "system_fingerprint": one.system_fingerprint,
            "latency_s": one.latency_s,
            "ttft_s": one.ttft_s,
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
            "cached_input_tokens": one.cached_input_tokens,
            "reasoning_tokens": one.reasoning_tokens,
            "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in one.tool_calls],
            "attempts": one.attempts,
            "checks": [{"name": check.name, "passed": check.passed, "note": check.note} for check in checks],
        }
        for one, checks in _checked(suite, run)
    ]
    fields = {"run": run.id, "target": run.target, "suite": run.suite, "at": run.at.isoformat()}
    return orjson.dumps(fields | {"completions": completions}).decode()


def _checked(suite: Suite, run: Run) -> list[tuple[Completion, tuple[Check, ...]]]:
    expectations = {canary.id: canary.expectations for canary in suite.canaries}
    return [
        (
            one,
            validate(expectations[one.canary], one.text, one.finish_reason, one.tool_calls)
            if one.text is not None
            else (),
        )
        for one in run.completions
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


def _short(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= TEXT_SHOWN else line[: TEXT_SHOWN - 1] + "…"
