"""The demo: a model drifts without a word, and all that Anchorwatch is for happens on this machine."""

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.config import DATABASE_FILE
from monitor.demo.daemon_process import DaemonProcess
from monitor.demo.fake_deploy import Delivery
from monitor.demo.fake_slack import SlackMessage
from monitor.demo.practice_model import Mode
from monitor.demo.shop import Shop
from monitor.demo.slack_view import show_thread
from monitor.demo.world import CHANNEL, World, small_world, write_deployment

LOOK_EVERY_S = 0.25
TARGET = "practice"
WATCH = "checkout-p95"
READY_WITHIN_S = 60.0
TRAFFIC_WITHIN_S = 30.0
FREEZE_WITHIN_S = 180.0
CALM_FOR_S = 5.0
PAGE_WITHIN_S = 90.0
ROLLBACK_WITHIN_S = 30.0
WATCH_WITHIN_S = 60.0
RECOVERY_WITHIN_S = 120.0

Seen = TypeVar("Seen")


class StepFailedError(Exception):
    """A step of the story did not happen in its time; the text says what was missing."""


def tell(*, once: bool, data: Path | None = None, port: int = 8700) -> int:
    """Tell the story; gives the exit code: 0 when all of it happened.

    With ``once`` it ends there. Otherwise the page at ``port`` stays open until Ctrl-C.
    """
    console = Console()
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anchorwatch-demo-")))
        if (folder / DATABASE_FILE).exists():
            console.print(f"{folder} holds a database already; the demo wants an empty folder", style="red")
            return 2
        stack.enter_context(_stopped_like_ctrl_c())
        try:
            world = stack.enter_context(small_world())
            config = write_deployment(folder)
            daemon = stack.enter_context(DaemonProcess(config, folder, world.environment, port))
            return _tell_with(Story(console, world, daemon), stay=not once)
        except KeyboardInterrupt:
            console.print("\nstopping", style="dim")
            return 130 if once else 0


def _tell_with(story: "Story", stay: bool) -> int:
    try:
        story.wait_until_ready()
        with Shop(story.world.model_url, story.daemon.otlp_url):
            story.tell()
            if stay:
                story.sum_up()
                story.stay_open()
        story.stop()
    except StepFailedError as failure:
        story.explain(failure)
        return 1
    if not stay:
        story.sum_up()
    return 0


