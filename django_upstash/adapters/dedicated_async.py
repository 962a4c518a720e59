"""Connections of one task's own, as in ``dedicated.py``, for asyncio: each event loop has its own."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import redis
import redis.asyncio
from redis._parsers import _AsyncHiredisParser
from redis.asyncio.connection import Connection as TCPConnection
from redis.asyncio.connection import UnixDomainSocketConnection

from django_upstash import exceptions
from django_upstash.adapters import blocking
from django_upstash.adapters.dedicated import (
    RedisConnection,
    named,
    patience,
    raise_translated,
    require,
    shown_kwargs,
    track,
)
from django_upstash.forks import ForkSafeLock, check_fork
from django_upstash.operations import Command, Reply
from django_upstash.wire import transports
from django_upstash.wire.deadlines import within
from django_upstash.wire.error_lines import server_error
from django_upstash.wire.native import translate, without_frames
from django_upstash.wire.native_connection import UNANNOUNCED
from django_upstash.wire.pool import all_in_use
from django_upstash.wire.tls import tls_context

if TYPE_CHECKING:
    import ssl

    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.native import NativeRoute
    from django_upstash.wire.shared_connection import SharedConnection

_slots = itertools.count()
# In a forked child, what the parent's loops had open. It is kept: closing a transport would take the parent's socket
# out of the epoll set that both processes share.
_parents: list[LoopConnections] = []


class AsyncErrorParser(_AsyncHiredisParser):
    """redis-py's parser, making this package's errors, which do not echo arguments."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        return server_error(response)


