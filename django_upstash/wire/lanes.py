"""A route's lanes, one for each event loop, and the threads that carry the batches of short-lived loops."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TypeVar

from django_upstash.exceptions import ConnectionError
from django_upstash.forks import ForkSafeLock, check_fork
from django_upstash.operations import Reply
from django_upstash.wire.batching import Lane, SendInThread
from django_upstash.wire.carriers import Carriers
from django_upstash.wire.loop_places import LoopPlaces
from django_upstash.wire.pending import Entry, unsent
from django_upstash.wire.pool import all_in_use

Result = TypeVar("Result")

_slots = itertools.count()


# In a forked child, what the parent's loops had open. It is kept: closing a transport would take the parent's socket
# out of the epoll set that both processes share.
_parents: list[object] = []


class Lanes:
    """A route's lanes, one for each event loop that uses it, and the threads that serve loops on probation."""

    def __init__(
        self,
        make_lane: Callable[[SendInThread], Lane],
        exchange: Callable[[list[Entry]], list[Reply]],
        threads: int,
        seconds: float,
        places: LoopPlaces,
    ) -> None:
        self._places = places  # which other routes of the alias share
        self._make_lane = make_lane
        self._exchange = exchange
        self._threads = threads
        self._seconds = seconds  # that a batch may wait for a thread
        self._lock = ForkSafeLock()
        self._start()

    def after_fork(self) -> None:
        """In a forked child: start empty, under a new name; the parent's lanes and loops are kept untouched."""
        _parents.extend((lane, loop()) for lane, loop in self._lanes.items())
        self._places.after_fork()
        self._start()

    def _start(self) -> None:
        self._slot = f"_django_upstash_lane_{next(_slots)}"
        self._carriers: Carriers | None = None
        self._lanes: weakref.WeakKeyDictionary[Lane, weakref.ref[asyncio.AbstractEventLoop]] = (
            weakref.WeakKeyDictionary()
        )

    def current(self) -> Lane:
        """Return the running loop's lane."""
        check_fork()
        loop = asyncio.get_running_loop()
        lane: Lane | None = getattr(loop, self._slot, None)
        return lane if lane is not None and not lane.closed else self._add(loop)

    def close(self) -> None:
        """Release every loop's wires: each in its own thread, where its loop still runs."""
        with self._lock:
            lanes = list(self._lanes.items())
            self._lanes.clear()
            carriers, self._carriers = self._carriers, None
        for lane, loop in lanes:
            _close_in_loop(lane, loop())
        if carriers is not None:
            carriers.close()

    def _add(self, loop: asyncio.AbstractEventLoop) -> Lane:
        lane = self._make_lane(self._send_in_thread)
        lane.places = self._places
        lane.longest += self._seconds
        setattr(loop, self._slot, lane)
        with self._lock:
            self._lanes[lane] = weakref.ref(loop)
        return lane

    async def in_thread(self, function: Callable[[], Result]) -> Result:
        """Call a function in one of the threads, and return or raise what it does."""
        loop = asyncio.get_running_loop()
        future: Future[Result] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)

        self._submit(work)
        return await asyncio.wrap_future(future, loop=loop)

    def _send_in_thread(self, batch: list[Entry], lane: Lane) -> None:
        self._submit(partial(self._run_in_thread, batch, lane, asyncio.get_running_loop(), monotonic()))

    def _submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._carriers is None:
                self._carriers = Carriers(self._threads)
            try:
                self._carriers.submit(work)
            except RuntimeError as error:  # the interpreter is ending, or has no thread left
                refused = ConnectionError(f"No thread to send the command in: {error}.")
                refused.is_outage = False
                raise refused from error

    def _run_in_thread(self, batch: list[Entry], lane: Lane, loop: asyncio.AbstractEventLoop, since: float) -> None:
        outcome: list[Reply] | Exception
        try:
            if monotonic() - since > self._seconds:
                raise all_in_use(self._threads, self._seconds)
            outcome = self._exchange(batch) if any(not entry.future.done() for entry in batch) else []
        except BaseException as error:
            outcome = error if isinstance(error, Exception) else unsent(error)
        with suppress(RuntimeError):  # the loop has ended, and with it everybody who waited
            loop.call_soon_threadsafe(lane.finish, batch, outcome)


def _close_in_loop(lane: Lane, loop: asyncio.AbstractEventLoop | None) -> None:
    if loop is None:
        return
    with suppress(RuntimeError):  # a closed loop has closed its lane
        loop.call_soon_threadsafe(lane.close)
