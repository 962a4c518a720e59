"""
What an event loop has under way on a route: operations that start in the same tick leave together.

A lane belongs to one loop and is kept by it, so it lives no longer. Loops come and go (``asyncio.run``,
``async_to_sync`` in every request of a WSGI site), so a loop's first batches travel on the route's thread-safe
synchronous wires, in a thread, and only a loop that goes on gets a wire of its own: a short one pays no handshake.

Whatever is submitted is answered: a lane watches every entry's deadline from the tick it leaves in, wherever the entry
is by then. Nothing is sent for a caller who has gone, and no write to a key leaves while an earlier one that its caller
has given up is still under way on another wire.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextvars import Context
from functools import partial
from time import monotonic
from typing import TypeAlias

from django_upstash.exceptions import TimeoutError, UpstashError
from django_upstash.operations import Reply
from django_upstash.wire.deadlines import after_last_look
from django_upstash.wire.loop_places import LoopPlaces
from django_upstash.wire.pending import MOST_BYTES, Entry, batches, closed_error, deliver, nothing
from django_upstash.wire.written import Keys, overlap, written_keys

__all__ = ["MOST_BYTES", "Entry", "Lane", "SendInThread", "closed_error", "deliver", "nothing"]

PROBATION = 16  # batches that a new loop sends on synchronous wires
# Outside the main thread, where app servers run their loops, most loops are those of ``async_to_sync``: one for each
# call. Only one that is older is taken for a loop that stays.
PROBATION_SECONDS = 10.0
_SLACK = 1.0  # seconds that threads may be late on a busy machine before their batches are given up
_MOST_TICKS = 32  # watched, answered ones among them, before those are sorted out


SendInThread: TypeAlias = "Callable[[list[Entry], Lane], None]"


class Lane(ABC):
    """One event loop's way through one route. Not thread-safe: only that loop's thread touches it."""

    def __init__(self, send_in_thread: SendInThread, timeout: float) -> None:
        self._send_in_thread = send_in_thread
        self._timeout = timeout
        # What a batch may take where each step keeps its own time: a thread, its connection, several requests.
        self.longest = 2 * timeout + _SLACK
        self._leaving: list[Entry] = []
        self._batches = 0
        self._is_settled = False
        self._born = monotonic() if threading.current_thread() is not threading.main_thread() else float("-inf")
        self._watched: deque[list[Entry]] = deque()
        self._most_watched = _MOST_TICKS
        self._alarm: asyncio.TimerHandle | None = None
        self._under_way: dict[int, list[Entry]] = {}  # batches that others may overtake, by id
        self._held: list[Entry] = []  # behind one of those
        self._guard: AsyncGenerator[None, None] | None = None
        # Callbacks run in this empty context: the first caller's would be kept, and seen, for the loop's whole life.
        self._context = Context()
        self.places: LoopPlaces
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
        if entry.future.done():
            return
        loop = asyncio.get_running_loop()
        if entry.retries <= 0 or self.closed or loop.time() >= entry.deadline or not entry.is_replay_safe():
            entry.fail(error)
            return
        entry.retries -= 1
        entry.replies = []
        self.send_or_fail([entry], loop)

    def send_or_fail(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        """Send a batch; what keeps it from being sent is its callers' error."""
        try:
            self.send(batch, loop)
        except Exception as error:
            deliver(batch, error)

    @abstractmethod
    def send(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        """Send a batch on wires of this loop's own, and answer its entries some time later."""

    @abstractmethod
    def close(self) -> None:
        """Release the loop's own wires, in the loop's thread or after the loop's end."""

    def has_news(self, entries: list[Entry]) -> bool:
        """Tell whether there is something to be read that may be an answer to one of the entries."""
        return False

    def expired(self, entries: list[Entry]) -> None:
        """Let entries fail whose deadline has passed, and give up the wire that has not answered them."""
        error = TimeoutError(f"The command was not answered within {self._timeout:g} s.")
        error.is_outage = False  # no connection waits for the answer
        for entry in entries:
            entry.fail(error)

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
        try:
            deadline = loop.time() + self._timeout
            for entry in entries:
                entry.deadline = deadline
            self._watch(entries, deadline, loop)
            if self._is_settled and len(entries) == 1 and not self._under_way:  # what `_dispatch` comes to
                if not entries[0].future.done():
                    self.send(entries, loop)
            else:
                self._dispatch(entries, loop)
        except Exception as error:
            deliver(entries, error)

    def _dispatch(self, entries: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        if len(entries) > 1 or entries[0].future.done():
            entries = [entry for entry in entries if not entry.future.done()]  # whose callers have not gone
        if self._under_way:
            entries = self._free_to_go(entries)
        for batch in batches(entries):
            self._batches += 1
            if self._batches > PROBATION and self._stays():
                self.send_or_fail(batch, loop)
            else:
                self.carry_in_thread(batch, loop)

    def _stays(self) -> bool:
        """Tell whether the loop has gone on for long enough to have wires of its own, and may have them."""
        if not self._is_settled and monotonic() - self._born >= PROBATION_SECONDS:
            self._is_settled = self.settle()
        return self._is_settled

    def settle(self) -> bool:
        """Take what a loop with wires of its own needs; return whether it was to be had."""
        return True

    # On ways that others may overtake.

    def carry_in_thread(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        """Send a batch on a synchronous wire, in a thread."""
        self.begin(batch, loop)
        try:
            self._send_in_thread(batch, self)
        except Exception as error:
            self.finish(batch, error)

    def begin(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        """Note a batch that later ones may overtake, and which keeps its own time."""
        self._under_way[id(batch)] = batch
        latest = loop.time() + self.longest
        for entry in batch:
            entry.deadline = latest

    def finish(self, batch: list[Entry], outcome: list[Reply] | Exception) -> None:
        """Give the callers of such a batch their answers, and let go what was held behind it."""
        self._under_way.pop(id(batch), None)
        deliver(batch, outcome)
        if self._held:
            held, self._held = self._held, []
            try:
                self._dispatch(held, asyncio.get_running_loop())
            except Exception as error:
                deliver(held, error)

    def _free_to_go(self, entries: list[Entry]) -> list[Entry]:
        """Hold back the writes to a key that a write given up by its caller may still change."""
        keys = self._given_up()
        if not keys:
            return entries
        free: list[Entry] = []
        for entry in entries:
            (self._held if overlap(written_keys(entry.commands), keys) else free).append(entry)
        return free

    def _given_up(self) -> Keys:
        entries = itertools.chain.from_iterable(self._under_way.values())
        keys = [written_keys(entry.commands) for entry in entries if entry.future.cancelled()]
        return keys[0].union(*keys[1:]) if keys else frozenset()

    # Deadlines.

    def _watch(self, entries: list[Entry], deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        watched = self._watched
        while watched and watched[0][-1].future.done() and (len(watched[0]) == 1 or _is_over(watched[0])):
            watched.popleft()
        if len(watched) >= self._most_watched:
            watched = self._watched = deque(tick for tick in watched if not _is_over(tick))
            self._most_watched = max(_MOST_TICKS, 2 * len(watched))
        watched.append(entries)
        if self._alarm is None:
            self._alarm = loop.call_at(deadline, self._ring, loop, context=self._context)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up entries whose time is over, after one last look, and set the alarm to the next deadline."""
        self._alarm = None
        waiting = [entry for tick in self._watched for entry in tick if not entry.future.done()]
        self._watched = deque([waiting] if waiting else [])
        if not waiting:
            return
        now = loop.time()
        overdue = [entry for entry in waiting if entry.deadline <= now]
        soonest = min([entry.deadline for entry in waiting if entry.deadline > now], default=now + self._timeout)
        self._alarm = loop.call_at(soonest, self._ring, loop, context=self._context)
        if overdue:
            after_last_look(loop, partial(self._has_news, overdue), partial(self._expire, overdue, loop))

    def _has_news(self, entries: list[Entry]) -> bool:
        return self.has_news([entry for entry in entries if not entry.future.done()])

    def _expire(self, entries: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        overdue = [entry for entry in entries if not entry.future.done() and entry.deadline <= now]
        try:
            self.expired(overdue)
        except Exception as error:
            deliver(overdue, error)


def _is_over(tick: Iterable[Entry]) -> bool:
    return all(entry.future.done() for entry in tick)
