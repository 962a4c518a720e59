"""One HTTP connection in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from django_upstash.credentials import SecretBytes
from django_upstash.exceptions import ConnectionError, ProtocolError, TimeoutError, UpstashError
from django_upstash.wire import transports
from django_upstash.wire.batching import closed_error
from django_upstash.wire.deadlines import after_last_look, within
from django_upstash.wire.endpoint import Endpoint
from django_upstash.wire.http import Response, ResponseReader, check_tunnel, checked, connect_failure
from django_upstash.wire.pool import IDLE_BEFORE_CHECK
from django_upstash.wire.tls import tls_context
from django_upstash.wire.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings


Wire = TypeVar("Wire", bound="AsyncHttpWire")
_LONGEST_HEAD = 65536  # of a proxy's answer


class AsyncHttpWire(asyncio.Protocol):
    """One kept-alive connection in an event loop."""

    transport: asyncio.Transport | None = None

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader()
        self._answer: asyncio.Future[Response] | None = None
        self._idle_since = monotonic()
        self._head: bytearray | None = None  # of a proxy's answer, while a tunnel is asked for
        self._tunnel: asyncio.Future[bytes] | None = None
        self._lost = False
        self._timer: asyncio.Handle | None = None
        self.place: object = None
        self.has_sent = self.has_answered = False
        self.flow = Flow()

    def is_usable(self, *, verify: bool) -> bool:
        """Tell whether the connection can carry a request; it is looked at when it was idle, or with ``verify``."""
        if self._lost or transports.is_closing(self.transport) or not self._reader.keeps_alive:
            return False
        idle = monotonic() - self._idle_since
        if not verify and idle < IDLE_BEFORE_CHECK:
            return True
        return idle < self._settings.idle_check and not transports.has_news(self.transport)

    def write(self, data: bytes) -> None:
        """Send bytes; raise ``ConnectionError`` where the transport does not take them."""
        self.flow.sent += len(data)
        try:
            self.transport.write(data)  # type: ignore[union-attr]  # a wire that is used is connected
        except Exception as error:
            raise self._broken(error) from error

    async def exchange(self, payload: bytes, deadline: float) -> Response:
        """Send a request and return its response; raise when it is not whole before the deadline."""
        self.has_sent = False
        if self._lost:
            raise closed_error()
        answer = self._answer = self._loop.create_future()
        timer = self._loop.call_later(max(deadline - monotonic(), 0), self._look_again, answer)
        self._reader.request_size = len(payload)
        try:
            self.has_sent = True
            self.write(payload)
            response = checked(await answer, self._settings.safe_url)
        except BaseException:
            self.abort(closed_error())  # the response may still come, and would answer the next request
            raise
        finally:
            timer.cancel()
            self._answer = None
            self._idle_since = monotonic()
        self.has_answered = True
        return response

    async def open_tunnel(self, request: bytes) -> None:
        """Ask a proxy for a tunnel and wait for its consent."""
        self._head, self._tunnel = bytearray(), self._loop.create_future()
        self.transport.write(request)  # type: ignore[union-attr]
        check_tunnel(await self._tunnel)
        self._head = self._tunnel = None

    def abort(self, error: UpstashError) -> None:
        self._fail(error)
        if self.transport is not None:
            transports.abort(self.transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a loop's own class, which need not be one of asyncio's
        transports.keep_alive(transport)

    def data_received(self, data: bytes) -> None:
        if self._head is not None and self._tunnel is not None:
            self._take_head(data)
            return
        self.flow.received += len(data)
        try:
            response = self._reader.feed(data)
        except Exception as error:
            del data  # which may echo the token, and reports show the variables of frames
            self.abort(error if isinstance(error, UpstashError) else self._broken(error))
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
            self._fail(self._broken(error))
            return
        try:
            self._answer.set_result(self._reader.end())
        except UpstashError as truncated:
            self._fail(truncated)

    def _take_head(self, data: bytes) -> None:
        if self._head is None or self._tunnel is None or self._tunnel.done():
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._tunnel.set_result(SecretBytes(self._head))
        elif len(self._head) > _LONGEST_HEAD:
            self._tunnel.set_exception(ProtocolError("The proxy's answer to CONNECT does not end."))

    def _broken(self, error: Exception) -> ConnectionError:
        failure = ConnectionError(f"The connection to {self._settings.safe_url} broke before the answer was whole.")
        failure.__cause__ = error
        return failure

    def _look_again(self, answer: asyncio.Future[Response]) -> None:
        """The deadline has passed: what is here by now, or being read, is still the answer."""

        def is_coming() -> bool:
            return not answer.done() and transports.has_news(self.transport)

        after_last_look(self._loop, is_coming, partial(self._expire, answer))

    def _expire(self, answer: asyncio.Future[Response]) -> None:
        if not answer.done():
            self.abort(TimeoutError(f"{self._settings.safe_url} did not answer within {self._settings.timeout:g} s."))

    def _fail(self, error: UpstashError) -> None:
        self._lost = self.flow.ended = True
        for future in (self._answer, self._tunnel):
            if future is not None and not future.done():
                future.set_exception(error)


async def connect(
    endpoint: Endpoint, settings: ConnectionSettings, make: Callable[[ConnectionSettings], Wire]
) -> tuple[Wire, float]:
    """
    Open a connection in the running loop: TCP, a proxy's tunnel, TLS. ``make`` is the class of its wire.

    Returns the wire and the seconds used, without those in which other code blocked the loop.
    """
    seconds = settings.connect_seconds
    wires: list[Wire] = []

    def made() -> Wire:
        wires.append(make(settings))
        return wires[-1]

    try:
        async with within(seconds) as spent:
            await _open(endpoint, settings, made)
    except BaseException as error:
        for wire in wires:
            wire.abort(closed_error())
        if isinstance(error, OSError):
            raise connect_failure(error, ":".join(map(str, endpoint.dialled)), seconds) from error
        raise
    return wires[-1], spent.used


async def _open(endpoint: Endpoint, settings: ConnectionSettings, made: Callable[[], Wire]) -> None:
    loop = asyncio.get_running_loop()
    context = tls_context(settings) if endpoint.is_tls else None
    direct = context if endpoint.proxy is None else None
    host, port = endpoint.dialled
    name = endpoint.host if direct is not None else None
    seconds = settings.connect_seconds
    transport, wire = await transports.connect(made, host, port, seconds, ssl=direct, server_hostname=name)
    if context is not None and direct is None:
        await wire.open_tunnel(SecretBytes(endpoint.tunnel_request()))
        tunnelled = await loop.start_tls(transport, wire, context, server_hostname=endpoint.host)
        if tunnelled is None:  # so asyncio, where the connection is lost meanwhile
            raise ConnectionError("The proxy closed the connection while TLS was set up.")
        wire.transport = tunnelled
