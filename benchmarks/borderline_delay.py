"""How soon borderline canaries page a slight change, beside questions that nobody chose: ``python -m
benchmarks.borderline_delay [--base BASE.json --changed CHANGED.json]``.

A model is a distribution of the first token for each of some hundred questions, before and after a change: of a real
small model (``benchmarks.first_tokens``), or drawn at random and moved a little. The search of ``anchorwatch canaries
borderline`` looks for ties over HTTP; what it finds is asked in hourly runs, and the runs go through the whole canary
arm: baseline, scores, ledger. Each evaluation of the model has some noise, as on a busy server.
"""

import asyncio
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from alerts.evidence import Budgets
from canaries.borderline.prompts import candidates
from canaries.borderline.search import Found, Search, search
from canaries.clock import SystemClock
from canaries.completion import Completion, Run
from canaries.completions_file import FIRST_AT
from canaries.config import TargetConfig
from canaries.suite import Suite
from monitor.backtest import backtest

EVALUATION_SD = 0.01
"""By how much, in nats, each evaluation of a token differs from the next on a busy server."""

TOKENS = 40
TOP = 20


@dataclass(frozen=True, slots=True)
class Model:
    """The log-probabilities of the first tokens at temperature 1, by prompt."""

    first: Mapping[str, tuple[tuple[str, ...], NDArray[np.float64]]]

    def answer(
        self, prompt: str, temperature: float, rng: np.random.Generator
    ) -> tuple[str, list[tuple[str, float]]]:
        """A token drawn at this temperature, and the likeliest ones with their log-probabilities at 1."""
        tokens, logprobs = self.first[prompt]
        noisy = logprobs + rng.normal(0, EVALUATION_SD, len(logprobs))
        weights = np.exp((noisy - noisy.max()) / temperature)
        drawn = tokens[rng.choice(len(tokens), p=weights / weights.sum())]
        order = np.argsort(-noisy)[:TOP]
        return drawn, [(tokens[i], float(noisy[i])) for i in order]


def read_model(path: Path) -> Model:
    """The model that ``benchmarks.first_tokens`` wrote."""
    rows = json.loads(path.read_text())
    return Model(
        {
            prompt: (tuple(token for token, _ in top), np.array([value for _, value in top]))
            for prompt, top in rows.items()
        }
    )


def drawn_models(prompts: Sequence[str], moved: float, seed: int) -> tuple[Model, Model]:
    """A model, and the same with each token's logit moved by chance; ``moved`` is the standard deviation in nats."""
    rng = np.random.default_rng(seed)
    logits = {prompt: 2.5 * rng.normal(size=TOKENS) for prompt in prompts}
    tokens = tuple(f"token{i}" for i in range(TOKENS))
    changed = {prompt: values + moved * rng.normal(size=TOKENS) for prompt, values in logits.items()}
    return (
        Model({prompt: (tokens, _normal(values)) for prompt, values in logits.items()}),
        Model({prompt: (tokens, _normal(values)) for prompt, values in changed.items()}),
    )


