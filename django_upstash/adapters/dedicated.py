"""
Connections of one caller's own, for what a shared connection cannot do: WATCH, blocking pops, publish/subscribe.

They are redis-py's, behind the interface of its connection pool, so that its pipelines, ``PubSub`` and ``Monitor`` take
them from here. Only the native route has them: over REST asking for one is an error, at once.
"""

from __future__ import annotations

import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias, cast

import redis
from redis._parsers import _HiredisParser

from django_upstash.adapters import blocking
from django_upstash.adapters.commands import encode
from django_upstash.credentials import SecretBytes
from django_upstash.exceptions import ConnectionError, NotOverRestError, TimeoutError, UpstashError
from django_upstash.forks import check_fork, reset_after_fork
from django_upstash.operations import Command, Reply
from django_upstash.wire.error_lines import server_error
from django_upstash.wire.places import Place
from django_upstash.wire.pool import Pool
from django_upstash.wire.sockets import is_quiet

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.native import NativeRoute
    from django_upstash.wire.shared_connection import SharedConnection

# One of redis-py's connection classes, whose annotations differ from version to version.
RedisConnection: TypeAlias = Any


class Forkable(Protocol):
    def after_fork(self) -> None:
        """In a forked child: forget the parent's connections without touching them."""


_pools: weakref.WeakSet[Forkable] = weakref.WeakSet()


def track(pool: Forkable) -> None:
    """Have a pool start afresh in every forked child."""
    _pools.add(pool)


class ErrorParser(_HiredisParser):
    """redis-py's parser, making this package's errors, which do not echo arguments."""

    # Of the handshake, in ``monotonic()`` time: an answer that drips would renew the socket's own timeout.
    deadline: float | None = None

    def read_from_socket(self, *arguments: Any, **options: Any) -> Any:
        if self.deadline is not None:
            self._sock.settimeout(max(self.deadline - monotonic(), 0.001))
        return super().read_from_socket(*arguments, **options)  # type: ignore[no-untyped-call]

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        return server_error(response)


class Packer:
    """redis-py's interface of what packs commands; its own hands hiredis integers that crash the process."""

    def pack(self, *arguments: Any) -> list[bytes]:
        from django_upstash.wire.packing import pack

        return [SecretBytes(pack([encode(arguments)], stateful=True))]


class DedicatedWire:
    """One redis-py connection, as ``Pool`` keeps it."""

    place: Place | None = None
    haste: Place | None = None

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self.idle_since = self.taken = monotonic()

    def is_alive(self) -> bool:
        sock = self.connection._sock
        return sock is not None and is_quiet(sock)

    def close(self) -> None:
        self.connection.disconnect()


