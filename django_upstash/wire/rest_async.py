"""The REST route under asyncio: event loops have kept-alive connections of their own, one request on each at a time."""

from __future__ import annotations

import asyncio
import builtins
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from django_upstash.exceptions import TimeoutError, UpstashError
from django_upstash.operations import Reply
from django_upstash.wire.batching import Entry, Lane, SendInThread, closed_error
from django_upstash.wire.endpoint import Endpoint
from django_upstash.wire.http import Response
from django_upstash.wire.http_async import AsyncHttpWire, connect
from django_upstash.wire.pool import all_in_use
from django_upstash.wire.rest_request import Request, is_requests
from django_upstash.wire.retrying import failure_of, judge, may_repeat, pause_before_repeat, raise_failure
from django_upstash.wire.traffic import Traffic

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings


class RequestPlanner(Protocol):
    """The route, as far as its event loops need it: its settings, and the requests that carry a batch."""

    settings: ConnectionSettings
    traffic: Traffic

    def plan(self, batch: list[Entry], /) -> list[Request]: ...


class RestLane(Lane):
    """
    One event loop's HTTP connections; batches beyond them wait their turn.

    All loops together have at most ``MAX_CONNECTIONS``; a loop that gets none uses threads.
    """

    def __init__(self, send_in_thread: SendInThread, route: RequestPlanner, endpoint: Endpoint) -> None:
        super().__init__(send_in_thread, route.settings.timeout)
        self._route = route
        self._endpoint = endpoint
        self._settings = route.settings
        self._idle: list[AsyncHttpWire] = []
        self._wires: set[AsyncHttpWire] = set()
        self._asked_for: list[_Place] = []  # which are taken as soon as they are free
        self._turns = asyncio.Semaphore(route.settings.max_connections)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        self.begin(batch, loop)
        carrying = self._carry(batch, loop)
        try:
            task = loop.create_task(carrying)
        except BaseException as error:
            carrying.close()
            self.finish(batch, error if isinstance(error, Exception) else closed_error())
            raise
        self._tasks.add(task)
        task.add_done_callback(partial(self._carried, batch), context=self._context)

    def _carried(self, batch: list[Entry], task: asyncio.Task[None]) -> None:
        """Wake the callers of a task that was cancelled, maybe before it ran: no code of its own could."""
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is not None:
            self.finish(batch, closed_error())

    def close(self) -> None:
        self.closed = True
        for wire in list(self._wires):
            self._drop(wire)
        self._idle.clear()
        self._asked_for.clear()

    async def _carry(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        try:
            replies = await self._run(self._route.plan(batch), batch)
        except _NoPlace:
            self.carry_in_thread(batch, loop)
        except Exception as error:
            self.finish(batch, error)
        else:
            self.finish(batch, replies)

    async def _run(self, requests: list[Request], batch: list[Entry]) -> list[Reply]:
        replies: list[Reply] = []
        for request in requests:
            outcome = request.read(await self._exchange(request, batch))
            replies += await self._run(outcome, batch) if is_requests(outcome) else outcome  # type: ignore[arg-type]
        return replies

    async def _exchange(self, request: Request, batch: list[Entry]) -> Response:
        await self._take_turn()
        try:
            return await self._attempts(request, batch)
        finally:
            self._turns.release()

    async def _attempts(self, request: Request, batch: list[Entry]) -> Response:
        deadline, retries = monotonic() + self._settings.timeout, self._settings.retries
        failure: UpstashError | None = None
        while True:
            wire: AsyncHttpWire | None = None
            try:
                wire, used = await self._wire(verify=failure is not None)
                # What blocked the loop while the connection was opened is not the server's delay.
                deadline = max(deadline, monotonic() + self._settings.timeout - used) if used else deadline
                is_waited_for = any(not entry.future.done() for entry in batch)
                response = await wire.exchange(request.payload, deadline) if is_waited_for else None
            except BaseException as error:
                failure = failure_of(error, self._settings)
                self._learn_from(failure, wire)
                if failure is None:
                    raise
                if retries <= 0 or not self._repeats(failure, wire, request, deadline):
                    raise_failure(failure, error)
                retries -= 1
                await asyncio.sleep(pause_before_repeat(failure, deadline - monotonic()))
            else:
                self._idle.append(wire)
                if response is None:
                    raise closed_error()  # to nobody: what nobody waits for is not sent
                return response

    def _repeats(self, failure: UpstashError, wire: AsyncHttpWire | None, request: Request, deadline: float) -> bool:
        # Without a wire, nothing of any command was sent.
        has_sent, count = (wire.has_sent, len(request.commands)) if wire is not None else (False, 1)
        return may_repeat(failure, has_sent, count, request.commands, request.replay_safe, deadline)

    def _learn_from(self, failure: UpstashError | None, wire: AsyncHttpWire | None) -> None:
        """Give up the wire that failed; after one's silence, the idle ones too, for they have heard no more of it."""
        if wire is None:
            return
        self._drop(wire)
        if failure is not None:
            judge(failure, is_reused=wire.has_answered)
        if isinstance(failure, TimeoutError):
            while self._idle:
                self._drop(self._idle.pop())

    async def _take_turn(self) -> None:
        seconds = self._settings.pool_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._turns.acquire()
        except builtins.TimeoutError:
            raise all_in_use(self._settings.max_connections, seconds) from None

    async def _wire(self, *, verify: bool) -> tuple[AsyncHttpWire, float]:
        """Return an open wire, and the seconds that opening it took; raise ``_NoPlace`` where none may be opened."""
        while self._idle:
            wire = self._idle.pop()
            if wire.is_usable(verify=verify):
                return wire, 0.0
            self._drop(wire)
        place = self._asked_for.pop() if self._asked_for else _Place()
        if not self.places.take(place, in_line=True):
            self._asked_for.append(place)
            raise _NoPlace
        await self.close_with_loop()
        try:
            wire, used = await connect(self._endpoint, self._settings, AsyncHttpWire)
        except RuntimeError as error:  # the executor that resolves names is gone with the main thread
            raise _NoPlace from error
        except BaseException:
            self.places.give_back(place)  # which the error's traceback would keep, for as long as it is kept
            raise
        wire.place = place
        self._wires.add(wire)
        self._route.traffic.watch(wire.flow)
        return wire, used

    def _drop(self, wire: AsyncHttpWire) -> None:
        self._wires.discard(wire)
        if wire.place is not None:
            self.places.give_back(wire.place)
        wire.abort(closed_error())


class _Place:
    """One of the connections that all event loops together may have; its end is the place's."""


class _NoPlace(Exception):
    """The loop can have no further connection, but threads can."""