class Story:
    """The steps in their order, each within its time."""

    def __init__(self, console: Console, world: World, daemon: DaemonProcess) -> None:
        self.world = world
        self.daemon = daemon
        self._console = console
        self._done: list[tuple[str, float]] = []
        self._started = time.monotonic()

    def tell(self) -> None:
        """From the first span to the recovery."""
        self.receive_traffic()
        self.freeze_baseline()
        self.stay_calm()
        self._say(
            "Now the provider changes the model. Same name, same fingerprint, every answer still passes its "
            "checks; it only talks differently, and takes longer."
        )
        self.world.model.mode = Mode.DRIFTED
        incident = self.page()
        self.roll_back()
        self.notice_slow_traffic()
        self.recover(incident)

    def wait_until_ready(self) -> None:
        """The daemon is there."""
        self._say(f"A model, a Slack and a deploy system run here. Starting Anchorwatch: {self.daemon.url}")
        self._wait("the daemon is ready", READY_WITHIN_S, "an answer of /readyz", self.daemon.is_ready)

    def receive_traffic(self) -> None:
        """The shop's spans arrive."""

        def calls() -> int:
            return int(self._status()["ingest"]["calls"])

        seen = self._wait("production traffic arrives over OTLP", TRAFFIC_WITHIN_S, "a first call", calls)
        self._say(f"The shop's OpenTelemetry SDK exports to {self.daemon.otlp_url}: {seen} calls so far.")

    def freeze_baseline(self) -> None:
        """The baseline collects, and freezes by itself."""
        self._say("Canary prompts are replayed every second. The first runs become the baseline.")
        with _run_progress(self._console) as progress:
            bar = progress.add_task("baseline runs", total=None)

            def is_frozen() -> bool:
                target = self._target()
                total, runs = target["runs_needed"] or None, target["runs_collected"]
                progress.update(bar, total=total, completed=runs)
                return bool(target["state"] == "watching")

            self._wait("the baseline froze", FREEZE_WITHIN_S, "a frozen baseline", is_frozen)

    def stay_calm(self) -> None:
        """While nothing changes nobody is paged."""
        until = time.monotonic() + CALM_FOR_S

        def is_over() -> bool:
            # A quiet ticket is allowed now and then: its budget is 168 times that of a page.
            if any("PAGE" in message.text for message in self.world.slack.messages()):
                raise StepFailedError("somebody was paged before anything had changed")
            return time.monotonic() >= until

        self._wait("no page while nothing changes", CALM_FOR_S + 5, "the end of the calm", is_over)

    def page(self) -> Mapping[str, Any]:
        """The drift pages, in Slack."""
        incident = self._wait(
            "the drift paged in Slack", PAGE_WITHIN_S, "a page about the target", lambda: self._paged(TARGET)
        )
        self._console.print(show_thread(self._thread_of(incident)))
        return incident

    def roll_back(self) -> None:
        """The deploy system got an order to roll back, and believes it."""

        def verified() -> Delivery | None:
            return next((delivery for delivery in self.world.deploy.deliveries if delivery.is_verified), None)

        delivery = self._wait(
            "the rollback arrived, its signature verified",
            ROLLBACK_WITHIN_S,
            "a webhook that verifies",
            verified,
        )
        self._say(f"The deploy system verified webhook {delivery.id} and rolled back to the old model.")

    def notice_slow_traffic(self) -> None:
        """The watch over production saw that the calls became slow."""

        incident = self._wait(
            "the watch over production traffic paged",
            WATCH_WITHIN_S,
            "a page about slow calls",
            lambda: self._paged(WATCH),
        )
        self._console.print(show_thread(self._thread_of(incident)))

    def recover(self, incident: Mapping[str, Any]) -> None:
        """The canaries are their old selves, and the page says so."""

        def resolved() -> bool:
            states = {one["id"]: one["state"] for one in self._incidents(subject=TARGET)}
            replies = self._thread_of(incident)[1:]
            return states.get(incident["id"]) == "resolved" and any("RESOLVED" in one.text for one in replies)

        self._wait("the page resolved after the rollback", RECOVERY_WITHIN_S, "a resolved incident", resolved)
        self._console.print(show_thread(self._thread_of(incident)))

    def stay_open(self) -> None:
        """Keep everything running until Ctrl-C."""
        self._say(f"[bold]The page is open: {self.daemon.url}[/bold]   (Ctrl-C ends it)")
        self._say(
            "Move the model yourself (steady, drifted, down, swapped): "
            f"""curl {self.world.model_url}/practice/shift -d '{{"mode": "swapped"}}'"""
        )
        try:
            while not self.daemon.has_ended:
                time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            return
        raise StepFailedError("the daemon ended by itself")

    def stop(self) -> None:
        """The daemon stops in order."""
        began = time.monotonic()
        code = self.daemon.stop()
        if code != 0:
            raise StepFailedError(f"the daemon should have stopped in order, but its exit code is {code}")
        self._tick("the daemon stopped in order", began)

    def explain(self, failure: StepFailedError) -> None:
        """What was missing, and what the daemon logged last."""
        self._console.print(f"✗ {failure}", style="bold red", soft_wrap=True)
        self._console.print(f"The end of {self.daemon.log}:", style="red")
        self._console.print(self.daemon.log_tail(), markup=False, highlight=False, soft_wrap=True)

    def sum_up(self) -> None:
        """All that happened."""
        took_s = time.monotonic() - self._started
        self._console.rule(f"all of it happened, in {took_s:.0f} s")
        for name, step_s in self._done:
            self._console.print(f"[green]✓[/green] {name} [dim]{step_s:.1f} s[/dim]")

    def _wait(self, name: str, within_s: float, missing: str, look: Callable[[], Seen | None]) -> Seen:
        """What ``look`` sees once it sees something; StepFailedError when it does not in time."""
        began = time.monotonic()
        while not (seen := look()):
            if self.daemon.has_ended:
                raise StepFailedError(f"{name}: the daemon ended before that")
            if time.monotonic() - began > within_s:
                raise StepFailedError(f"{name}: no sign of {missing} within {within_s:.0f} s")
            time.sleep(LOOK_EVERY_S)
        self._tick(name, began)
        return seen

    def _tick(self, name: str, began: float) -> None:
        self._done.append((name, time.monotonic() - began))
        self._console.print(f"[green]✓[/green] {name}")

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]·[/dim] {text}", highlight=False, soft_wrap=True)

    def _status(self) -> Mapping[str, Any]:
        return self.daemon.status() or _NO_STATUS

    def _target(self) -> Mapping[str, Any]:
        found = (target for target in self._status()["targets"] if target["name"] == TARGET)
        return next(found, {"state": "unknown", "runs_needed": 0, "runs_collected": 0})

    def _incidents(self, subject: str) -> Iterator[Mapping[str, Any]]:
        return (incident for incident in self._status()["incidents"] if incident["subject"] == subject)

    def _paged(self, subject: str) -> Mapping[str, Any] | None:
        """The incident about a target or a watch that Slack shows as a page, be it after a ticket."""
        for incident in self._incidents(subject):
            if any("PAGE" in message.text for message in self._thread_of(incident)):
                return incident
        return None

    def _thread_of(self, incident: Mapping[str, Any]) -> tuple[SlackMessage, ...]:
        """The message that names the incident, and the replies to it."""
        posted = (message for message in self.world.slack.messages(CHANNEL) if message.thread_ts is None)
        first = next((message for message in posted if incident["id"] in str(message.to_json())), None)
        return self.world.slack.thread(first.ts) if first else ()


_NO_STATUS: Mapping[str, Any] = {"ingest": {"calls": 0}, "targets": [], "incidents": []}


def _run_progress(console: Console) -> Progress:
    columns = TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True)


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends the story as Ctrl-C does, with everything that it started."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