class AsyncDedicatedConnections(redis.asyncio.ConnectionPool):
    """At most ``MAX_CONNECTIONS`` connections for each event loop, each lent to one task at a time."""

    def __init__(self, connection: SharedConnection) -> None:
        super().__init__(**shown_kwargs(connection.settings))
        self.owner = connection
        self._settings = connection.settings
        self._loops_lock = ForkSafeLock()
        self._start()
        track(self)
        connection.close_with(self)

    def __repr__(self) -> str:
        return f"<AsyncDedicatedConnections of {self.owner!r}>"

    def require(self, what: str, instead: str = "") -> None:
        """Raise ``NotOverRestError`` where there are no connections to lend; ``instead`` says what REST can do."""
        require(self._settings, what, instead)

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> RedisConnection:
        """Return an open connection for the caller's sole use, until it is released."""
        self.require("This")
        return await self._of_running_loop().acquire()

    async def release(self, connection: RedisConnection) -> None:
        """Take a connection back; one that its borrower has disconnected makes room for a new one."""
        self._of_running_loop().release(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections of every loop."""
        self.close()

    def close(self) -> None:
        """Close the connections of every loop, each in its own thread."""
        with self._loops_lock:
            loops = list(self._loops.items())
        for connections, loop in loops:
            running = loop()
            if running is not None:
                with suppress(RuntimeError):  # a closed loop has closed its connections
                    running.call_soon_threadsafe(connections.close)

    def make_connection(self) -> RedisConnection:
        return make_connection(cast("NativeRoute", self.owner.route).address())

    async def run(self, command: Command) -> Reply:
        """Run a blocking command; its own timeout is added to the connection's."""
        self.require(f"{named(command)} waits for its answer and", f"poll with {blocking.without_waiting(command)}")
        connection = await self.get_connection()
        try:
            with waiting(connection, patience(command, self._settings)):
                await send(connection, command, self._settings.timeout)
                reply: Reply = await connection.read_response()
                return reply
        except redis.RedisError as error:
            raise_translated(error, command, self._settings)
        finally:
            await self.release(connection)

    def after_fork(self) -> None:
        _parents.extend(self._loops)
        self._start()

    def _start(self) -> None:
        # Kept by the loop, so that it lives no longer; the name is new after a fork.
        self._slot = f"_django_upstash_dedicated_{next(_slots)}"
        self._loops: weakref.WeakKeyDictionary[LoopConnections, weakref.ref[asyncio.AbstractEventLoop]] = (
            weakref.WeakKeyDictionary()
        )

    def _of_running_loop(self) -> LoopConnections:
        check_fork()
        loop = asyncio.get_running_loop()
        connections: LoopConnections | None = getattr(loop, self._slot, None)
        if connections is None:
            connections = LoopConnections(self.make_connection, self._settings)
            setattr(loop, self._slot, connections)
            with self._loops_lock:
                self._loops[connections] = weakref.ref(loop)
        return connections


class LoopConnections:
    """The connections of one event loop. Not thread-safe: only the loop's thread touches them."""

    def __init__(self, make: Callable[[], RedisConnection], settings: ConnectionSettings) -> None:
        self._make = make
        self._settings = settings
        self._places = asyncio.Semaphore(settings.max_connections)
        self._idle: list[RedisConnection] = []
        self._lent: set[RedisConnection] = set()
        self._guard: AsyncGenerator[None, None] | None = None

    async def acquire(self) -> RedisConnection:
        await self._close_with_loop()
        try:
            async with asyncio.timeout(self._settings.pool_seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise all_in_use(self._settings.max_connections, self._settings.pool_seconds) from error
        try:
            connection = self._idle_one() or await self._open()
        except BaseException:
            self._places.release()
            raise
        self._lent.add(connection)
        return connection

    def release(self, connection: RedisConnection) -> None:
        if connection not in self._lent:
            return
        self._lent.discard(connection)
        if connection.is_connected:
            self._idle.append(connection)
        self._places.release()

    def close(self) -> None:
        """Close the connections that are not lent, and end what the others are waiting for."""
        idle, self._idle = self._idle, []
        for connection in (*idle, *self._lent):
            abort(connection)

    def _idle_one(self) -> RedisConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if _is_alive(connection):
                return connection
            abort(connection)
        return None

    async def _open(self) -> RedisConnection:
        connection = self._make()
        await open_in_time(connection, self._settings)
        return connection

    async def _close_with_loop(self) -> None:
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


class TLSConnection(TCPConnection):
    """redis-py's connection with the shared TLS context."""

    def __init__(self, tls: ssl.SSLContext, **kwargs: Any) -> None:
        self._tls = tls
        super().__init__(**kwargs)

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._tls}


def make_connection(settings: ConnectionSettings) -> RedisConnection:
    """Return redis-py's asyncio connection for these settings, not yet connected."""
    username, password = settings.user_and_password
    kwargs: dict[str, Any] = {
        "username": username,
        "password": password,
        "db": settings.database,
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.connect_seconds,
        "protocol": 2,
        "parser_class": AsyncErrorParser,
        **UNANNOUNCED,
    }
    if settings.scheme == "unix":
        return UnixDomainSocketConnection(path=unquote(settings.parts.path), **kwargs)
    kwargs |= {"host": settings.parts.hostname, "port": settings.parts.port or 6379, "socket_keepalive": True}
    if settings.scheme == "rediss":
        return TLSConnection(tls_context(settings), **kwargs)
    return TCPConnection(**kwargs)


async def open_in_time(connection: RedisConnection, settings: ConnectionSettings) -> None:
    """Connect, by one deadline whatever the steps; raise this package's errors."""
    failure: Exception | None = None
    try:
        async with within(settings.connect_seconds):
            await connection.connect()
    except redis.RedisError as error:
        failure = without_frames(error, translate(error))
    except TimeoutError:
        text = f"No connection to {settings.safe_url} within {settings.connect_seconds:g} s; nothing was sent."
        failure = exceptions.TimeoutError(text)
    except BaseException:
        abort(connection)
        raise
    if failure is not None:
        abort(connection)
        raise failure
    transports.keep_alive(connection._writer.transport if connection._writer is not None else None)


@contextmanager
def waiting(connection: RedisConnection | None, seconds: float | None) -> Iterator[None]:
    """Let reads of the connection take so many seconds, or for ever, until the end of the block."""
    if connection is None:
        yield
        return
    usual, connection.socket_timeout = connection.socket_timeout, seconds
    try:
        yield
    finally:
        connection.socket_timeout = usual


async def send(connection: RedisConnection, command: Command, seconds: float) -> None:
    """Send a command, within so many seconds."""
    # redis-py would use `asyncio.wait_for`, which before Python 3.12 may lose a cancellation.
    with waiting(connection, None):
        try:
            async with asyncio.timeout(seconds):
                await connection.send_command(*command)
        except TimeoutError as error:
            raise redis.TimeoutError("Timeout writing to socket") from error


def _is_alive(connection: RedisConnection) -> bool:
    reader, writer = connection._reader, connection._writer
    if reader is None or writer is None or reader.at_eof() or transports.is_closing(writer.transport):
        return False
    return not transports.has_news(writer.transport)


def abort(connection: RedisConnection) -> None:
    """Close a connection at once, without the farewell that TLS would wait for."""
    if connection._writer is not None:
        transports.abort(connection._writer.transport)
        connection._close()
