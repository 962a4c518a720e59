"""The native route under asyncio: one multiplexed connection per event loop, written and read by a bare protocol."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from django_upstash.exceptions import ConnectionError, ProtocolError, TimeoutError, UpstashError
from django_upstash.operations import Reply
from django_upstash.wire import transports
from django_upstash.wire.batching import Entry, Lane, SendInThread, closed_error, deliver
from django_upstash.wire.error_lines import server_error
from django_upstash.wire.native_opening import open_wire
from django_upstash.wire.packing import MORE, make_reader, pack
from django_upstash.wire.pool import IDLE_BEFORE_CHECK
from django_upstash.wire.retrying import judge
from django_upstash.wire.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings

# Errors that say that the connection leads to the wrong place, or lost what it was given: the command has not run.
_OF_NO_MORE_USE = ("READONLY ", "LOADING ", "MASTERDOWN ", "NOAUTH ")
# A server that refuses on a new connection as well is not asked for another one each time.
_RENEWAL_PAUSE = 1.0


class NativeLane(Lane):
    """One event loop's connection: replies come in the order of the commands, so everybody shares it."""

    def __init__(
        self,
        send_in_thread: SendInThread,
        address: Callable[[], ConnectionSettings],
        timeout: float,
        watch: Callable[[Flow], None],
    ) -> None:
        super().__init__(send_in_thread, timeout)
        self._watch_flow = watch
        self._address = address
        self._wire: AsyncWire | None = None
        self._connecting: list[Entry] | None = None
        self._task: asyncio.Task[None] | None = None
        self._renewed_at = float("-inf")

    def settle(self) -> bool:
        return self.places.take(self, in_line=True)

    def send(self, batch: list[Entry], loop: asyncio.AbstractEventLoop) -> None:
        wire = self._wire
        if wire is not None and wire.is_usable():
            wire.send(batch)
        elif self._connecting is not None:
            self._connecting.extend(batch)
        else:
            self._connecting = list(batch)
            self._start_connecting(loop)

    def close(self) -> None:
        self.closed = True
        self.places.give_back(self)
        if self._wire is not None:
            self._wire.abort(closed_error())
            self._wire = None

    def has_news(self, entries: list[Entry]) -> bool:
        wire = self._wire
        return wire is not None and wire.waits_for(entries) and transports.has_news(wire.transport)

    def expired(self, entries: list[Entry]) -> None:
        wire, connecting = self._wire, set(map(id, self._connecting or []))
        late = [entry for entry in entries if id(entry) not in connecting]
        if wire is not None and wire.waits_for(late):
            wire.expire(late)
        super().expired(late)
        for entry in entries:
            if id(entry) in connecting:  # opening a connection keeps its own time, without what blocks the loop
                entry.deadline = asyncio.get_running_loop().time() + self.longest

    def renews(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Tell whether a connection that is of no more use is to be replaced, which it is once a second at most."""
        if self.closed or loop.time() - self._renewed_at < _RENEWAL_PAUSE:
            return False
        self._renewed_at = loop.time()
        return True

    def send_refused(self, entry: Entry, slots: list[int], loop: asyncio.AbstractEventLoop) -> None:
        """Send the commands in these slots of an entry once more; a transaction whole, for nothing of it has run."""
        is_whole = entry.count != len(entry.commands)
        commands = entry.commands if is_whole else [entry.commands[slot] for slot in slots]
        payload, count = (entry.payload, entry.count) if is_whole else (pack(commands), len(commands))
        again = Entry(payload, count, commands, entry.replay_safe, is_last_try=True)
        again.deadline, again.future = entry.deadline, loop.create_future()
        again.future.add_done_callback(partial(_fill_in, entry, None if is_whole else slots), context=self._context)
        self.send_or_fail([again], loop)

    def _start_connecting(self, loop: asyncio.AbstractEventLoop) -> None:
        connecting = self._connect_and_send(loop)
        try:
            self._task = loop.create_task(connecting)
            self._task.add_done_callback(self._connected)
        except BaseException:
            self._connecting = None
            connecting.close()
            raise

    async def _connect_and_send(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await self.close_with_loop()
            if (former := self._wire) is not None:
                await former.end()
            settings = self._address()
            wire, used = await open_wire(lambda: AsyncWire(self, settings), settings)
            self._wire = wire
            self._watch_flow(wire.flow)
        except BaseException as error:
            self._could_not_connect(error, loop)
            if not isinstance(error, Exception):
                raise
            return
        waiting = self._taken()
        deadline = loop.time() + self._timeout - used
        for entry in waiting:
            entry.deadline = min(max(entry.deadline, deadline), loop.time() + self._timeout)
        self._send_now(waiting, wire)

    def _send_now(self, waiting: list[Entry], wire: AsyncWire) -> None:
        try:
            if waiting:
                wire.send(waiting)
        except Exception as error:
            deliver(waiting, error)
        if self.closed:
            self.close()

    def _could_not_connect(self, error: BaseException, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._taken()
        if isinstance(error, RuntimeError) and waiting:  # the executor that resolves names is gone with the main thread
            self._batches, self._is_settled = 0, False
            self.places.give_back(self)
            self.carry_in_thread(waiting, loop)
            return
        deliver(waiting, error if isinstance(error, Exception) else closed_error())

    def _connected(self, task: asyncio.Task[None]) -> None:
        """Wake the callers of a task that was cancelled before it ran: no code of its own could."""
        if self._task is task:
            self._task = None
        if task.cancelled() or task.exception() is not None:
            deliver(self._taken(), closed_error())

    def _taken(self) -> list[Entry]:
        """Return what waits for the connection and is still waited for: what nobody waits for is not sent."""
        waiting, self._connecting = self._connecting or [], None
        return [entry for entry in waiting if not entry.future.done()]


class AsyncWire(asyncio.Protocol):
    """One connection: writes batches and hands the replies to their entries."""

    transport: asyncio.Transport | None = None

    def __init__(self, lane: NativeLane, settings: ConnectionSettings) -> None:
        self._lane = lane
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._pending: deque[Entry] = deque()
        self._reader = make_reader(self._error)
        self._fatal: ConnectionError | None = None
        self._refusals: list[Exception] = []
        self._idle_since = self._loop.time()
        self._lost = False
        self._failure: UpstashError | None = None
        self._is_renewed = False
        self._ended: asyncio.Future[None] | None = None
        self.has_answered = False
        self.flow = Flow()

    def is_usable(self) -> bool:
        """Tell whether the connection is open; one that has been idle is looked at, and replaced after a long time."""
        try:
            if self._lost or self._is_renewed or self.transport.is_closing():  # type: ignore[union-attr]
                return False
        except Exception:  # a foreign transport's: whatever is the matter with it, it is of no more use
            return False
        if self._pending or (idle := self._loop.time() - self._idle_since) < IDLE_BEFORE_CHECK:
            return True
        return idle < self._settings.idle_check and not transports.has_news(self.transport)

    def begin(self) -> None:
        """Forget the handshake: it is not counted, as it is not on the wires of threads, and answers no caller."""
        self.flow, self.has_answered = Flow(), False

    def waits_for(self, entries: list[Entry]) -> bool:
        """Tell whether one of these entries is under way here."""
        asked = set(map(id, entries))
        return any(id(entry) in asked for entry in self._pending)

    def send(self, batch: list[Entry]) -> None:
        if self._lost:
            self._pass_on(batch, self._failure or closed_error())
            return
        self._pending.extend(batch)
        payload = batch[0].payload if len(batch) == 1 else b"".join([entry.payload for entry in batch])
        self.flow.sent += len(payload)
        try:
            self.transport.write(payload)  # type: ignore[union-attr]  # a wire that is used is connected
        except Exception as error:
            self.abort(self._broken(error))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a loop's own class, which need not be one of asyncio's
        transports.keep_alive(transport)

    def data_received(self, data: bytes) -> None:
        self.flow.received += len(data)
        try:
            self._reader.feed(data)
            self._take_replies()
        except Exception as error:
            del data  # which may echo the password, and reports show the variables of frames
            self.abort(error if isinstance(error, ProtocolError) else self._broken(error))
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
                if self._refusals:
                    self._refused(entry)
                elif not entry.future.done():  # as `answer` does: every reply comes by here
                    entry.future.set_result(replies)
        self.has_answered = True
        if self._is_renewed and not pending:
            self.abort(closed_error())

    def _refused(self, entry: Entry) -> None:
        """Answer an entry after a refusal that says that the connection is of no more use: what it refused, again."""
        refusals, self._refusals = set(map(id, self._refusals)), []
        slots = [slot for slot, reply in enumerate(entry.replies) if id(reply) in refusals]
        if not slots or entry.is_last_try or not (self._is_renewed or self._lane.renews(self._loop)):
            _answer_refused(entry)
            return
        self._is_renewed = True
        self._lane.send_refused(entry, slots, self._loop)

    def connection_lost(self, error: Exception | None) -> None:
        self._give_up(self._broken(error))

    def abort(self, error: UpstashError) -> None:
        """Close at once; calls still waiting fail with this error, or are tried again where that is safe."""
        if self.transport is not None:
            transports.abort(self.transport)
        self._give_up(error)

    def expire(self, late: list[Entry]) -> None:
        """Give up for entries that the server has not answered: later commands would wait behind them."""
        error = TimeoutError(f"{self._settings.safe_url} did not answer within {self._settings.timeout:g} s.")
        judge(error, is_reused=self.has_answered)
        asked = set(map(id, late))
        for entry in self._pending:
            if id(entry) in asked:
                entry.fail(error)
        self.abort(error)

    async def end(self) -> None:
        """Wait for the replies to what is under way, and close: nothing may overtake it on another connection."""
        if self._pending and not self._lost:
            self._ended = self._loop.create_future()
            await self._ended
        self.abort(closed_error())

    def _broken(self, error: BaseException | None) -> ConnectionError:
        failure = ConnectionError(f"The connection to {self._settings.safe_url} broke while commands were under way.")
        failure.__cause__ = error
        return failure

    def _give_up(self, error: UpstashError) -> None:
        self._lost = self.flow.ended = True
        self._failure = self._failure or error
        if not self._pending:
            self._tell_end()
            return
        judge(error, is_reused=self.has_answered)
        entries, self._pending = list(self._pending), deque()
        self._pass_on(entries, error)
        self._tell_end()

    def _pass_on(self, entries: list[Entry], error: UpstashError) -> None:
        for entry in entries:
            if type(error) in (ConnectionError, TimeoutError):
                self._lane.resubmit(entry, error)
            else:
                entry.fail(error)

    def _tell_end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _error(self, text: str) -> Exception:
        error = server_error(text)
        if text.startswith(_OF_NO_MORE_USE):
            self._refusals.append(error)
        elif isinstance(error, ConnectionError):
            self._fatal = error
        return error


def _answer_refused(entry: Entry) -> None:
    """Answer an entry that may have been refused: an error that is the connection's is its caller's own."""
    for reply in entry.replies:
        if isinstance(reply, ConnectionError):
            entry.fail(reply)
            return
    entry.answer(entry.replies)


def _fill_in(entry: Entry, slots: list[int] | None, again: asyncio.Future[list[Reply]]) -> None:
    """Answer an entry with what sending its refused slots again has brought; ``slots`` is None for all of it."""
    if again.cancelled():
        entry.fail(closed_error())
    elif (error := again.exception()) is not None:
        entry.fail(error)
    elif slots is None:
        entry.answer(again.result())
    else:
        for slot, reply in zip(slots, again.result(), strict=True):
            entry.replies[slot] = reply
        entry.answer(entry.replies)
