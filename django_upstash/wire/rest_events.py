"""
Server-sent events over REST: one response without an end, and the events in it as they come.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import asyncio
import builtins
import json
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from django_upstash.credentials import SecretBytes
from django_upstash.exceptions import (
    ConnectionError,
    ProtocolError,
    ServiceUnavailableError,
    TimeoutError,
    UpstashError,
)
from django_upstash.wire.batching import closed_error
from django_upstash.wire.endpoint import Endpoint
from django_upstash.wire.http import Response, ResponseReader, checked, unexpected
from django_upstash.wire.http_async import AsyncHttpWire, connect
from django_upstash.wire.rest_encoding import decode_item, is_redis_error
from django_upstash.wire.traffic import Traffic

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings


class EventDecoder:
    """
    Makes events of bytes: the ``data`` lines up to an empty line.

    A stream ends its lines in LF or in CRLF, and the first line shows which. A lone CR, which the standard takes for
    the end of a line as well, is part of the data: servers write messages as they are.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._ending: bytes | None = None

    def feed(self, received: bytes) -> list[bytes]:
        """Take in bytes and return the events that are whole by now."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        if len(self._rest) > self._most_bytes:
            raise ProtocolError("The server sent an event larger than MAX_REQUEST_SIZE.")
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> bytes | None:
        if self._ending is None:
            self._ending = b"\r" if line.endswith(b"\r") else b""
        line = line.removesuffix(self._ending)
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        data, self._data = self._data, []
        return b"\n".join(data) if data else None


class EventReader(ResponseReader):
    """Reads a response whose body is events; one that is anything else is collected, to say why."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._decoder = EventDecoder(most_bytes)
        self._is_stream = False
        self._events: list[bytes] = []
        self.has_opened = False

    def take(self) -> list[bytes]:
        """Return the events read since the last time."""
        events, self._events = self._events, []
        return events

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_stream = False

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if name.lower() == b"content-type":
            self._is_stream = value.strip().lower().startswith(b"text/event-stream")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.has_opened = self._is_stream and self._status == 200

    def on_body(self, body: bytes) -> None:
        if self.has_opened:
            self._events += self._decoder.feed(body)
        else:
            super().on_body(body)


class EventWire(AsyncHttpWire):
    """A connection that is read, not asked: what it receives waits until somebody takes it."""

    def __init__(self, settings: ConnectionSettings) -> None:
        super().__init__(settings)
        self._received: deque[bytes] = deque()
        self._news = asyncio.Event()

    def send(self, request: bytes) -> None:
        self.write(request)

    async def read(self, seconds: float | None) -> bytes | None:
        """Return what was received, b"" at the end of the stream, None after so many seconds of silence."""
        try:
            async with asyncio.timeout(seconds):
                while not self._received and not self._lost:
                    self._news.clear()
                    await self._news.wait()
        except builtins.TimeoutError:
            return None
        return self._received.popleft() if self._received else b""

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            super().data_received(data)
            return
        self.flow.received += len(data)
        self._received.append(SecretBytes(data))  # the server may echo the token
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._news.set()


class EventStream:
    """The events of one response."""

    def __init__(self, wire: EventWire, path: str, settings: ConnectionSettings) -> None:
        self._wire = wire
        self._path = path
        self._reader = EventReader(2 * settings.max_request_size)
        self._where = settings.safe_url
        self._has_ended = False

    async def begin(self, request: bytes, seconds: float) -> None:
        """Send the request and wait until the server has accepted it; raise its refusal."""
        self._wire.send(request)
        deadline = monotonic() + seconds
        while not self._reader.has_opened:
            received = await self._wire.read(max(0.0, deadline - monotonic()))
            if received is None:
                raise TimeoutError(f"{self._where} did not answer within {seconds:g} s.")
            whole = self._reader.feed(received) if received else self._reader.end()
            self._has_ended = whole is not None
            if whole is not None and not self._reader.has_opened:
                raise _refusal(whole, self._path, self._where)

    async def receive(self, seconds: float | None) -> list[bytes] | None:
        """
        Return the events that have come, [] for a sign of life without one, None after so many seconds of silence.

        Raises ``ConnectionError`` where the stream has ended.
        """
        events = self._reader.take()
        if not events and not self._has_ended:
            received = await self._wire.read(seconds)
            if received is None:
                return None
            self._has_ended = not received or self._reader.feed(received) is not None
            events = self._reader.take()
        if self._has_ended and not events:
            raise ConnectionError(f"{self._where} ended the stream of events.")
        return events

    def close(self) -> None:
        self._wire.abort(closed_error())


async def open_events(
    request: bytes, path: str, endpoint: Endpoint, settings: ConnectionSettings, traffic: Traffic
) -> EventStream:
    """Open a connection of its own for a stream of events at a path, and wait until it has begun."""
    wire, _ = await connect(endpoint, settings, EventWire)
    traffic.watch(wire.flow)
    stream = EventStream(wire, path, settings)
    try:
        await stream.begin(request, settings.timeout)
    except BaseException:
        stream.close()
        raise
    return stream


def _refusal(response: Response, path: str, where: str) -> UpstashError:
    """Return the error for a response that is no stream: the database's own, or that the server has none here."""
    try:
        checked(response, where)
    except ServiceUnavailableError as error:
        return error
    except ConnectionError:
        pass  # it is not even JSON
    if response.status in (401, 403):
        return unexpected(response, where)
    if is_redis_error(response.body):
        refusal = decode_item(json.loads(response.body), True)
        if isinstance(refusal, UpstashError):
            return refusal
    verb = path.split("/")[1]
    return ProtocolError(f"{where} answered HTTP {response.status} and no events: this server has no /{verb}.")
