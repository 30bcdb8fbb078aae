"""A real Chromium for tests, driven by its own DevTools protocol."""

import asyncio
import base64
import contextlib
import itertools
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import which
from typing import Any

import aiohttp
from real_parts import require

FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, and open pages of ours alone
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
)

ANSWER_S = 60.0
"""How long one answer may take: the machine may be busy."""

LISTENS = re.compile(rb"DevTools listening on (ws://\S+)")


class Chromium:
    """One tab of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        self._seen: list[dict[str, Any]] = []

    async def open_tab(self, width: int, height: int, dark: bool, scripts: bool) -> None:
        target = await self.ask("Target.createTarget", url="about:blank")
        attached = await self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        await self.ask("Page.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])
        await self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params, **self._session})
        answer = await self._next(lambda one: one.get("id") == number)
        assert "error" not in answer, f"{method}: {answer}"
        result: dict[str, Any] = answer["result"]
        return result

    async def _next(self, fits: Any) -> dict[str, Any]:
        for place, one in enumerate(self._seen):
            if fits(one):
                return self._seen.pop(place)
        while True:
            one = await self._socket.receive_json(timeout=ANSWER_S)
            if fits(one):
                found: dict[str, Any] = one
                return found
            self._seen.append(one)

    async def _loaded(self) -> None:
        await self._next(lambda one: one.get("method") == "Page.loadEventFired")

    async def goto(self, url: str) -> None:
        """Open a page, and wait until it is there."""
        await self.ask("Page.navigate", url=url)
        await self._loaded()

    async def value(self, expression: str) -> Any:
        """The value of an expression on the page."""
        answer = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def text(self) -> str:
        """What a person reads."""
        return " ".join(str(await self.value("document.body.innerText")).split())

    async def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        await self.value(f"document.querySelector({selector!r}).focus()")
        await self.value(f"document.querySelector({selector!r}).select()")
        await self.ask("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press a key."""
        codes = {"Tab": 9, "Enter": 13}
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], **more
            )

    async def follow(self, name: str) -> None:
        """Click on what is called so, a button or a link, and wait for the page that it leads to."""
        found = f"[...document.querySelectorAll('a, button')].find(one => one.innerText.trim() === {name!r})"
        place = await self.value(
            f"(() => {{ const one = {found}; one.scrollIntoView({{block: 'center'}}); "
            "const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )
        await self._loaded()

    async def submit_by_keyboard(self) -> None:
        """Press Enter where the focus is, and wait for the page that it leads to."""
        await self.press("Enter")
        await self._loaded()

    async def picture(self) -> bytes:
        """How the whole page looks, as PNG."""
        shot = await self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])


@contextlib.asynccontextmanager
async def chromium(
    profile: Path, *, width: int = 1200, height: int = 800, dark: bool = False, scripts: bool = True
) -> AsyncIterator[Chromium]:
    """A tab of a browser of one's own. ``scripts``: whether pages may run any."""
    program = which("chromium") or which("chromium-browser") or which("google-chrome")
    require("Chromium", program is not None, "scripts/install-real-parts.sh (on Debian or Ubuntu, as root)")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, *FLAGS, f"--user-data-dir={profile}", "about:blank", stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(ANSWER_S):
            address = await _address(process)
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            tab = Chromium(socket)
            await tab.open_tab(width, height, dark, scripts)
            yield tab
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if found := LISTENS.search(line):
            return found[1].decode()
    raise AssertionError("Chromium did not start")
