"""
A subscription over REST: the server-sent events of ``/subscribe/<channel>`` and ``/psubscribe/<pattern>``.

Each name has a stream of its own: that is what Upstash documents, what its own clients do, and all that other people's
servers know.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Iterable, Sequence
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import quote

from django_upstash.exceptions import DataError, ResponseError, TimeoutError
from django_upstash.log import get_logger
from django_upstash.operations import command
from django_upstash.operations.keys import root
from django_upstash.pubsub.items import SIGN_OF_LIFE, Message

if TYPE_CHECKING:
    from django_upstash.connections import Connection
    from django_upstash.wire.rest import RestRoute
    from django_upstash.wire.rest_events import EventStream

T = TypeVar("T")
logger = get_logger("django_upstash.pubsub")


class EventsStream:
    """
    Several responses that are subscribed, to one name each, read as one stream: it breaks where one of them does.

    Nothing can be asked on a response, so a sign of life is a message that it publishes itself, on a channel of its
    own. That shows that the server is there and serves streams; a single connection that has gone is TCP's to notice.
    """

    def __init__(self, connection: Connection, streams: Sequence[EventStream], own_channel: str | None) -> None:
        self._connection = connection
        self._streams = streams
        self._own_channel = own_channel
        self._received: list[Message] = []
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._readers = [asyncio.create_task(self._read(stream)) for stream in streams]

    async def receive(self, seconds: float | None) -> list[Message] | None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except builtins.TimeoutError:
            return None
        received, self._received = self._received, []
        if not received and self._error is not None:
            raise self._error
        if self._error is None:
            self._news.clear()
        return received

    async def ask(self) -> bool:
        if self._own_channel is None:
            return False
        try:
            await self._connection.arun(command("PUBLISH", self._own_channel, "1"))
        except ResponseError as error:  # such as a token that may only read
            logger.warning("A subscription cannot ask for signs of life (%s).", type(error).__name__)
            return False
        return True

    def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        for stream in self._streams:
            stream.close()

    async def _read(self, stream: EventStream) -> None:
        try:
            while True:
                self._put(await stream.receive(None) or [])
        except Exception as error:
            self._error = self._error or error
            self._news.set()

    def _put(self, events: Iterable[bytes]) -> None:
        found = [message for event in events if (message := _message(event.decode("utf-8", "replace"))) is not None]
        # A sign of life without a message counts as news, too.
        self._received += found
        self._news.set()


async def open_stream(
    connection: Connection, channels: Sequence[str], patterns: Sequence[str], *, asks: bool
) -> EventsStream:
    """
    Open the streams of these channels and patterns, and one for signs of life where it ``asks``.

    Raises this package's errors.
    """
    own_channel = root(SIGN_OF_LIFE + token_hex(8)) if asks else None
    opening = [_open(connection, "subscribe", channel) for channel in channels]
    opening += [_open(connection, "psubscribe", pattern) for pattern in patterns]
    if own_channel is not None:
        opening.append(_open(connection, "subscribe", own_channel))
    opened = await _all_or_none(opening)
    stream = EventsStream(connection, [events for events, _ in opened], own_channel)
    for _, early in opened:
        if early:
            stream._put(early)
    return stream


async def stream_works(connection: Connection, channel: str) -> bool:
    """Publish on a channel and tell whether the message comes by an event stream: two requests, two commands."""
    stream = await open_stream(connection, [channel], (), asks=False)
    try:
        await connection.arun(command("PUBLISH", channel, "déjà vu ✓"))
        while (found := await stream.receive(connection.settings.timeout)) == []:
            pass  # a sign of life
        return bool(found)
    finally:
        stream.close()


async def _open(connection: Connection, verb: str, name: str) -> tuple[EventStream, list[bytes]]:
    """Return the stream of one name, once the server has confirmed it, and what came with the confirmation."""
    path = f"/{verb}/{quote(name, safe='')}"
    events = await cast("RestRoute", connection.route).open_events(path)
    try:
        return events, await _confirmed(events, f"{verb},{name},".encode(), connection.settings.timeout)
    except BaseException:
        events.close()
        raise


async def _confirmed(events: EventStream, confirmation: bytes, seconds: float) -> list[bytes]:
    """Wait for the event that begins so; return the others that have come by then."""
    others: list[bytes] = []
    deadline = monotonic() + seconds
    while True:
        found = await events.receive(max(0.0, deadline - monotonic()))
        if found is None:
            raise TimeoutError(f"The server did not confirm the subscription within {seconds:g} s.")
        others += [event for event in found if not event.startswith(confirmation)]
        if any(event.startswith(confirmation) for event in found):
            return others


async def _all_or_none(opening: Iterable[Awaitable[tuple[EventStream, T]]]) -> list[tuple[EventStream, T]]:
    """Return all streams; where one does not open, close the others and raise what kept it from that."""
    tasks = [asyncio.ensure_future(one) for one in opening]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, BaseException):
                outcome[0].close()
        raise


def check_names(names: Sequence[str]) -> None:
    """Raise ``DataError`` for a name that an event, ``message,<channel>,<data>``, does not tell from its data."""
    for name in names:
        if "," in name or "\n" in name or "\r" in name:
            text = f"{name!r} cannot be subscribed over REST, where a comma or a line's end closes a channel's name"
            raise DataError(f"{text}; name it otherwise, or use a rediss:// URL.")


def _message(event: str) -> Message | None:
    kind, _, rest = event.partition(",")
    if kind == "message":
        channel, _, data = rest.partition(",")
        return Message(channel, data.encode())
    if kind == "pmessage":
        pattern, _, rest = rest.partition(",")
        channel, _, data = rest.partition(",")
        return Message(channel, data.encode(), pattern)
    return None
