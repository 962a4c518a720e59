"""
The native route: redis-py's ``Connection`` opens the wire (TCP, unix socket, TLS, AUTH, SELECT), hiredis reads it.

Between the two the path of a call is short: pack, send, receive, read. Timeouts sit in the kernel where they can
(``SO_RCVTIMEO``), which saves the two polls that Python makes around every send and receive of a timed socket.
"""

from __future__ import annotations

import inspect
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

import hiredis
import redis
from redis.connection import AbstractConnection, Connection, UnixDomainSocketConnection

from django_upstash.exceptions import (
    ConnectionError,
    DataError,
    ExecAbortError,
    ProtocolError,
    TimeoutError,
    UpstashError,
    server_error,
)
from django_upstash.operations import Argument, Command, Reply
from django_upstash.routes.base import aborted, refuse_stateful
from django_upstash.routes.lanes import Entry, Lane, nothing
from django_upstash.routes.pooled import PooledRoute
from django_upstash.routes.sockets import FITS_THE_KERNEL, is_quiet, receive_before, send_before, timeout_setter
from django_upstash.routes.tls import tls_context
from django_upstash.traffic import Flow

if TYPE_CHECKING:
    import ssl

    from django_upstash.conf import ConnectionSettings

MORE: Final = object()  # what a reader returns when the reply is not all there yet
_READ_SIZE = 65536
# redis-py 8 announces itself unless told not to by the first of these, redis-py 6 and 7 by the others.
UNANNOUNCED: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}
)


class NativeRoute(PooledRoute["NativeWire", "list[Reply]"]):
    """Commands over the Redis protocol, on at most ``MAX_CONNECTIONS`` connections and one for each event loop."""

    name = "native"

    def execute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> list[Reply]:
        if not commands:
            return []
        transaction = atomic and len(commands) > 1
        payload = pack(commands, transaction)
        replies = self._exchange(payload, len(commands) + 2 * transaction, commands, replay_safe)
        return unwrap(replies) if transaction else replies

    def aexecute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> Awaitable[list[Reply]]:
        # No coroutine of its own: the caller awaits what the lane promises.
        if atomic and len(commands) > 1:
            return self._transaction(commands, replay_safe)
        if not commands:
            return nothing()
        return self._lanes.current().submit(
            Entry(pack(commands), len(commands), commands, replay_safe, self.settings.retries)
        )

    async def _transaction(self, commands: Sequence[Command], replay_safe: bool | None) -> list[Reply]:
        payload = pack(commands, transaction=True)
        entry = Entry(payload, len(commands) + 2, commands, replay_safe, self.settings.retries)
        return unwrap(await self._lanes.current().submit(entry))

    def address(self) -> ConnectionSettings:
        """Return the settings whose URL is to be dialled; asked each time a connection is opened."""
        return self.settings

    def _open(self) -> NativeWire:
        return NativeWire(self.address())

    def _make_lane(self, send_in_thread: Callable[[list[Entry]], None]) -> Lane:
        from django_upstash.routes.native_async import NativeLane

        return NativeLane(send_in_thread, self.address, self._timeout, lambda flow: self.traffic.watch(flow))

    def _exchange_batch(self, batch: list[Entry]) -> list[Reply]:
        payload = b"".join([entry.payload for entry in batch])
        safe = all(entry.is_replay_safe() for entry in batch)
        return self._exchange(payload, sum(entry.count for entry in batch), (), safe)


class NativeWire:
    """One connection: sends packed commands and reads as many replies."""

    epoch: object = None
    is_reusable = True

    def __init__(self, settings: ConnectionSettings) -> None:
        self._connection = make_connection(settings, parser_class=_Parser)
        try:
            self._connection.connect()  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            failure = translate(error)
            # redis-py's frames hold the password, and pages of errors show what frames hold.
            cause = None if failure is error else error.with_traceback(None)
            raise failure.with_traceback(None) from cause
        parser = cast(_Parser, self._connection._parser)
        self._parser = parser
        self._socket = parser.socket
        self._timeout = settings.timeout
        self._limit = timeout_setter(self._socket)
        self._limit(self._timeout)
        self._nearly_timeout = 0.95 * self._timeout
        self._buffer = bytearray(_READ_SIZE)
        self.flow = Flow()
        self.idle_since = monotonic()
        self.has_sent = False

    def exchange(self, payload: bytes, count: int, deadline: float) -> list[Reply]:
        """Send packed commands and return their ``count`` replies; raise when they are not all there in time."""
        self.has_sent = False
        sock, buffer, gets = self._socket, self._buffer, self._parser.reader.gets
        # What connecting or a first attempt took is the answer's loss: a whole timeout is only for who has it all left.
        is_whole = deadline - monotonic() > self._nearly_timeout
        if is_whole and len(payload) <= FITS_THE_KERNEL:
            sock.sendall(payload)
        else:
            self._send_before(payload, deadline)
        self.has_sent = True
        self.flow.sent += len(payload)
        received = sock.recv_into(buffer) if is_whole else self._receive_before(deadline)
        replies: list[Reply] = []
        while True:
            if not received:
                raise ConnectionError("The server closed the connection before it answered.")
            self.flow.received += received
            self._parser.reader.feed(buffer, 0, received)
            while (reply := gets()) is not MORE:
                replies.append(reply)
            if len(replies) >= count:
                break
            received = self._receive_before(deadline)
        if self._parser.fatal is not None or len(replies) > count:
            raise self._parser.fatal or ProtocolError("The server sent more replies than it was sent commands.")
        return replies

    def is_alive(self) -> bool:
        return is_quiet(self._socket)

    def close(self) -> None:
        self.flow.ended = True
        self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _send_before(self, payload: bytes, deadline: float) -> None:
        try:
            send_before(self._socket, payload, self._limit, deadline)
        finally:
            self._limit(self._timeout)

    def _receive_before(self, deadline: float) -> int:
        try:
            return receive_before(self._socket, self._buffer, self._limit, deadline)
        finally:
            self._limit(self._timeout)