def _normal(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(logits - logits.max() - math.log(np.exp(logits - logits.max()).sum()))


@dataclass(frozen=True, slots=True)
class Way:
    """A way to choose questions and to ask them."""

    name: str
    temperature: float
    is_chosen: bool = True
    logprobs: bool = False


WAYS = (
    Way("any questions, T 1", 1.0, is_chosen=False),
    Way("any questions, T 0.1", 0.1, is_chosen=False),
    Way("ties at T 1", 1.0),
    Way("ties at T 0.1", 0.1),
    Way("ties at T 0.1, log-probabilities", 0.1, logprobs=True),
)


def find(model: Model, prompts: Sequence[str], way: Way, keep: int, seed: int) -> Found:
    """What the search finds at an endpoint that is this model."""
    rng = np.random.default_rng(seed)

    def reply(message: httpx.Request) -> httpx.Response:
        asked = json.loads(message.content)
        token, top = model.answer(asked["messages"][-1]["content"], asked["temperature"], rng)
        choice: dict[str, Any] = {"message": {"content": token}, "finish_reason": "length"}
        if asked.get("logprobs"):
            tops = [{"token": one, "logprob": value} for one, value in top]
            choice["logprobs"] = {
                "content": [{"token": token, "logprob": dict(top)[token], "top_logprobs": tops}]
            }
        return httpx.Response(200, json={"choices": [choice]})

    async def work() -> Found:
        target = TargetConfig(base_url="http://model.test", model="m", suite="s.yaml", stream=False)
        wanted = Search(keep=keep, temperature=way.temperature, with_logprobs=way.logprobs)
        async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
            chance = random.Random(seed)  # noqa: S311 - an order of requests, not a secret
            return await search(prompts, wanted, target, Suite("border", ()), SystemClock(), chance, client)

    return asyncio.run(work())


def stream(
    before: Model, after: Model, prompts: Sequence[str], way: Way, calm: int, changed: int, seed: int
) -> list[Run]:
    """Hourly runs of three answers to each prompt, ``calm`` of them from the model as it was."""
    rng = np.random.default_rng(seed)
    return [
        Run(
            f"run-{i}",
            "recorded",
            "border",
            FIRST_AT + timedelta(hours=i),
            tuple(
                _completion(before if i < calm else after, prompt, sample, way, rng)
                for prompt in prompts
                for sample in range(3)
            ),
        )
        for i in range(calm + changed)
    ]


def _completion(model: Model, prompt: str, sample: int, way: Way, rng: np.random.Generator) -> Completion:
    token, top = model.answer(prompt, way.temperature, rng)
    told = {"first_top": tuple(top), "logprobs": (dict(top).get(token, -9.0),)} if way.logprobs else {}
    return Completion(prompt, sample, text=token, finish_reason="length", **told)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way did: runs from the change to the page (infinite: none), pages before it, and what looking cost."""

    delay: float
    false_pages: int
    kept: int
    requests: int


def tried(before: Model, after: Model, way: Way, keep: int, runs: tuple[int, int, int], seed: int) -> Outcome:
    """One search, one stream, one backtest."""
    baseline, calm, changed = runs
    prompts = list(before.first)
    found = find(before, prompts, way, keep, seed) if way.is_chosen else Found()
    rng = random.Random(seed)  # noqa: S311 - a choice of prompts, not a secret
    chosen = [tie.prompt for tie in found.ties] if way.is_chosen else rng.sample(prompts, keep)
    if not chosen:
        return Outcome(math.inf, 0, 0, found.requests)
    same = baseline + calm
    result = backtest(stream(before, after, chosen, way, same, changed, seed), baseline, Budgets(0.25))
    pages = [int(page.run.removeprefix("run-")) - same + 1 for page in result.pages]
    delay = next((float(run) for run in pages if run > 0), math.inf)
    return Outcome(delay, sum(run <= 0 for run in pages), len(chosen), found.requests)


def main(
    base: Annotated[Path | None, typer.Option(help="First tokens of the model as it was.")] = None,
    changed: Annotated[Path | None, typer.Option(help="First tokens of the changed model.")] = None,
    moved: Annotated[
        float, typer.Option(help="Without files: the standard deviation of a logit's move, in nats.")
    ] = 0.1,
    keep: Annotated[int, typer.Option(help="Canaries.")] = 10,
    repetitions: Annotated[int, typer.Option(min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Of the first stream; the next one has the next.")] = 0,
    baseline_runs: Annotated[int, typer.Option(min=12)] = 168,
    calm_runs: Annotated[int, typer.Option(min=0)] = 40,
    changed_runs: Annotated[int, typer.Option(min=1)] = 60,
    write_prompts: Annotated[
        Path | None, typer.Option(help="Write the candidates into this file for first_tokens, and end.")
    ] = None,
    count: Annotated[int, typer.Option(help="Candidates.")] = 400,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the delay of each way."""
    if write_prompts is not None:
        write_prompts.write_text(json.dumps(candidates(count)))
        raise typer.Exit
    if (base is None) is not (changed is None):
        raise typer.BadParameter("--base and --changed go together")
    outcomes: dict[str, list[Outcome]] = {way.name: [] for way in WAYS}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("streams", total=repetitions * len(WAYS))
        for number in range(seed, seed + repetitions):
            models = (
                drawn_models(candidates(count), moved, number)
                if base is None or changed is None
                else (read_model(base), read_model(changed))
            )
            for way in WAYS:
                runs = (baseline_runs, calm_runs, changed_runs)
                outcomes[way.name].append(tried(*models, way, keep, runs, number))
                progress.advance(task)
    rows = {name: _summary(ones) for name, ones in outcomes.items()}
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("canaries", *next(iter(rows.values())))
    for name, row in rows.items():
        table.add_row(name, *("not found" if value is None else f"{value:g}" for value in row.values()))
    Console().print(table)


def _summary(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    delay = median(one.delay for one in outcomes)
    return {
        "streams": len(outcomes),
        "found": sum(math.isfinite(one.delay) for one in outcomes),
        "median runs to the page": delay if math.isfinite(delay) else None,
        "false pages": sum(one.false_pages for one in outcomes),
        "canaries": median(one.kept for one in outcomes),
        "requests of the search": median(one.requests for one in outcomes),
    }


if __name__ == "__main__":
    typer.run(main)
