"""The REST route under asyncio: each event loop has its own kept-alive connections, one request on each at a time."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from django_upstash.exceptions import ConnectionError, TimeoutError, UpstashError
from django_upstash.operations import Reply
from django_upstash.routes.http import (
    Endpoint,
    Response,
    ResponseReader,
    check_tunnel,
    checked,
    connect_failure,
)
from django_upstash.routes.lanes import Entry, Lane, closed_error, deliver
from django_upstash.routes.pool import IDLE_BEFORE_CHECK, all_in_use
from django_upstash.routes.pooled import failure_of, may_repeat, pause_before_repeat
from django_upstash.routes.rest import Request, RestRoute, is_requests
from django_upstash.routes.sockets import is_quiet
from django_upstash.routes.tls import tls_context
from django_upstash.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.conf import ConnectionSettings

Wire = TypeVar("Wire", bound="AsyncHttpWire")


class RestLane(Lane):
    """One event loop's HTTP connections, at most ``MAX_CONNECTIONS``; batches beyond that wait their turn."""

    def __init__(self, send_in_thread: Callable[[list[Entry]], None], route: RestRoute, endpoint: Endpoint) -> None:
        super().__init__(send_in_thread, route.settings.timeout)
        self._route = route
        self._endpoint = endpoint
        self._settings = route.settings
        self._idle: list[AsyncHttpWire] = []
        self._wires: set[AsyncHttpWire] = set()
        self._places = asyncio.Semaphore(route.settings.max_connections)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._carry(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda task: self._carried(task, batch))

    def _carried(self, task: asyncio.Task[None], batch: list[Entry]) -> None:
        """Wake the callers of a task that was cancelled, maybe before it ran: no code of its own could."""
        if task.cancelled():
            deliver(batch, closed_error())

    def close(self) -> None:
        self.closed = True
        for wire in self._wires:
            wire.abort(closed_error())
        self._wires.clear()
        self._idle.clear()

    async def _carry(self, batch: list[Entry]) -> None:
        try:
            replies = await self._run(self._route.plan(batch))
        except Exception as error:
            deliver(batch, error)
        else:
            deliver(batch, replies)

    async def _run(self, requests: list[Request]) -> list[Reply]:
        replies: list[Reply] = []
        for request in requests:
            outcome = request.read(await self._exchange(request))
            replies += await self._run(outcome) if is_requests(outcome) else outcome  # type: ignore[arg-type]
        return replies

    async def _exchange(self, request: Request) -> Response:
        deadline = monotonic() + self._settings.timeout
        retries = self._settings.retries
        failure: UpstashError | None = None
        await self._take_place()
        try:
            while True:
                wire = None
                try:
                    wire = await self._wire(verify=failure is not None)
                    response = await wire.exchange(request.payload, deadline)
                except (UpstashError, OSError) as error:
                    failure = failure_of(error, self._settings) or closed_error()
                    has_sent = wire is not None and wire.has_sent
                    count = len(request.commands) if wire is not None else 1  # nothing of any was sent
                    if wire is not None:
                        self._wires.discard(wire)
                    if retries <= 0 or not may_repeat(
                        failure, has_sent, count, request.commands, request.replay_safe, deadline
                    ):
                        if failure is error:
                            raise
                        raise failure from error
                    retries -= 1
                    await asyncio.sleep(pause_before_repeat(failure, deadline - monotonic()))
                else:
                    self._idle.append(wire)
                    return response
        finally:
            self._places.release()

    async def _take_place(self) -> None:
        seconds = self._settings.pool_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except builtins.TimeoutError:
            raise all_in_use(self._settings.max_connections, seconds) from None

    async def _wire(self, *, verify: bool) -> AsyncHttpWire:
        while self._idle:
            wire = self._idle.pop()
            if wire.is_usable(verify=verify):
                return wire
            wire.abort(closed_error())
            self._wires.discard(wire)
        await self.close_with_loop()
        wire = await connect(self._endpoint, self._settings, AsyncHttpWire)
        self._wires.add(wire)
        self._route.traffic.watch(wire.flow)
        return wire


