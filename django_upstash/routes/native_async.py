"""The native route under asyncio: one multiplexed connection per event loop, written and read by a bare protocol."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django_upstash.exceptions import ConnectionError, ProtocolError, TimeoutError, UpstashError, server_error
from django_upstash.operations import Reply
from django_upstash.routes.lanes import Entry, Lane, closed_error
from django_upstash.routes.native import MORE, connection_kwargs, make_reader, pack
from django_upstash.routes.pool import IDLE_BEFORE_CHECK
from django_upstash.routes.sockets import is_quiet, reason
from django_upstash.routes.tls import tls_context
from django_upstash.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.conf import ConnectionSettings


class NativeLane(Lane):
    """One event loop's connection: replies come in the order of the commands, so everybody shares it."""

    def __init__(
        self,
        send_in_thread: Callable[[list[Entry]], None],
        address: Callable[[], ConnectionSettings],
        timeout: float,
        watch: Callable[[Flow], None],
    ) -> None:
        super().__init__(send_in_thread, timeout)
        self._watch = watch
        self._address = address
        self._wire: AsyncWire | None = None
        self._connecting: list[Entry] | None = None
        self._task: asyncio.Task[None] | None = None

    def send(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        if self._wire is not None and self._wire.is_usable():
            self._wire.send(batch)
        elif self._connecting is not None:
            self._connecting.extend(batch)
        else:
            self._connecting = batch
            self._task = loop.create_task(self._connect_and_send(loop))
            self._task.add_done_callback(self._connected)

    def close(self) -> None:
        self.closed = True
        if self._wire is not None:
            self._wire.abort(closed_error())
            self._wire = None

    async def _connect_and_send(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await self.close_with_loop()
            self._wire = await connect(self._address(), self)
        except BaseException as error:
            failure = error if isinstance(error, Exception) else closed_error()
            for entry in self._taken():
                entry.fail(failure)
            if not isinstance(error, Exception):
                raise
        else:
            self._watch(self._wire.flow)
            self._wire.send(self._taken())
            if self.closed:
                self.close()

    def _connected(self, task: asyncio.Task[None]) -> None:
        """Wake the callers of a task that was cancelled before it ran: no code of its own could."""
        if task.cancelled():
            for entry in self._taken():
                entry.fail(closed_error())

    def _taken(self) -> list[Entry]:
        waiting, self._connecting = self._connecting or [], None
        return waiting


class AsyncWire(asyncio.Protocol):
    """One connection: writes batches and hands the replies to their entries."""

    transport: asyncio.Transport

    def __init__(self, lane: NativeLane, settings: ConnectionSettings) -> None:
        self._lane = lane
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._pending: deque[Entry] = deque()
        self._reader = make_reader(self._error)
        self._fatal: ConnectionError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = self._loop.time()
        self._lost = False
        self.flow = Flow()

    def is_usable(self) -> bool:
        """Tell whether the connection is open; one that has been idle is looked at."""
        if self._lost or self.transport.is_closing():
            return False
        if self._pending or self._loop.time() - self._idle_since < IDLE_BEFORE_CHECK:
            return True
        return is_quiet(self.transport.get_extra_info("socket"))

    def send(self, batch: list[Entry]) -> None:
        if self._lost:
            for entry in batch:
                self._lane.resubmit(entry, closed_error())
            return
        self._pending.extend(batch)
        payload = batch[0].payload if len(batch) == 1 else b"".join([entry.payload for entry in batch])
        self.flow.sent += len(payload)
        self.transport.write(payload)
        if self._timer is None:
            self._watch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.flow.received += len(data)
        self._reader.feed(data)
        try:
            self._take_replies()
        except ProtocolError as error:
            self.abort(error)
        self._idle_since = self._loop.time()

    def _take_replies(self) -> None:
        gets, pending = self._reader.gets, self._pending
        while (reply := gets()) is not MORE:
            if self._fatal is not None:
                self.abort(self._fatal)
                return
            if not pending:
                self.abort(ConnectionError("The server sent a reply that nobody had asked for."))
                return
            entry = pending[0]
            replies = entry.replies
            replies.append(reply)
            if len(replies) == entry.count:
                pending.popleft()
                if not entry.future.done():  # as `answer` does: every reply comes by here
                    entry.future.set_result(replies)

    def connection_lost(self, error: Exception | None) -> None:
        failure = ConnectionError(f"The connection to {self._settings.safe_url} broke while commands were under way.")
        failure.__cause__ = error
        self._give_up(failure)

    def abort(self, error: UpstashError) -> None:
        """Close at once; whoever still waits fails with this error, or tries again where that is safe."""
        self.transport.abort()
        self._give_up(error)

    def _give_up(self, error: UpstashError) -> None:
        self._lost = self.flow.ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._pending = list(self._pending), deque()
        for entry in entries:
            if type(error) is ConnectionError:
                self._lane.resubmit(entry, error)
            else:
                entry.fail(error)

    def _watch(self) -> None:
        """Keep one timer, set to the oldest entry's deadline, instead of one for each."""
        self._timer = None
        if not self._pending:
            return
        deadline = self._pending[0].deadline
        if deadline > self._loop.time():
            self._timer = self._loop.call_at(deadline, self._watch)
            return
        # Whether the peer is slow or gone, later commands would wait behind this one.
        self.abort(TimeoutError(f"{self._settings.safe_url} did not answer within {self._settings.timeout:g} s."))

    def _error(self, text: str) -> Exception:
        error = server_error(text)
        if isinstance(error, ConnectionError):
            self._fatal = error
        return error


async def connect(settings: ConnectionSettings, lane: NativeLane) -> AsyncWire:
    """Open a connection in the running loop: TCP or unix socket, TLS, AUTH, SELECT."""
    seconds = settings.connect_seconds
    try:
        async with asyncio.timeout(seconds):
            wire = await _open(settings, lane)
    except OSError as error:  # asyncio's TimeoutError is one of them
        if isinstance(error, asyncio.TimeoutError):
            where = settings.safe_url
            raise TimeoutError(f"No connection to {where} within {seconds:g} s; nothing was sent.") from error
        raise ConnectionError(f"Cannot connect to {settings.safe_url}: {reason(error)}; nothing was sent.") from error
    try:
        await _handshake(wire, settings)
    except BaseException:
        wire.transport.abort()
        raise
    wire.flow = Flow()  # the handshake is not counted, as it is not on the wires of threads
    return wire


async def _open(settings: ConnectionSettings, lane: NativeLane) -> AsyncWire:
    loop = asyncio.get_running_loop()
    kwargs = connection_kwargs(settings)
    if "path" in kwargs:
        return (await loop.create_unix_connection(lambda: AsyncWire(lane, settings), kwargs["path"]))[1]
    tls: dict[str, Any] = {}
    if settings.scheme == "rediss":
        tls = {"ssl": tls_context(settings), "server_hostname": kwargs["host"]}
    host, port = kwargs["host"], kwargs["port"]
    return (await loop.create_connection(lambda: AsyncWire(lane, settings), host, port, **tls))[1]


async def _handshake(wire: AsyncWire, settings: ConnectionSettings) -> None:
    kwargs = connection_kwargs(settings)
    commands: list[tuple[str, ...]] = []
    if password := kwargs.get("password"):
        commands.append(("AUTH", kwargs["username"], password) if kwargs.get("username") else ("AUTH", password))
    if kwargs.get("db"):
        commands.append(("SELECT", str(kwargs["db"])))
    if not commands:
        return
    loop = asyncio.get_running_loop()
    entry = Entry(pack(commands, stateful=True), len(commands), commands, replay_safe=False)
    entry.future = loop.create_future()
    entry.deadline = loop.time() + (settings.connect_seconds)
    wire.send([entry])
    _check_handshake(await entry.future)


def _check_handshake(replies: list[Reply]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise ConnectionError(f"The server refused the handshake: {reply}") from reply
