"""What a suite takes from elsewhere: pictures and long texts, read once when the suite is loaded."""

import binascii
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from .document import Places, Problem
from .problems import Path
from .prompt import Image

MAX_IMAGE_BYTES = 5_000_000
"""The largest picture: no API takes much larger ones."""

MAX_TEXT_BYTES = 8_000_000
"""The longest text of one part, about two million tokens: no model reads more."""

MAX_SUITE_BYTES = 100_000_000
"""How much of files a suite may hold in all: it stays in memory."""

_BEGINNINGS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


class Attachments:
    """The files that a suite's parts name. Every problem with one is told at the part that names it."""

    def __init__(self, folder: FilePath) -> None:
        """``folder`` is where the suite's file lies: names are relative to it."""
        self._folder = folder
        self._texts: dict[str, str] = {}
        self._images: dict[str, Image] = {}
        self._bytes = 0

    def problems(self, tree: Any, places: Places) -> Iterator[Problem]:
        """What is wrong with the files; reads all of them. ``tree`` may be in any state."""
        for path, part in _parts_of(tree):
            for key, known in (("file", self._texts), ("image", self._images)):
                name = part.get(key)
                if isinstance(name, str) and name and name not in known:
                    fault = self._read(key, name)
                    if fault is not None:
                        yield places.problem((*path, key), fault)
            if isinstance(written := part.get("image_base64"), str) and isinstance(
                found := decoded(written), str
            ):
                yield places.problem((*path, "image_base64"), found)

    def text(self, name: str) -> str:
        """The text of a file that was read."""
        return self._texts[name]

    def image(self, name: str) -> Image:
        """The picture in a file that was read."""
        return self._images[name]

    def _read(self, key: str, name: str) -> str | None:
        """Read one file; what is wrong with it, if anything."""
        path, most = self._folder / name, MAX_IMAGE_BYTES if key == "image" else MAX_TEXT_BYTES
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except (OSError, ValueError) as error:
            return f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        if len(data) > most:
            return f"{path} is larger than {most:,} bytes"
        self._bytes += len(data)
        if self._bytes > MAX_SUITE_BYTES:
            return f"the files of a suite must not be larger than {MAX_SUITE_BYTES:,} bytes in all"
        return self._keep_image(path, name, data) if key == "image" else self._keep_text(path, name, data)

    def _keep_image(self, path: FilePath, name: str, data: bytes) -> str | None:
        image = image_of(data)
        if image is None:
            return f"{path} is no PNG, JPEG, WebP or GIF"
        self._images[name] = image
        return None

    def _keep_text(self, path: FilePath, name: str, data: bytes) -> str | None:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return f"{path} is not UTF-8 text"
        if not text:
            return f"{path} is empty"
        self._texts[name] = text
        return None


def image_of(data: bytes) -> Image | None:
    """The picture that the bytes are, by how they begin and not by any name; ``None`` when they are none."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Image("image/webp", data)
    return next((Image(kind, data) for beginning, kind in _BEGINNINGS if data.startswith(beginning)), None)


def decoded(written: str) -> Image | str:
    """The picture that stands in base64, with or without ``data:...;base64,`` before it; else what is wrong."""
    plain = written.partition(";base64,")[2] if written.startswith("data:") else written
    try:
        data = b64decode("".join(plain.split()), validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    if len(data) > MAX_IMAGE_BYTES:
        return f"is larger than {MAX_IMAGE_BYTES:,} bytes"
    return image_of(data) or "is no PNG, JPEG, WebP or GIF"


def _parts_of(tree: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The parts of all prompts and messages, each with its place."""
    for index, canary in enumerate(_listed(tree, "canaries")):
        for place, part in enumerate(_listed(canary, "prompt")):
            if isinstance(part, dict):
                yield ("canaries", index, "prompt", place), part
        for number, message in enumerate(_listed(canary, "messages")):
            for place, part in enumerate(_listed(message, "content")):
                if isinstance(part, dict):
                    yield ("canaries", index, "messages", number, "content", place), part


def _listed(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
