"""The price list, read by another process, for one that goes on for months.

genai-prices is 1.6 MB of Python, and 7 to 10 MB of objects. To read it takes 65 MB more at once where its bytecode does
not lie beside it, as in images that are built without. Of all its models most deployments ever ask for a few, so here
they stay packed.
"""

import pickle
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...left_out import without_fetching

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

READ_MAX_S = 60.0
"""How long the other process may take; then the list is read here."""

_READING = """
import dataclasses, pickle, sys, zlib
from genai_prices.data import providers
packed = [
    (dataclasses.replace(one, models=[]), [zlib.compress(pickle.dumps(model)) for model in one.models])
    for one in providers
]
sys.stdout.buffer.write(pickle.dumps(packed))
"""


class PackedModels(Sequence["ModelInfo"]):
    """Models that are unpacked when somebody asks for them, and are the same ones for as long as somebody has them."""

    def __init__(self, packed: Sequence[bytes]) -> None:
        """Hold pickles of models, each compressed."""
        self._packed = packed
        self._unpacked: WeakValueDictionary[int, ModelInfo] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> "Iterator[ModelInfo]":
        return map(_unpacked, self._packed)

    def __getitem__(self, number: Any) -> Any:
        model = self._unpacked.get(number)
        if model is None:
            model = self._unpacked[number] = _unpacked(self._packed[number])
        return model


def _unpacked(packed: bytes) -> "ModelInfo":
    model: ModelInfo = pickle.loads(zlib.decompress(packed))  # noqa: S301 - our own
    return model


def providers_read_apart(python: str = sys.executable) -> "list[Provider] | None":
    """The price list, as another process has read it, with models packed; ``None`` when it could not."""
    # Safely (-P): by itself "-c" imports what lies in the folder in which a daemon happens to be started.
    command = [python, "-P", "-c", _READING]
    try:
        read = subprocess.run(command, capture_output=True, check=True, timeout=READ_MAX_S)  # noqa: S603 - our own
        with without_fetching():  # to unpickle is to import the library
            told: list[tuple[Provider, list[bytes]]] = pickle.loads(read.stdout)  # noqa: S301 - the same
    except Exception:
        # It could not run; or it said more than the list, as some start every Python with words of theirs, and what is
        # no pickle fails in any way there is. Nothing is lost: the list is read here.
        return None
    for provider, packed in told:
        provider.models = PackedModels(packed)  # type: ignore[assignment]  # which nobody changes
    return [provider for provider, _ in told]
