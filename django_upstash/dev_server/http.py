"""HTTP/1.1 on a loopback socket: requests of one connection are answered in the order in which they came."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

import httptools

from django_upstash.dev_server.messages import Delivery, ServerRequest, ServerResponse

LARGEST_HEAD = 128 * 1024  # beyond the first piece that arrives
LARGEST_BODY = 10 * 1024 * 1024
# A client that sends too much is heard out, up to here: closing at once would destroy the answer on its way.
_MOST_DISCARDED = 8 * LARGEST_BODY
_MOST_WAITING = 64
# Close with RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


class HttpConnection(asyncio.Protocol):
    """A client's connection. ``respond`` turns a request into a response and never raises."""

    def __init__(
        self, respond: Callable[[ServerRequest], Awaitable[ServerResponse]], open_connections: set[HttpConnection]
    ) -> None:
        self._respond = respond
        self._open_connections = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[ServerRequest | ServerResponse] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._head_size = 0
        self._in_head = self._refused = False
        self.task: asyncio.Task[None] | None = None

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open_connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refused = True  # the request is answered, and then the connection closes
        except httptools.HttpParserError:
            self._refuse(ServerResponse.error(400, "ERR this is not an HTTP/1.1 request that the server can read"))
        if self._in_head and self._head_size > LARGEST_HEAD:
            self._refuse(ServerResponse.error(431, f"ERR the request's URL and headers exceed {LARGEST_HEAD} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.discard(self)
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        self._transport.abort()

    # Called by the parser

    def on_message_begin(self) -> None:
        self._in_head, self._head_size = True, 0
        self._target = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer
        name = name.lower()
        # Whoever sends a header twice means neither; joined, they are no host and no token.
        self._headers[name] = b"%b,%b" % (self._headers[name], value) if name in self._headers else value

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self.task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= LARGEST_BODY:
            self._body.append(data)
        elif self._size > _MOST_DISCARDED:
            self.abort()

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        body = b"".join(self._body)
        self._enqueue(ServerRequest(method, bytes(self._target), self._headers, body, self._size, keep_alive))

    # The answers

    def _refuse(self, response: ServerResponse) -> None:
        self._refused = True
        self._enqueue(response)

    def _enqueue(self, message: ServerRequest | ServerResponse) -> None:
        self._waiting.append(message)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._answer_all())
        elif len(self._waiting) > _MOST_WAITING:
            self._transport.pause_reading()

    async def _answer_all(self) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            if isinstance(message, ServerResponse):
                await self._deliver(message, keep_alive=False)
            else:
                await self._deliver(await self._respond(message), keep_alive=message.keep_alive)
            if self._transport.is_closing():
                break
        self.task = None
        self._transport.resume_reading()

    async def _deliver(self, response: ServerResponse, *, keep_alive: bool) -> None:
        try:
            if response.delivery is Delivery.RESET:
                self._reset()
            elif response.delivery is not Delivery.NOTHING:
                await self._write(response, keep_alive=keep_alive)
        finally:
            if response.events is not None:
                response.events.close()
        if not keep_alive or response.delivery is not Delivery.WHOLE or response.events is not None:
            self._transport.close()

    async def _write(self, response: ServerResponse, *, keep_alive: bool) -> None:
        self._transport.write(response.head(keep_alive=keep_alive) + response.sent_body)
        await self._writable.wait()
        if response.events is not None:
            async for event in response.events:
                self._transport.write(event)
                await self._writable.wait()

    def _reset(self) -> None:
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.abort()
