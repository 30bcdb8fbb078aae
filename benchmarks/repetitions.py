"""Many repetitions of a simulation, on several processors, with the same result as on one."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")
R = TypeVar("R")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def repeat(simulate: Callable[[T], R], cases: Iterable[T], workers: int, told: str) -> list[R]:
    """What ``simulate`` gives for each case, in their order; progress goes to stderr.

    Each worker is a process of its own with one thread: more would only fight for the processors, and how sums are
    split among threads would show in their last digits.
    """
    listed = list(cases)
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawned) as pool:
        found = pool.map(simulate, listed)
        return list(track(found, told, total=len(listed), console=Console(stderr=True)))
