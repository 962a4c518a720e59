"""
The native route: redis-py's ``Connection`` opens the wire (TCP, unix socket, TLS, AUTH, SELECT), hiredis reads it.

Between the two the path of a call is short: pack, send, wait, receive, read. Python's own timeouts would poll around
every send as well, and the kernel's (``SO_RCVTIMEO``) begin again whenever a signal interrupts them.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import redis

from django_upstash.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    ExecAbortError,
    ProtocolError,
    ReadOnlyError,
    TimeoutError,
    UpstashError,
)
from django_upstash.operations import Command, Reply
from django_upstash.wire.base import aborted
from django_upstash.wire.batching import Entry, Lane, SendInThread, nothing
from django_upstash.wire.error_lines import server_error
from django_upstash.wire.native_connection import make_connection
from django_upstash.wire.packing import MORE, make_reader
from django_upstash.wire.packing import pack as pack
from django_upstash.wire.retrying import PooledRoute
from django_upstash.wire.sockets import DONT_WAIT, LEAST_WAIT, Line, is_quiet
from django_upstash.wire.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.places import Place

# What a server answers that another connection may not: it became a replica, restarted, or has a new password.
CONDEMNING = (ReadOnlyError, BusyLoadingError, AuthenticationError)
_READ_SIZE = 65536
_PING = b"*1\r\n$4\r\nPING\r\n"


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
        if type(replies) is not list:
            replies = self._send_again(replies, [(commands, transaction)], replay_safe)
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

    def _open(self, deadline: float) -> NativeWire:
        return NativeWire(self.address(), deadline)

    def _make_lane(self, send_in_thread: SendInThread) -> Lane:
        from django_upstash.wire.native_async import NativeLane

        return NativeLane(send_in_thread, self.address, self._timeout, lambda flow: self.traffic.watch(flow))

    def _exchange_batch(self, batch: list[Entry]) -> list[Reply]:
        payload = b"".join([entry.payload for entry in batch])
        safe = all(entry.is_replay_safe() for entry in batch)
        replies = self._exchange(payload, sum(entry.count for entry in batch), (), safe)
        if type(replies) is not list:
            sent = [(entry.commands, entry.count > len(entry.commands)) for entry in batch]
            replies = self._send_again(replies, sent, safe)
        return replies

    def _send_again(
        self, replies: list[Reply], sent: Sequence[tuple[Sequence[Command], bool]], replay_safe: bool | None
    ) -> list[Reply]:
        """
        Return the replies with those of what the server refused sent again on a new wire, once: it has not run.

        ``sent`` are commands, and whether they were a transaction, which is sent again whole.
        """
        self._pool.retire(monotonic())
        parts = list(refused(replies, sent))
        if not parts:
            return list(replies)
        payload = b"".join([pack(commands, transaction) for _, commands, transaction in parts])
        count = sum(place.stop - place.start for place, _, _ in parts)
        commands = [command for _, commands, _ in parts for command in commands]
        fresh = iter(self._exchange(payload, count, commands, replay_safe, getattr(replies, "deadline", 0.0)))
        for place, _, _ in parts:
            replies[place] = list(itertools.islice(fresh, place.stop - place.start))
        for reply in replies:
            if isinstance(reply, ConnectionError):
                raise reply
        return list(replies)


class Refused(list["Reply"]):
    """Replies of a wire that is of no more use: the server it leads to takes no writes, loads, or wants a password."""

    deadline: float = 0.0  # of the exchange; 0 for those that have none


class NativeWire:
    """One connection: sends packed commands and reads as many replies."""

    place: Place | None = None
    haste: Place | None = None

    def __init__(self, settings: ConnectionSettings, deadline: float) -> None:
        self._connection = make_connection(settings, deadline, parser_class=_Parser)
        self._parser = cast(_Parser, self._connection._parser)
        self._parser.deadline = deadline
        failure: Exception | None = None
        try:
            self._connection.connect()  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            failure = without_frames(error, translate(error))
        if failure is not None:
            raise failure
        self._line = self._parser.line
        self._line.set_kernel_timeout(settings.timeout)
        self._buffer = bytearray(_READ_SIZE)
        self.flow = Flow()
        self.idle_since = self.began = self.taken = monotonic()
        self.has_sent = self.has_answered = False
        self.is_reusable = True

    def __del__(self) -> None:
        # One that an exception has lost. Where connecting failed there is no socket.
        if hasattr(self, "flow"):
            self.close()

    def exchange(self, payload: bytes, count: int, deadline: float) -> list[Reply]:
        """
        Send packed commands and return their ``count`` replies; raise when they are not all there in time.

        ``Refused`` replies are those of a wire that was in use before and that another one should replace.
        """
        self.has_sent = False
        line = self._line
        sock, wait = line.sock, line.wait
        remaining = deadline - self.taken
        if wait is None or (left := len(payload) - sock.send(payload, DONT_WAIT)):
            line.send(payload if wait is None else payload[-left:], deadline)
            remaining = deadline - monotonic()
        self.has_sent = True
        self.flow.sent += len(payload)
        replies = self._received(count, deadline, remaining)
        if self._parser.refusal is not None or len(replies) > count:
            return self._judged(replies, count, deadline)
        self.has_answered = True
        return replies

    def _received(self, count: int, deadline: float, remaining: float) -> list[Reply]:
        """Return the next replies, at least as many as that; ``remaining`` are the seconds until the deadline."""
        receive, buffer, reader = self._line.receive, self._buffer, self._parser.reader
        replies: list[Reply] = []
        gets, least = reader.gets, LEAST_WAIT
        while True:
            received = receive(buffer, deadline, least, remaining)
            if not received:
                raise ConnectionError("The server closed the connection before it answered.")
            self.flow.received += received
            reader.feed(buffer, 0, received)
            while (reply := gets()) is not MORE:
                replies.append(reply)
            if len(replies) >= count:
                return replies
            remaining, least = deadline - monotonic(), 0.0

    def is_alive(self) -> bool:
        return is_quiet(self._line.sock)

    def responds(self, deadline: float) -> bool:
        try:
            return self.exchange(_PING, 1, deadline) == [b"PONG"]
        except (OSError, ConnectionError):
            return False

    def close(self) -> None:
        self.flow.ended = True
        self._connection.disconnect()  # type: ignore[no-untyped-call]

    def _judged(self, replies: list[Reply], count: int, deadline: float) -> list[Reply]:
        refusal, self._parser.refusal = self._parser.refusal, None
        if len(replies) > count and not isinstance(refusal, ConnectionError):
            raise ProtocolError("The server sent more replies than it was sent commands.")
        if self.has_answered and isinstance(refusal, CONDEMNING) and len(replies) == count:
            self.is_reusable = False
            judged = Refused(replies)
            judged.deadline = deadline
            return judged
        # A new wire leads to no other server than the next one would.
        if isinstance(refusal, ConnectionError):
            raise refusal
        self.has_answered = True
        return replies


class _Parser:
    """redis-py's parser interface over a hiredis reader that makes this package's errors."""

    deadline: float  # of the handshake

    def __init__(self, socket_read_size: int) -> None:
        self.refusal: Exception | None = None

    def on_connect(self, connection: Any) -> None:
        self.line = Line(connection._sock)
        self.reader = make_reader(self._error)
        self.refusal = None

    def on_disconnect(self) -> None:
        pass

    def can_read(self, timeout: float = 0) -> bool:
        return not is_quiet(self.line.sock)

    def read_response(self, disable_decoding: bool = False, **ignored: Any) -> Any:
        """Read one reply of the handshake."""
        buffer, least = bytearray(_READ_SIZE), LEAST_WAIT
        while (reply := self.reader.gets()) is MORE:
            received = self.line.receive(buffer, self.deadline, least)
            least = 0.0
            if not received:
                raise ConnectionError("The server closed the connection during the handshake.")
            self.reader.feed(buffer, 0, received)
        if isinstance(reply, redis.ConnectionError):
            raise reply
        return reply

    def _error(self, text: str) -> Exception:
        error = server_error(text)
        if isinstance(error, ConnectionError | ReadOnlyError):
            self.refusal = error
        return error


def refused(
    replies: Sequence[Reply], sent: Sequence[tuple[Sequence[Command], bool]]
) -> Iterator[tuple[slice, Sequence[Command], bool]]:
    """Yield what the server has not run for the connection's sake: where its replies are, and what was sent."""
    start = 0
    for commands, transaction in sent:
        if transaction:
            place = slice(start, start + len(commands) + 2)
            start = place.stop
            answers = replies[place]
            if not isinstance(answers[-1], list) and any(isinstance(answer, CONDEMNING) for answer in answers):
                yield place, commands, True
            continue
        for command in commands:
            if isinstance(replies[start], CONDEMNING):
                yield slice(start, start + 1), (command,), False
            start += 1


def translate(error: redis.RedisError) -> UpstashError:
    """Return this package's error for one that redis-py raised while it connected."""
    if isinstance(error, ConnectionError | TimeoutError):
        return error
    if isinstance(error, redis.TimeoutError):
        return TimeoutError(f"{error}; nothing was sent.")
    if isinstance(error, redis.ResponseError):
        return ConnectionError(f"The server refused the handshake: {error}")
    return ConnectionError(str(error))


def without_frames(error: redis.RedisError, failure: UpstashError) -> UpstashError:
    """
    Return the failure that an error of redis-py has been translated to, fit to be raised outside its handler.

    redis-py's frames hold the password, and reports show what frames hold: those of the causes are left out, too.
    """
    failure.__cause__ = None if failure is error else error
    waiting: list[BaseException | None] = [failure]
    while waiting:
        if (one := waiting.pop()) is not None and (one.__traceback__ is not None or one is failure):
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]
    return failure


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
