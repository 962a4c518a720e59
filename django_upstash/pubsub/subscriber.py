"""The subscriber: messages in order, for a thread or for a task."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

from django_upstash.callbacks import is_async, refuse_awaitable
from django_upstash.connections import Connection, connections
from django_upstash.exceptions import ConnectionError
from django_upstash.forks import Owner
from django_upstash.operations.keys import check_encodable
from django_upstash.pubsub.buffer import Buffer, EndOfMessages
from django_upstash.pubsub.feeds import Feed, Stream
from django_upstash.pubsub.items import Gap, Message
from django_upstash.settings.key_prefix import environment

OnGap = Callable[[Gap], Any]


class Subscriber:
    """
    Receives what is published on channels, and on those whose names match patterns, from now on.

    A context manager and an iterator, for threads and, with ``async``, for tasks. The block begins when the server has
    confirmed the subscription; what keeps it from that is raised. Later failures are survived: it subscribes again,
    and calls ``on_gap`` where messages may be missing, between the messages before and after, in the thread or task
    that takes them. ``on_gap`` may be a coroutine function for tasks. What it raises comes out of the iteration.

    At most ``buffer`` messages and ``buffer_bytes`` bytes wait to be taken; then the oldest give way, which is a gap as
    well. After ``heartbeat`` seconds of silence the server is asked for a sign of life, at the price of one command;
    None asks never, and then a connection that dies silently is not noticed.
    """

    def __init__(
        self,
        channels: Iterable[str] = (),
        patterns: Iterable[str] = (),
        *,
        alias: str = "default",
        on_gap: OnGap | None = None,
        buffer: int = 10_000,
        buffer_bytes: int = 16 * 1024 * 1024,
        heartbeat: float | None = 30.0,
    ) -> None:
        self.channels = _names("channels", channels)
        self.patterns = _names("patterns", patterns)
        if not self.channels and not self.patterns:
            raise ValueError("A subscriber needs a channel or a pattern; name at least one.")
        _check_positive(buffer, buffer_bytes, heartbeat)
        self.alias = alias
        self.gaps = self.dropped = 0
        self._on_gap = on_gap
        self._heartbeat = heartbeat
        self._buffer = Buffer(buffer, buffer_bytes)
        self._thread: threading.Thread | None = None
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._owner: Owner | None = None

    def __repr__(self) -> str:
        return f"<Subscriber of {', '.join(map(repr, (*self.channels, *self.patterns)))}>"

    # For threads.

    def __enter__(self) -> Self:
        if is_async(self._on_gap):
            raise TypeError("on_gap is async, and no thread can await it: make it a plain function.")
        started = self._begin()
        self._thread = threading.Thread(target=self._run, args=(started,), name="django_upstash pubsub", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        message = self.get()
        if message is None:
            raise StopIteration
        return message

    def get(self, timeout: float | None = None) -> Message | None:
        """Return the next message; None when ``timeout`` seconds have passed, or when the subscriber was closed."""
        deadline = None if timeout is None else monotonic() + timeout
        with suppress(EndOfMessages):
            while True:
                item = self._take()
                if isinstance(item, Message):
                    return item
                if isinstance(item, Gap):
                    self._report(item)
                    continue
                waiter = self._buffer.wait()
                try:
                    waiter.result(None if deadline is None else max(0.0, deadline - monotonic()))
                except builtins.TimeoutError:
                    waiter.cancel()
                    return None
        return None

    def close(self) -> None:
        """End the subscription and the iteration, at once; from any thread."""
        self._end()
        if self._is_here and self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    # For tasks.

    async def __aenter__(self) -> Self:
        started = self._begin()
        self._task = asyncio.create_task(self._carry(started))
        try:
            await asyncio.wrap_future(started)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        message = await self.aget()
        if message is None:
            raise StopAsyncIteration
        return message

    async def aget(self, timeout: float | None = None) -> Message | None:
        """Async version of ``get``. A cancelled call has taken no message."""
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        with suppress(EndOfMessages):
            while True:
                item = self._take()
                if isinstance(item, Message):
                    return item
                if isinstance(item, Gap):
                    await self._areport(item)
                    continue
                try:
                    async with asyncio.timeout_at(deadline):
                        await asyncio.wrap_future(self._buffer.wait())
                except builtins.TimeoutError:
                    return None
        return None

    async def aclose(self) -> None:
        """Async version of ``close``."""
        self._end()
        if self._is_here and self._task is not None:
            await asyncio.wait([self._task])

    # What both share.

    @property
    def _is_here(self) -> bool:
        """Whether it was entered, and in this process: a forked child has neither the thread nor the loop."""
        return self._owner is not None and self._owner.is_here

    def _begin(self) -> Future[None]:
        if self._owner is not None:
            raise RuntimeError("A subscriber can be entered once; make another.")
        self._owner = Owner()
        return Future()

    def _take(self) -> Message | Gap | None:
        if not self._is_here:
            text = "is not entered yet" if self._owner is None else "was entered by the process this one forked from"
            raise RuntimeError(f"This subscriber {text}; use it in a with block of this process.")
        return self._buffer.take()

    def _report(self, gap: Gap) -> None:
        self._note(gap)
        if self._on_gap is not None:
            refuse_awaitable("on_gap", self._on_gap(gap))

    async def _areport(self, gap: Gap) -> None:
        self._note(gap)
        if self._on_gap is not None and inspect.isawaitable(awaited := self._on_gap(gap)):
            await awaited

    def _note(self, gap: Gap) -> None:
        self.gaps += 1
        self.dropped += gap.dropped

    def _end(self) -> None:
        self._buffer.end()
        self._buffer.clear()
        running = self._running
        if running is not None and self._is_here:
            loop, task = running
            with suppress(RuntimeError):  # the loop has ended, and the task with it
                loop.call_soon_threadsafe(task.cancel)

    def _run(self, started: Future[None]) -> None:
        # OSError: uvloop cannot close a loop at once whose TLS connections are still closing; it frees them anyway.
        with suppress(asyncio.CancelledError, OSError):
            asyncio.run(self._carry(started))

    async def _carry(self, started: Future[None]) -> None:
        """Subscribe, fulfil ``started``, and fill the buffer until cancelled."""
        self._running = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())
        feed: Feed | None = None
        try:
            if self._buffer.has_ended:  # closed before there was anything to cancel
                return
            feed = self._feed()
            await feed.open()
            started.set_result(None)
            await feed.run()
        except Exception as error:
            self._buffer.end(error)
            if not started.done():
                started.set_exception(error)
        finally:
            if feed is not None:
                feed.close()
            self._buffer.end()
            if not started.done():
                started.set_exception(ConnectionError("The subscriber was closed before it was subscribed."))
            await asyncio.sleep(0.01)  # transports close in the next ticks: uvloop's with TLS take several

    def _feed(self) -> Feed:
        connection = connections[self.alias]
        settings = connection.settings
        beginning = environment()
        names = ([beginning + name for name in given] for given in (self.channels, self.patterns))
        opener = _opener(connection, *names, asks=self._heartbeat is not None)
        return Feed(opener, self._buffer, self._heartbeat, settings.timeout, settings.safe_url, beginning)


def subscribe(
    *channels: str,
    patterns: Iterable[str] = (),
    alias: str = "default",
    on_gap: OnGap | None = None,
    buffer: int = 10_000,
    buffer_bytes: int = 16 * 1024 * 1024,
    heartbeat: float | None = 30.0,
) -> Subscriber:
    """Return a ``Subscriber``, to be entered by ``with`` or ``async with``."""
    return Subscriber(
        channels,
        patterns,
        alias=alias,
        on_gap=on_gap,
        buffer=buffer,
        buffer_bytes=buffer_bytes,
        heartbeat=heartbeat,
    )


def _opener(
    connection: Connection, channels: Sequence[str], patterns: Sequence[str], *, asks: bool
) -> Callable[[], Awaitable[Stream]]:
    """Return what subscribes: natively on one connection, over REST on one for each name and one to ask on."""
    if connection.settings.route != "rest":
        from django_upstash.pubsub import native

        return partial(native.open_stream, connection, channels, patterns)
    from django_upstash.pubsub import events

    events.check_names((*channels, *patterns))
    return partial(events.open_stream, connection, channels, patterns, asks=asks)


def _names(what: str, given: Iterable[Any]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise TypeError(f"{what} are a list of names, not one; write [{given!r}].")
    names = tuple(dict.fromkeys(given))
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"Each of the {what} must be text, and not empty.")
        check_encodable(name)
    return names


def _check_positive(buffer: int, buffer_bytes: int, heartbeat: float | None) -> None:
    if min(buffer, buffer_bytes) < 1 or (heartbeat is not None and heartbeat <= 0):
        raise ValueError("buffer, buffer_bytes and heartbeat must be larger than 0.")
