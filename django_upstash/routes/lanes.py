"""
What an event loop has under way on a route: operations that start in the same tick leave together.

A lane belongs to one loop and is kept by it, so it lives no longer. Loops come and go (``asyncio.run``,
``async_to_sync`` in every request of a WSGI site), so a loop's first batches travel on the route's thread-safe
synchronous wires, in a thread, and only a loop that goes on gets a wire of its own: a short one pays no handshake.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from time import monotonic

from django_upstash.exceptions import ConnectionError, UpstashError
from django_upstash.operations import Command, Reply
from django_upstash.operations import replay_safe as names_are_replay_safe
from django_upstash.routes.pool import all_in_use

PROBATION = 16  # batches that a new loop sends on synchronous wires
MOST_COMMANDS = 1000  # in one batch
MOST_BYTES = 1024 * 1024  # in one batch, unless a single entry is larger

_slots = itertools.count()
# In a forked child, what the parent's loops had open. It is kept: closing a transport would take the parent's socket
# out of the epoll set that both processes share.
_parents: list[object] = []


class Entry:
    """The packed commands of one caller, and the future it waits on."""

    __slots__ = (
        *("alone", "commands", "count", "deadline", "future", "is_atomic", "payload", "replay_safe", "replies"),
        "retries",
    )

    future: asyncio.Future[list[Reply]]
    deadline: float  # in the loop's time

    def __init__(
        self,
        payload: bytes,
        count: int,
        commands: Sequence[Command],
        replay_safe: bool | None = None,
        retries: int = 0,
        *,
        alone: bool = False,
        is_atomic: bool = False,
    ) -> None:
        self.payload = payload
        self.count = count
        self.commands = commands
        self.replay_safe = replay_safe
        self.retries = retries
        self.alone = alone
        self.is_atomic = is_atomic
        self.replies: list[Reply] = []

    def is_replay_safe(self) -> bool:
        return names_are_replay_safe(self.commands) if self.replay_safe is None else self.replay_safe

    def answer(self, replies: list[Reply]) -> None:
        """Wake the caller, unless it has gone."""
        if not self.future.done():
            self.future.set_result(replies)

    def fail(self, error: BaseException) -> None:
        """Wake the caller with an exception of its own: shared ones would gather each other's tracebacks."""
        if not self.future.done():
            own = copy.copy(error)
            own.__cause__ = error.__cause__
            self.future.set_exception(own)


