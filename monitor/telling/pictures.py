"""Pictures in the threads of pages: drawn and sent after the page, and never in its way.

A page is sent and marked before its picture is so much as asked for. What is asked for is in memory only: a crash
loses the picture, and none is sent a second time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from alerts import DeliveryError
from alerts.channels import PictureChannel
from alerts.message import Message, Picture, Thread
from alerts.outbox import Delivery
from alerts.outbox_store import ALARMS
from canaries.clock import Clock
from dashboards.charts import vega_lite

from ..database import Database
from ..self_watch import SelfWatch
from .drawing import DrawingError, drawn
from .what_moved import WhatMoved

WAITING_MAX = 20
"""How many pictures wait at most; of a storm the others are left out, and a problem says so."""

RETRY_AFTER_MAX_S = 60.0
"""The longest pause that is waited for; a picture that would come later is left out."""

REFUSED_FOR = timedelta(days=1)
"""How long nothing is drawn for a receiver that refused a picture for good, such as for want of a scope."""

Artist = Callable[[Message], Awaitable[Picture | None]]
"""Draws what a message is about; nothing where there is nothing to draw. Raises DrawingError when it cannot."""


@dataclass(frozen=True, slots=True)
class _Wish:
    receiver: str
    message: Message
    thread: Thread


@dataclass
class Pictures:
    """Adds a picture to each thread that an alarm began, where its receiver takes pictures."""

    channels: Mapping[str, PictureChannel]
    artist: Artist
    clock: Clock
    self_watch: SelfWatch
    _wishes: asyncio.Queue[_Wish] = field(default_factory=lambda: asyncio.Queue(WAITING_MAX))
    _refused: dict[str, datetime] = field(default_factory=dict)

    def offer(self, delivery: Delivery) -> None:
        """Take note of a delivery that is on record; who delivers does not wait for its picture."""
        row = delivery.notification
        if delivery.opened is None or row.message.kind not in ALARMS or not self._takes(row.receiver):
            return
        try:
            self._wishes.put_nowait(_Wish(row.receiver, row.message, delivery.opened))
        except asyncio.QueueFull:
            self.self_watch.problem(f"Pictures were left out: {WAITING_MAX} others waited to be drawn.")

    async def serve(self) -> None:
        """Draw and send what is wished for, one at a time, while the daemon lives."""
        while True:
            await self.serve_next()

    async def serve_next(self) -> None:
        """Draw and send the next picture, as soon as one is wished for; what goes wrong is told as a problem."""
        wish = await self._wishes.get()
        try:
            await self._add(wish)
        except (DeliveryError, DrawingError, SQLAlchemyError) as error:
            said = "the database refuses" if isinstance(error, SQLAlchemyError) else str(error)
            self.self_watch.problem(f"A picture for {wish.receiver} was left out: {said}.")
        except Exception:
            self.self_watch.defect("the pictures")

    def _takes(self, receiver: str) -> bool:
        refused_at = self._refused.get(receiver)
        return receiver in self.channels and (
            refused_at is None or self.clock.now() - refused_at >= REFUSED_FOR
        )

    async def _add(self, wish: _Wish) -> None:
        # Asked again: it may have been refused while this one waited.
        picture = await self.artist(wish.message) if self._takes(wish.receiver) else None
        if picture is None:
            return
        channel = self.channels[wish.receiver]
        try:
            await _send(channel, picture, wish.thread)
        except DeliveryError as error:
            if error.permanent:
                self._refused[wish.receiver] = self.clock.now()
            raise


async def _send(channel: PictureChannel, picture: Picture, thread: Thread) -> None:
    """Send the picture; once more only where the receiver said that it took nothing, and asked for a pause."""
    try:
        await channel.add(picture, thread)
    except DeliveryError as error:
        wait_s = error.retry_after_s
        if error.permanent or wait_s is None or wait_s > RETRY_AFTER_MAX_S:
            raise
        await asyncio.sleep(wait_s)
        await channel.add(picture, thread)


def artist_of(database: Database, what_moved: WhatMoved) -> Artist:
    """Draws what moved, as the database knows it, beside the event loop."""

    async def draw(message: Message) -> Picture | None:
        chart = await database.aread(lambda session: what_moved.chart(session, message))
        if chart is None:
            return None
        return Picture(await drawn(vega_lite(chart)), chart.title)

    return draw