class _Parser:
    """redis-py's parser interface over a hiredis reader that makes this package's errors."""

    def __init__(self, socket_read_size: int) -> None:
        self.fatal: ConnectionError | None = None

    def on_connect(self, connection: Any) -> None:
        self.socket: socket.socket = connection._sock
        self.reader = make_reader(self._error)
        self.fatal = None

    def on_disconnect(self) -> None:
        pass

    def can_read(self, timeout: float = 0) -> bool:
        return not is_quiet(self.socket)

    def read_response(self, disable_decoding: bool = False, **ignored: Any) -> Any:
        """Read one reply of the handshake."""
        while (reply := self.reader.gets()) is MORE:
            received = self.socket.recv(_READ_SIZE)
            if not received:
                raise ConnectionError("The server closed the connection during the handshake.")
            self.reader.feed(received)
        if isinstance(reply, redis.ConnectionError):
            raise reply
        return reply

    def _error(self, text: str) -> Exception:
        error = server_error(text)
        if isinstance(error, ConnectionError):
            self.fatal = error
        return error


class _TLSConnection(Connection):
    """redis-py's connection with the shared TLS context: its own reads every authority at each connect."""

    def __init__(self, tls: ssl.SSLContext, **kwargs: Any) -> None:
        self._tls = tls
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        sock = super()._connect()  # type: ignore[no-untyped-call]
        try:
            return self._tls.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise


def make_connection(settings: ConnectionSettings, **extra: Any) -> AbstractConnection:
    """Return redis-py's connection object for these settings, not yet connected and with no needless handshake."""
    kwargs = {
        **connection_kwargs(settings),
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.connect_seconds,
        "protocol": 2,
        **UNANNOUNCED,
        **extra,
    }
    if "path" in kwargs:
        return UnixDomainSocketConnection(**kwargs)  # type: ignore[abstract, no-untyped-call]
    kwargs["socket_keepalive"] = True
    if settings.scheme == "rediss":
        return _TLSConnection(tls_context(settings), **kwargs)
    return Connection(**kwargs)  # type: ignore[no-untyped-call]


def connection_kwargs(settings: ConnectionSettings) -> dict[str, Any]:
    """Return what the settings say, in redis-py's words: host and port or path, user, password, database."""
    username, password = settings.user_and_password
    kwargs: dict[str, Any] = {"username": username, "password": password, "db": settings.database}
    if settings.scheme == "unix":
        return {**kwargs, "path": unquote(settings.parts.path)}
    return {**kwargs, "host": settings.parts.hostname, "port": settings.parts.port or 6379}


def make_reader(on_error: Callable[[str], Exception]) -> Any:
    """Return a hiredis reader whose error replies ``on_error`` makes, and which returns ``MORE`` when it needs more."""
    return hiredis.Reader(protocolError=ProtocolError, replyError=on_error, notEnoughData=MORE)


def translate(error: redis.RedisError) -> UpstashError:
    """Return this package's error for one that redis-py raised while it connected."""
    if isinstance(error, ConnectionError | TimeoutError):
        return error
    if isinstance(error, redis.TimeoutError):
        return TimeoutError(f"{error}; nothing was sent.")
    if isinstance(error, redis.ResponseError):
        return ConnectionError(f"The server refused the handshake: {error}")
    return ConnectionError(str(error))


def pack(commands: Sequence[Command], transaction: bool = False, *, stateful: bool = False) -> bytes:
    """Return the commands in the Redis protocol; raise ``DataError`` for an argument that has no bytes of its own."""
    if not stateful:
        refuse_stateful(commands)
    try:
        if len(commands) == 1:
            command = commands[0]
            if _NEEDS_NO_LOOK.issuperset(map(type, command)):
                return cast(bytes, hiredis.pack_command(command))  # type: ignore[arg-type]
            return _pack_one(command)
        packed = b"".join(map(_pack_one, commands))
    except UnicodeEncodeError:
        raise DataError("An argument has a lone surrogate, which UTF-8 cannot carry; send bytes instead.") from None
    return b"*1\r\n$5\r\nMULTI\r\n%b*1\r\n$4\r\nEXEC\r\n" % packed if transaction else packed


_NEEDS_NO_LOOK = frozenset({str, bytes, float})


def _pack_one(command: Command) -> bytes:
    if not _NEEDS_NO_LOOK.issuperset(map(type, command)):
        command = tuple([_plain(argument) for argument in command])
    return cast(bytes, hiredis.pack_command(command))  # type: ignore[arg-type]


def _plain(argument: Argument) -> Argument:
    """Return an argument as hiredis takes it; members of an ``Enum`` and the like as the values they are."""
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, str):
        return str.__str__(argument)
    if isinstance(argument, bool) or not isinstance(argument, float | int):
        raise DataError(f"An argument is {type(argument).__name__}; commands take str, bytes, int and float.")
    if isinstance(argument, float):
        return float(argument)
    # hiredis crashes the process on integers of thousands of digits.
    if argument.bit_length() > 64:
        raise DataError("An integer argument has more than 64 bits; send it as str.")
    return int(argument)


def unwrap(replies: list[Reply]) -> list[Reply]:
    """Return the replies of the commands between MULTI and EXEC."""
    executed = replies[-1]
    if isinstance(executed, list):
        return executed
    queued = replies[1:-1]
    cause = next((reply for reply in queued if isinstance(reply, Exception)), executed)
    if not isinstance(executed, ExecAbortError | None):
        return [executed] * len(queued)
    return aborted(len(queued), cause)