class Lane(ABC):
    """One event loop's way through one route. Not thread-safe: only that loop's thread touches it."""

    def __init__(self, send_in_thread: Callable[[list[Entry]], None], timeout: float) -> None:
        self._send_in_thread = send_in_thread
        self._timeout = timeout
        self._leaving: list[Entry] = []
        self._batches = 0
        self._guard: AsyncGenerator[None, None] | None = None
        # Callbacks run in this empty context: the first caller's would be kept, and seen, for the loop's whole life.
        self._context = Context()
        self.closed = False

    def submit(self, entry: Entry) -> asyncio.Future[list[Reply]]:
        """Send the entry with all others of this tick; its replies are the future's result."""
        loop = asyncio.get_running_loop()
        future = entry.future = loop.create_future()
        if not self._leaving:
            loop.call_soon(self._leave, loop, context=self._context)
        self._leaving.append(entry)
        return future

    def resubmit(self, entry: Entry, error: UpstashError) -> None:
        """Send an entry again after a failure, where nothing can happen twice, or let it fail."""
        loop = asyncio.get_running_loop()
        if entry.retries <= 0 or self.closed or loop.time() >= entry.deadline or not entry.is_replay_safe():
            entry.fail(error)
            return
        entry.retries -= 1
        entry.replies = []
        self.send([entry], loop)

    @abstractmethod
    def send(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        """Send a batch on wires of this loop's own, and answer its entries some time later."""

    @abstractmethod
    def close(self) -> None:
        """Release the loop's own wires, in the loop's thread or after the loop's end."""

    async def close_with_loop(self) -> None:
        """See to it that ``close`` runs when the loop ends: every runner of loops closes its generators first."""
        if self._guard is None:
            self._guard = self._until_the_loop_ends()
            await anext(self._guard)

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.close()
            await asyncio.sleep(0)  # transports close in the next tick

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        entries, self._leaving = self._leaving, []
        deadline = loop.time() + self._timeout
        for batch in _batches(entries):
            for entry in batch:
                entry.deadline = deadline
            self._batches += 1
            if self._batches > PROBATION:
                self.send(batch, loop)
            else:
                self._send_in_thread(batch)


class Lanes:
    """A route's lanes, one for each event loop that uses it, and the threads that serve loops on probation."""

    def __init__(
        self,
        make_lane: Callable[[Callable[[list[Entry]], None]], Lane],
        exchange: Callable[[list[Entry]], list[Reply]],
        threads: int,
        seconds: float,
    ) -> None:
        self._make_lane = make_lane
        self._exchange = exchange
        self._threads = threads
        self._seconds = seconds  # that a batch may wait for a thread
        self._start()

    def after_fork(self) -> None:
        """In a forked child: start empty, under a new name; the parent's lanes and loops are kept untouched."""
        _parents.extend((lane, loop()) for lane, loop in self._lanes.items())
        self._start()

    def _start(self) -> None:
        self._slot = f"_django_upstash_lane_{next(_slots)}"
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._lanes: weakref.WeakKeyDictionary[Lane, weakref.ref[asyncio.AbstractEventLoop]] = (
            weakref.WeakKeyDictionary()
        )

    def current(self) -> Lane:
        """Return the running loop's lane."""
        loop = asyncio.get_running_loop()
        lane: Lane | None = getattr(loop, self._slot, None)
        return lane if lane is not None and not lane.closed else self._add(loop)

    def close(self) -> None:
        """Release every loop's wires: each in its own thread, where its loop still runs."""
        with self._lock:
            lanes = list(self._lanes.items())
            self._lanes.clear()
            executor, self._executor = self._executor, None
        for lane, loop in lanes:
            _close_in_loop(lane, loop())
        if executor is not None:
            executor.shutdown(wait=False)

    def _add(self, loop: asyncio.AbstractEventLoop) -> Lane:
        lane = self._make_lane(self._send_in_thread)
        setattr(loop, self._slot, lane)
        with self._lock:
            self._lanes[lane] = weakref.ref(loop)
        return lane

    def _send_in_thread(self, batch: list[Entry]) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="django_upstash")
            try:
                self._executor.submit(self._run_in_thread, batch, loop, monotonic())
            except RuntimeError as error:  # the interpreter is ending, or has no thread left
                deliver(batch, ConnectionError(f"No thread to send the command in: {error}."))

    def _run_in_thread(self, batch: list[Entry], loop: asyncio.AbstractEventLoop, since: float) -> None:
        try:
            if monotonic() - since > self._seconds:
                raise all_in_use(self._threads, self._seconds)
            replies = self._exchange(batch)
        except Exception as error:
            outcome: list[Reply] | Exception = error
        else:
            outcome = replies
        with suppress(RuntimeError):  # the loop has ended, and with it everybody who waited
            loop.call_soon_threadsafe(deliver, batch, outcome)


def deliver(batch: list[Entry], outcome: list[Reply] | Exception) -> None:
    """Give each entry of a batch its part of the replies, or its own copy of the error."""
    if isinstance(outcome, Exception):
        for entry in batch:
            entry.fail(outcome)
        return
    replies = iter(outcome)
    for entry in batch:
        entry.answer(list(itertools.islice(replies, entry.count)))


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    if len(entries) == 1:
        yield entries
        return
    batch: list[Entry] = []
    commands = size = 0
    for entry in entries:
        if entry.alone:
            yield [entry]
            continue
        if batch and (commands + entry.count > MOST_COMMANDS or size + len(entry.payload) > MOST_BYTES):
            yield batch
            batch, commands, size = [], 0, 0
        batch.append(entry)
        commands += entry.count
        size += len(entry.payload)
    if batch:
        yield batch


def _close_in_loop(lane: Lane, loop: asyncio.AbstractEventLoop | None) -> None:
    if loop is None:
        return
    with suppress(RuntimeError):  # a closed loop has closed its lane
        loop.call_soon_threadsafe(lane.close)


async def nothing() -> list[Reply]:
    """Return the replies of no commands."""
    return []


def closed_error() -> ConnectionError:
    return ConnectionError("The connection was closed while the command was under way.")
