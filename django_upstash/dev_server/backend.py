"""The real Redis behind the local server: a bounded pool of connections, each lent to one request at a time."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import hiredis

from django_upstash.operations import Argument
from django_upstash.settings.hosts import normal_url

BackendReply: TypeAlias = Any  # bytes, int, None, hiredis.ReplyError, or a list of these

CONNECT_TIMEOUT = 5.0  # seconds
MOST_CONNECTIONS = 64
# hiredis declares a tuple of one.
_packed = cast("Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command)
_CLOSED = "The Redis behind this server closed the connection."


class BackendError(Exception):
    """The Redis behind the local server cannot be used; the text says which and why, without its password."""


@dataclass(frozen=True)
class Address:
    """Where a redis://, rediss:// or unix:// URL leads, as redis-py reads it."""

    options: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL; raise ``BackendError`` if it is not a Redis URL."""
        from redis.connection import parse_url

        try:
            options = dict(parse_url(normal_url(url.strip())))  # type: ignore[no-untyped-call]
        except ValueError:
            # redis-py's text may repeat a part of the URL, and a part of a garbled URL may be its password.
            raise BackendError(
                "That is not the address of a Redis; give one such as redis://localhost:6379/0 or unix:///path/of/socket."
            ) from None
        return cls({**options, "tls": url.strip().startswith("rediss")})

    def __str__(self) -> str:
        if "path" in self.options:
            return f"unix://{self.options['path']}"
        return f"{'rediss' if self.options['tls'] else 'redis'}://{self.host}:{self.port}"

    @property
    def host(self) -> str:
        return str(self.options.get("host", "localhost"))

    @property
    def port(self) -> int:
        return int(self.options.get("port", 6379))

    def greeting(self) -> list[tuple[Argument, ...]]:
        """Return the commands that a new connection begins with."""
        password, username, database = (self.options.get(name) for name in ("password", "username", "db"))
        commands: list[tuple[Argument, ...]] = []
        if password is not None:
            commands.append(("AUTH", username, password) if username else ("AUTH", password))
        if database:
            commands.append(("SELECT", database))
        return commands

    def tls_context(self) -> ssl.SSLContext | None:
        if not self.options["tls"]:
            return None
        options = self.options
        context = ssl.create_default_context(
            cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"), cadata=options.get("ssl_ca_data")
        )
        verify = str(options.get("ssl_cert_reqs", "required")).lower()
        context.check_hostname = verify != "none" and options.get("ssl_check_hostname", True)
        context.verify_mode = getattr(ssl, f"CERT_{verify.upper()}", ssl.CERT_REQUIRED)
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
        return context


class BackendConnection(asyncio.Protocol):
    """One connection: commands go out together, and their replies are received in order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._replies: deque[BackendReply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._expected = 0
        self._transport: asyncio.Transport | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self.received = 0
        self.raw: list[bytes] | None = None

    def send(self, commands: Sequence[Sequence[Argument]]) -> None:
        if self._transport is None or self.closed.done():
            raise BackendError(_CLOSED)
        self._transport.write(b"".join([_packed(tuple(command)) for command in commands]))

    async def receive(self, count: int) -> list[BackendReply]:
        """Return the next ``count`` replies; raise ``BackendError`` when the connection ends before them."""
        if len(self._replies) < count:
            if self.closed.done():
                raise BackendError(_CLOSED)
            self._expected = count
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return [self._replies.popleft() for _ in range(count)]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.raw is not None:
            self.raw.append(data)
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._replies.append(reply)
        except hiredis.ProtocolError:
            self.close()
        if self._waiter is not None and len(self._replies) >= self._expected and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(BackendError(_CLOSED))


@dataclass(frozen=True, slots=True)
class Exchange:
    """The replies to some commands, their size on the wire in bytes, and the bytes themselves where asked for."""

    replies: list[BackendReply]
    size: int
    raw: bytes | None


class Backend:
    """The server's way to its Redis. Used by one event loop."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: deque[BackendConnection] = deque()
        self._open: set[BackendConnection] = set()
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)
        self.lacks: frozenset[str] = frozenset()

    async def start(self, wanted: Sequence[str] = ()) -> None:
        """See that the Redis answers, and learn which of the ``wanted`` commands it lacks."""
        first, *known = (await self.exchange([("PING",), *(("COMMAND", "INFO", name) for name in wanted)])).replies
        if isinstance(first, hiredis.ReplyError):
            raise BackendError(f"The Redis at {self._address} refused PING: {first}.")
        self.lacks = frozenset(name for name, reply in zip(wanted, known, strict=True) if reply == [None])

    async def exchange(self, commands: Sequence[Sequence[Argument]], *, raw: bool = False) -> Exchange:
        """Send the commands on a connection of their own and return their replies."""
        async with self._places:
            connection = self._take() or await self.connect()
            try:
                connection.raw = [] if raw else None
                before = connection.received
                connection.send(commands)
                replies = await connection.receive(len(commands))
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            kept = None if connection.raw is None else b"".join(connection.raw)
            return Exchange(replies, connection.received - before, kept)

    async def connect(self) -> BackendConnection:
        """Open a connection beside the pool; the caller closes it."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await self._dial()
                try:
                    await self._greet(connection)
                except BaseException:
                    connection.close()
                    raise
        except (OSError, ssl.SSLError, TimeoutError) as error:
            raise BackendError(f"Cannot reach the Redis at {self._address}: {_reason(error)}.") from error
        return connection

    async def close(self) -> None:
        connections, self._open = self._open, set()
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.closed for connection in connections))

    def _take(self) -> BackendConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed.done():
                return connection
        return None

    async def _dial(self) -> BackendConnection:
        loop, address = asyncio.get_running_loop(), self._address
        if "path" in address.options:
            _, connection = await loop.create_unix_connection(BackendConnection, address.options["path"])
        else:
            context = address.tls_context()
            _, connection = await loop.create_connection(BackendConnection, address.host, address.port, ssl=context)
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    async def _greet(self, connection: BackendConnection) -> None:
        greeting = self._address.greeting()
        connection.send(greeting)
        for reply in await connection.receive(len(greeting)):
            if isinstance(reply, hiredis.ReplyError):
                raise BackendError(
                    f"The Redis at {self._address} refused the URL's user, password or database: {reply}."
                )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return f"no answer within {CONNECT_TIMEOUT:g} seconds"
    return getattr(error, "strerror", None) or str(error)
