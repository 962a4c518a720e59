"""
Faults on the wire: a loopback proxy between a client and any server that delays, cuts, drops and refuses.

    with start_valkey() as server, FaultProxy(server.port) as proxy:
        client = redis.Redis.from_url(proxy.url)
        proxy.close_before_reply()
        client.incr("counter")      # runs on the server, and the client never learns of it

One fault is in force at a time, for all connections: a new one replaces it, ``heal`` ends it. Those that count their
victims end by themselves.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from tests.servers import Certificate, certificate

_CHUNK = 1 << 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
# Control calls are answered by an idle event loop; only a bug makes them wait this long.
_CONTROL_TIMEOUT = 10.0


class Direction(Enum):
    REQUEST = "client to server"
    REPLY = "server to client"


REQUEST, REPLY = Direction


class Stream:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        # Makes `drain` wait until all is with the kernel, so that an abort right after it loses nothing. (asyncio's
        # TLS would wait for ever; there an abort may lose what a slow client had not taken.)
        if writer.get_extra_info("sslcontext") is None:
            writer.transport.set_write_buffer_limits(high=0)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self, *, reset: bool = False) -> None:
        if reset and (sock := self.writer.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        # Not `close`: on TLS that waits for the peer's farewell.
        self.writer.transport.abort()


class Link:
    """One client's connection and the proxy's own to the server."""

    def __init__(self, accepted: socket.socket) -> None:
        self.accepted = accepted
        self.ends: list[Stream] = []
        self.is_closed = False
        self.last_spoke: Direction | None = None
        self.burst_was_forwarded = False

    @property
    def client(self) -> Stream:
        return self.ends[0]

    @property
    def server(self) -> Stream:
        return self.ends[1]

    def close(self, *, reset: bool = False) -> None:
        self.is_closed = True
        if not self.ends:  # in a TLS handshake, which this ends
            with suppress(OSError):
                self.accepted.shutdown(socket.SHUT_RDWR)
        for end in self.ends:
            end.close(reset=reset and end is self.client)


class Hold:
    """Requests that are held back: ``arrived`` once there is one, and on their way once ``released`` is set."""

    def __init__(self) -> None:
        self.arrived, self.released = threading.Event(), threading.Event()


Fault: TypeAlias = Callable[[Link, Direction, bytes], Awaitable[None]]


class FaultProxy:
    """
    A proxy on a loopback port in front of a TCP port of this machine, or of a unix socket.

    ``connections`` counts those accepted, ``round_trips`` the bursts that clients sent after the server's last word on
    the same connection, ``requests_forwarded`` those of them of which the server got to see something. A client that
    sends on before it has its reply makes these two depend on timing.
    """

    scheme = "redis"
    host = "127.0.0.1"

    def __init__(self, upstream: int | str | Path) -> None:
        self._upstream = upstream
        self._fault: Fault = self._forward
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._listener: socket.socket | None = None
        self.connections = self.round_trips = self.requests_forwarded = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/0"

    @property
    def open_connections(self) -> int:
        """How many connections of clients are open."""
        return len(self._links)

    def __enter__(self) -> Self:
        # Holds the port while nobody listens, for `refuse`.
        self._reservation = _bound_socket(0)
        self.port: int = self._reservation.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reservation.close()

    def latency(self, seconds: float) -> None:
        """Hold every burst of a client back before the server gets it."""

        async def fault(link: Link, direction: Direction, data: bytes) -> None:
            if direction is REQUEST:
                await asyncio.sleep(seconds)
            await self._forward(link, direction, data)

        self._fault = fault

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        self._run(self._stop_listening())

    def sever(self) -> None:
        """Close all open connections, and return when they are closed."""
        self._run(self._sever())

    def reset_next(self, after_bytes: int = 0, direction: Direction = REPLY) -> None:
        """Let this many bytes pass in the direction, then reset the connection; once."""
        self._fault = self._cut(direction, after_bytes, times=1, reset=True)

    def close_before_reply(self, n: int = 1) -> None:
        """Deliver the next ``n`` requests, and close their connections in place of their replies."""
        self._fault = self._cut(REPLY, 0, times=n)

    def close_before_request(self, n: int = 1) -> None:
        """Close the connections of the next ``n`` requests without delivering them."""
        self._fault = self._cut(REQUEST, 0, times=n)

    def close_at(self, word: bytes, direction: Direction) -> None:
        """Close the connection of the next request that has this word: before it is delivered, or before its reply."""
        chosen: Link | None = None
        is_done = False

        async def fault(link: Link, passing: Direction, data: bytes) -> None:
            nonlocal chosen, is_done
            if passing is REQUEST and word in data and chosen is None:
                chosen = link
            if link is chosen and passing is direction and not is_done:
                is_done = True
                link.close()
                raise ConnectionAbortedError
            await self._forward(link, passing, data)

        self._fault = fault

    def truncate_reply(self, at: int) -> None:
        """Close the connection after this many bytes of what the server says; once."""
        self._fault = self._cut(REPLY, at, times=1)

    def drop_replies(self) -> None:
        """Deliver requests and keep the replies, as after half a network has gone."""

        async def fault(link: Link, direction: Direction, data: bytes) -> None:
            if direction is REQUEST:
                await self._forward(link, direction, data)

        self._fault = fault

    def blackhole(self) -> None:
        """Accept connections and let nothing pass, either way."""

        async def fault(link: Link, direction: Direction, data: bytes) -> None:
            pass

        self._fault = fault

    def drip(self, bytes_per_step: int, interval: float) -> None:
        """Let replies pass in steps of so many bytes, with ``interval`` seconds after each."""

        async def fault(link: Link, direction: Direction, data: bytes) -> None:
            step = bytes_per_step if direction is REPLY else len(data)
            for start in range(0, len(data), step):
                await self._forward(link, direction, data[start : start + step])
                await asyncio.sleep(interval if direction is REPLY else 0)

        self._fault = fault

    def hold(self, marker: bytes) -> Hold:
        """Hold requests that contain these bytes back, until they are released."""
        held = Hold()

        async def fault(link: Link, direction: Direction, data: bytes) -> None:
            if direction is REQUEST and marker in data:
                held.arrived.set()
                while not held.released.is_set():
                    await asyncio.sleep(0.005)
            await self._forward(link, direction, data)

        self._fault = fault
        return held

    def forget(self) -> None:
        """Let nothing pass on the connections that are open now, as a NAT that has forgotten them; new ones work."""
        forgotten = set(self._links)

        async def fault(link: Link, direction: Direction, data: bytes) -> None:
            if link not in forgotten:
                await self._forward(link, direction, data)

        self._fault = fault

    def lead_to(self, upstream: int) -> None:
        """Connect clients that come from now on to another port."""
        self._upstream = upstream

    def heal(self) -> None:
        """Listen and forward again. What was dropped stays lost."""
        self._fault = self._forward
        self._run(self._listen())

    def _cut(self, direction: Direction, after_bytes: int, *, times: int, reset: bool = False) -> Fault:
        left = after_bytes

        async def fault(link: Link, passing: Direction, data: bytes) -> None:
            nonlocal left, times
            if passing is not direction or times == 0:
                return await self._forward(link, passing, data)
            allowed, left = data[:left], left - len(data)
            if allowed:
                await self._forward(link, passing, allowed)
            if left <= 0:
                times, left = times - 1, after_bytes
                link.close(reset=reset)
                raise ConnectionAbortedError

        return fault

    async def _forward(self, link: Link, direction: Direction, data: bytes) -> None:
        if direction is REPLY:
            return await link.client.send(data)
        self.requests_forwarded += not link.burst_was_forwarded
        link.burst_was_forwarded = True
        return await link.server.send(data)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            self.connections += 1
            link = Link(accepted)
            self._links[link] = self._loop.create_task(self._carry(link))

    async def _carry(self, link: Link) -> None:
        try:
            link.ends.append(await self._wrap(link.accepted))
            link.ends.append(await self._dial())
            if not link.is_closed:
                await self._pump_both_ways(link)
        except OSError:
            link.close(reset=True)
        finally:
            link.close()
            del self._links[link]

    async def _pump_both_ways(self, link: Link) -> None:
        pumps = [asyncio.create_task(self._pump(link, direction)) for direction in Direction]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.close()
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)

    async def _pump(self, link: Link, direction: Direction) -> None:
        source = link.client if direction is REQUEST else link.server
        with suppress(OSError):
            while data := await source.reader.read(_CHUNK):
                self._note_burst(link, direction)
                await self._fault(link, direction, data)

    def _note_burst(self, link: Link, direction: Direction) -> None:
        if direction is REQUEST and link.last_spoke is not REQUEST:
            self.round_trips += 1
            link.burst_was_forwarded = False
        link.last_spoke = direction

    async def _wrap(self, accepted: socket.socket) -> Stream:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, accepted, ssl=self._tls())
        return Stream(reader, asyncio.StreamWriter(transport, protocol, reader, self._loop))

    def _tls(self) -> ssl.SSLContext | None:
        return None

    async def _dial(self) -> Stream:
        if isinstance(self._upstream, int):
            return Stream(*await asyncio.open_connection("127.0.0.1", self._upstream))
        return Stream(*await asyncio.open_unix_connection(self._upstream))

    async def _listen(self) -> None:
        await self._stop_listening()
        self._listener = _bound_socket(self.port)
        self._listener.listen()
        self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _sever(self) -> None:
        severed = list(self._links.items())
        for link, _ in severed:
            link.close()
        if severed:
            await asyncio.wait([task for _, task in severed])

    async def _shut_down(self) -> None:
        await self._stop_listening()
        await self._sever()

    def _run(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(_CONTROL_TIMEOUT)


class TLSProxy(FaultProxy):
    """
    Terminates TLS in front of a server that has none; its faults act on what is inside the TLS.

    For faults on the TLS itself, and to count its round trips, put a ``FaultProxy`` in front of it. ``tickets`` is how
    many session tickets it sends after a handshake, unasked, as servers do; they make the count of round trips depend
    on timing.
    """

    scheme = "rediss"
    host = "localhost"

    def __init__(self, upstream: int | str | Path, made: Certificate | None = None, *, tickets: int = 0) -> None:
        super().__init__(upstream)
        self.certificate = made or certificate()
        self.tickets = tickets

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.num_tickets = self.tickets
        context.load_cert_chain(self.certificate.cert_file, self.certificate.key_file)
        return context


def _bound_socket(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", port))
    return sock