class AsyncHttpWire(asyncio.Protocol):
    """One kept-alive connection in an event loop."""

    transport: asyncio.Transport

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader()
        self._answer: asyncio.Future[Response] | None = None
        self._idle_since = monotonic()
        self._head: bytearray | None = None  # of a proxy's answer, while a tunnel is asked for
        self._tunnel: asyncio.Future[bytes] | None = None
        self._lost = False
        self.has_sent = False
        self.flow = Flow()

    def is_usable(self, *, verify: bool) -> bool:
        """Tell whether the connection can carry a request; it is looked at when it was idle, or with ``verify``."""
        if self._lost or self.transport.is_closing() or not self._reader.keeps_alive:
            return False
        if not verify and monotonic() - self._idle_since < IDLE_BEFORE_CHECK:
            return True
        return is_quiet(self.transport.get_extra_info("socket"))

    async def exchange(self, payload: bytes, deadline: float) -> Response:
        """Send a request and return its response; raise when it is not whole before the deadline."""
        if self._lost:
            raise closed_error()
        answer = self._answer = self._loop.create_future()
        self.has_sent = True
        self.flow.sent += len(payload)
        self.transport.write(payload)
        timer = self._loop.call_later(max(deadline - monotonic(), 0), self._expire)
        try:
            return checked(await answer, self._settings.safe_url)
        except BaseException:
            self.transport.abort()  # the response may still come, and would answer the next request
            raise
        finally:
            timer.cancel()
            self._answer = None
            self._idle_since = monotonic()

    async def open_tunnel(self, request: bytes) -> None:
        """Ask a proxy for a tunnel and wait for its consent."""
        self._head, self._tunnel = bytearray(), self._loop.create_future()
        self.transport.write(request)
        check_tunnel(await self._tunnel)
        self._head = self._tunnel = None

    def abort(self, error: UpstashError) -> None:
        self._fail(error)
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._head is not None and self._tunnel is not None:
            self._head += data
            if b"\r\n\r\n" in self._head and not self._tunnel.done():
                self._tunnel.set_result(bytes(self._head))
            return
        self.flow.received += len(data)
        try:
            response = self._reader.feed(data)
        except UpstashError as error:
            self.abort(error)
            return
        if response is None:
            return
        if self._answer is None or self._answer.done():
            self.abort(closed_error())
        else:
            self._answer.set_result(response)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self.flow.ended = True
        if self._answer is None or self._answer.done():
            self._fail(closed_error())
            return
        if error is not None:
            failure = ConnectionError(f"The connection to {self._settings.safe_url} broke before the answer was whole.")
            failure.__cause__ = error
            self._fail(failure)
            return
        try:
            self._answer.set_result(self._reader.end())
        except UpstashError as truncated:
            self._fail(truncated)

    def _expire(self) -> None:
        self.abort(TimeoutError(f"{self._settings.safe_url} did not answer within {self._settings.timeout:g} s."))

    def _fail(self, error: UpstashError) -> None:
        self._lost = self.flow.ended = True
        for future in (self._answer, self._tunnel):
            if future is not None and not future.done():
                future.set_exception(error)


async def connect(endpoint: Endpoint, settings: ConnectionSettings, make: Callable[[ConnectionSettings], Wire]) -> Wire:
    """Open a connection in the running loop: TCP, a proxy's tunnel, TLS. ``make`` is the class of its wire."""
    seconds = settings.connect_seconds
    try:
        async with asyncio.timeout(seconds):
            return await _open(endpoint, settings, make)
    except OSError as error:
        raise connect_failure(error, ":".join(map(str, endpoint.dialled)), seconds) from error


async def _open(endpoint: Endpoint, settings: ConnectionSettings, make: Callable[[ConnectionSettings], Wire]) -> Wire:
    loop = asyncio.get_running_loop()
    context = tls_context(settings) if endpoint.is_tls else None
    direct = context if endpoint.proxy is None else None
    host, port = endpoint.dialled
    name = endpoint.host if direct is not None else None
    _, wire = await loop.create_connection(lambda: make(settings), host, port, ssl=direct, server_hostname=name)
    if context is not None and direct is None:
        try:
            await wire.open_tunnel(endpoint.tunnel_request())
            tunnelled = await loop.start_tls(wire.transport, wire, context, server_hostname=endpoint.host)
        except BaseException:
            wire.transport.abort()
            raise
        assert isinstance(tunnelled, asyncio.Transport)
        wire.transport = tunnelled
    return wire