class DedicatedConnections(redis.ConnectionPool):
    """
    At most ``MAX_CONNECTIONS`` connections beside the route's own, each lent to one caller at a time.

    Who finds all of them lent waits in line up to ``POOL_TIMEOUT`` seconds and gets ``PoolTimeoutError``.
    """

    def __init__(self, connection: SharedConnection) -> None:
        super().__init__(**shown_kwargs(connection.settings))
        self.owner = connection
        self._settings = connection.settings
        self._wires = Pool(self._open, self._settings.max_connections, self._settings.pool_seconds)
        self._lent: dict[RedisConnection, DedicatedWire] = {}
        track(self)
        connection.close_with(self)

    def __repr__(self) -> str:
        return f"<DedicatedConnections of {self.owner!r}>"

    def require(self, what: str, instead: str = "") -> None:
        """Raise ``NotOverRestError`` where there are no connections to lend; ``instead`` says what REST can do."""
        require(self._settings, what, instead)

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> RedisConnection:
        """Return an open connection for the caller's sole use, until it is released."""
        self.require("This")
        wire = self._wires.acquire()
        # The pool does not look at a wire that was in use a moment ago, nor replaces one that has been idle for long:
        # what is sent here is never sent again.
        while monotonic() - wire.idle_since > self._settings.idle_check or not wire.is_alive():
            self._wires.discard(wire)
            wire = self._wires.acquire()
        self._lent[wire.connection] = wire
        return wire.connection

    def release(self, connection: RedisConnection) -> None:
        """Take a connection back; one that its borrower has disconnected makes room for a new one."""
        check_fork()
        wire = self._lent.pop(connection, None)
        if wire is None:
            return  # a forked child returns what its parent had borrowed
        if connection._sock is None:
            self._wires.discard(wire)
        else:
            self._wires.release(wire)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections that are not lent, and end what the others are waiting for."""
        check_fork()
        self._wires.close()
        for connection in list(self._lent) if inuse_connections else ():
            sock = connection._sock
            if sock is not None:
                # The borrower, in another thread, reads the end of the stream and closes the socket itself.
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def make_connection(self) -> RedisConnection:
        from django_upstash.wire.native_connection import make_connection

        address = cast("NativeRoute", self.owner.route).address()
        deadline = monotonic() + address.connect_seconds
        return make_connection(address, deadline, parser_class=ErrorParser, command_packer=Packer())

    def run(self, command: Command) -> Reply:
        """Run a blocking command; its own timeout is added to the connection's."""
        self.require(f"{named(command)} waits for its answer and", f"poll with {blocking.without_waiting(command)}")
        connection, began = self.get_connection(), monotonic()
        try:
            with waiting(connection, patience(command, self._settings)):
                connection.send_command(*command)
                reply: Reply = connection.read_response()
                return reply
        except redis.RedisError as error:
            if isinstance(error, redis.TimeoutError | redis.ConnectionError):
                self._wires.retire(began)  # what befell this connection may have befallen those idle since before
            raise_translated(error, command, self._settings)
        finally:
            self.release(connection)

    def after_fork(self) -> None:
        self._wires.after_fork()
        self._lent = {}

    def _open(self) -> DedicatedWire:
        from django_upstash.wire.native import translate, without_frames

        connection = self.make_connection()
        parser = connection._parser
        parser.deadline = monotonic() + self._settings.connect_seconds
        failure: Exception | None = None
        try:
            connection.connect()
        except redis.RedisError as error:
            failure = without_frames(error, translate(error))
        finally:
            parser.deadline = None
        if failure is not None:
            raise failure
        connection._sock.settimeout(connection.socket_timeout)
        return DedicatedWire(connection)


@contextmanager
def waiting(connection: RedisConnection | None, seconds: float | None) -> Iterator[None]:
    """Let reads of the connection take so many seconds, or for ever, until the end of the block."""
    sock = None if connection is None else connection._sock
    if connection is None or sock is None:
        yield
        return
    sock.settimeout(seconds)
    try:
        yield
    finally:
        if connection._sock is sock:
            sock.settimeout(connection.socket_timeout)


def patience(command: Command, settings: ConnectionSettings) -> float | None:
    """Return how many seconds the answer of a blocking command may take; None: for ever."""
    seconds = blocking.seconds(command)
    return None if seconds is None else seconds + settings.timeout


def require(settings: ConnectionSettings, what: str, instead: str = "") -> None:
    """Raise ``NotOverRestError`` for a connection over REST."""
    if settings.route == "rest":
        mend = f"{instead}, or give {settings.alias!r} a rediss:// URL" if instead else "use a rediss:// URL"
        raise NotOverRestError(f"{what} needs a connection of its own, and REST has none: {mend}.")


def raise_translated(error: redis.RedisError, command: Command, settings: ConnectionSettings) -> NoReturn:
    """Raise this package's error for one that redis-py raised while a command was under way."""
    if isinstance(error, UpstashError):
        raise error
    if isinstance(error, redis.TimeoutError):
        raise TimeoutError(f"{settings.safe_url} did not answer {named(command)} in time.") from error
    raise ConnectionError(f"The connection to {settings.safe_url} broke during {named(command)}.") from error


def shown_kwargs(settings: ConnectionSettings) -> dict[str, Any]:
    """Return what others may read in ``connection_pool.connection_kwargs``: no secrets, and how replies come."""
    return {
        "host": settings.parts.hostname,
        "port": settings.parts.port,
        "db": settings.database,
        "encoding": "utf-8",
        "encoding_errors": "strict",
        "decode_responses": False,
        "protocol": 2,
    }


def named(command: Command) -> str:
    name = command[0]
    return (name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)).upper()


@reset_after_fork
def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()
