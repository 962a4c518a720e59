"""What the routes share: a pool of wires for threads, a lane for each event loop, and the rule of when to try again."""

from __future__ import annotations

import errno
import socket
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar
from weakref import WeakValueDictionary

from django_upstash.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    MaxConnectionsError,
    ServiceUnavailableError,
    TimeoutError,
    TooManyRequestsError,
    UpstashError,
)
from django_upstash.forks import ForkSafeLock, random
from django_upstash.operations import Command
from django_upstash.operations import replay_safe as names_are_replay_safe
from django_upstash.wire.base import Route
from django_upstash.wire.batching import Entry, Lane, SendInThread
from django_upstash.wire.lanes import Lanes
from django_upstash.wire.loop_places import LoopPlaces
from django_upstash.wire.pool import Pool, Stock, Wire
from django_upstash.wire.sockets import reason
from django_upstash.wire.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.operations import Reply
    from django_upstash.settings.conf import ConnectionSettings

# Seconds that a long idle wire has to show that it still leads to the server.
_LONGEST_TEST = 1.0

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


class ExchangeWire(Wire, Protocol[Answer_co]):
    """A wire that sends a payload and returns the answer to its ``count`` commands, before the deadline."""

    began: float  # when opening it began, in ``monotonic()`` time
    has_sent: bool  # whether the last payload left whole
    has_answered: bool  # whether it has carried an answer since it was opened
    flow: Flow

    @property
    def is_reusable(self) -> bool: ...

    def exchange(self, payload: bytes, count: int, deadline: float) -> Answer_co: ...

    def responds(self, deadline: float) -> bool:
        """Tell whether a long idle wire leads to the server; False where finding out costs as much as a new one."""
        ...


W = TypeVar("W", bound="ExchangeWire[object]")
# What a second attempt within the same call would only meet again, and perhaps be charged for.
_NOT_AGAIN = (TimeoutError, AuthenticationError, BusyLoadingError, TooManyRequestsError)


class PooledRoute(Route, Generic[W, Answer]):
    """A route over a bounded pool of wires."""

    def __init__(self, settings: ConnectionSettings) -> None:
        super().__init__()
        self.settings = settings
        self._timeout = settings.timeout
        self._idle_check = settings.idle_check
        size, seconds = settings.max_connections, settings.pool_seconds
        self._stock = _stock_of(settings)
        self._pool: Pool[W] = Pool(self._open_watched, size, seconds, stock=self._stock, patience=settings.timeout)
        self._lanes = Lanes(self._make_lane, self._exchange_batch, size, seconds, self._stock.for_loops)

    @abstractmethod
    def _open(self, deadline: float) -> W:
        """Open a wire; raise ``ConnectionError`` or ``TimeoutError`` where that fails, or is not done in time."""

    def _open_watched(self, deadline: float | None = None) -> W:
        """Open a wire. Where the server refuses it is tried again, for nothing has been sent yet."""
        began = monotonic()
        end, retries = deadline or began + self._timeout, self.settings.retries
        while True:
            try:
                wire = self._open(min(end, monotonic() + self.settings.connect_seconds))
                break
            except (TimeoutError, AuthenticationError, MaxConnectionsError):
                raise
            except ConnectionError:
                if retries <= 0 or monotonic() >= end:
                    raise
                retries -= 1
        wire.began = began
        self.traffic.watch(wire.flow)
        return wire

    @abstractmethod
    def _make_lane(self, send_in_thread: SendInThread) -> Lane: ...

    @abstractmethod
    def _exchange_batch(self, batch: list[Entry]) -> list[Reply]:
        """Exchange what several callers of one event loop have to say, on a synchronous wire."""

    @property
    def open_connections(self) -> int:
        return len(self._pool)

    def close(self) -> None:
        self._lanes.close()
        self._pool.close()

    def after_fork(self) -> None:
        self._lanes.after_fork()
        self._pool.after_fork()

    def _exchange(
        self, payload: bytes, count: int, commands: Sequence[Command], replay_safe: bool | None, deadline: float = 0.0
    ) -> Answer:
        """Send the payload and return the wire's answer, trying again where nothing can happen twice."""
        wire = self._pool.acquire()
        began = wire.taken
        # A wait in the line is not the server's; what opening a wire took is the answer's loss.
        deadline = deadline or (began if wire.has_answered else wire.began) + self._timeout
        if began - wire.idle_since > self._idle_check and wire.has_answered:
            wire = self._tested(wire, commands, replay_safe, deadline)
        retries = self.settings.retries
        while True:
            try:
                answer: Any = wire.exchange(payload, count, deadline)
            except BaseException as error:
                failure = self._failed(wire, error, began)
                if retries <= 0 or not may_repeat(failure, wire.has_sent, count, commands, replay_safe, deadline):
                    self._pool.discard(wire)
                    raise_failure(failure, error)
                retries -= 1
                wire = self._renewed(wire, failure, deadline)
            else:
                (self._pool.release if wire.is_reusable else self._pool.discard)(wire)
                return answer  # type: ignore[no-any-return]

    def _renewed(self, wire: W, failure: UpstashError, deadline: float) -> W:
        """Return a new wire in the place of one that has failed, after the pause that its failure asks for."""
        time.sleep(pause_before_repeat(failure, deadline - monotonic()))
        return self._pool.replace(wire, partial(self._open_watched, deadline))

    def _failed(self, wire: W, error: BaseException, began: float) -> UpstashError:
        """Return this package's error for what an exchange raised; raise what is not the wire's failure as it is."""
        failure = failure_of(error, self.settings)
        if failure is None:
            self._pool.discard(wire)  # the reply may still come, and would answer the next caller
            raise error
        if wire.has_answered:
            self._pool.retire(began)
        judge(failure, is_reused=wire.has_answered)
        return failure

    def _tested(self, wire: W, commands: Sequence[Command], replay_safe: bool | None, deadline: float) -> W:
        """Return a wire in the place of a long idle one that may lead nowhere, for what must not be sent twice."""
        if names_are_replay_safe(commands) if replay_safe is None else replay_safe:
            return wire
        began = monotonic()
        try:
            if wire.responds(min(deadline, began + min(self._timeout / 2, _LONGEST_TEST))):
                return wire
        except BaseException:
            self._pool.discard(wire)
            raise
        self._pool.retire(began - self._idle_check)
        return self._pool.replace(wire, partial(self._open_watched, deadline))


class _SharedStock(Stock[Any]):
    """What the routes of one alias share that differ in their deadlines: rate limits have shorter ones."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.for_loops = LoopPlaces(self)


_stocks: WeakValueDictionary[ConnectionSettings, _SharedStock] = WeakValueDictionary()
_stocks_lock = ForkSafeLock()


def _stock_of(settings: ConnectionSettings) -> _SharedStock:
    key = replace(settings, timeout=0.0, connect_timeout=None, pool_timeout=None)
    with _stocks_lock:
        found = _stocks.get(key)
        if found is None:
            found = _stocks[key] = _SharedStock(settings.max_connections)
        return found


def raise_failure(failure: UpstashError, error: BaseException) -> NoReturn:
    """Raise what this package calls an error, with that error as its cause unless it is the same."""
    if failure is error:
        raise failure
    raise failure from error


def may_repeat(
    failure: UpstashError,
    has_sent: bool,
    count: int,
    commands: Sequence[Command],
    replay_safe: bool | None,
    deadline: float,
) -> bool:
    """Tell whether commands may be sent again after a failure before the deadline, in ``monotonic()`` time."""
    if isinstance(failure, _NOT_AGAIN) or monotonic() >= deadline:
        return False
    if not has_sent and count == 1:
        return True  # a command that did not leave whole cannot have run
    return names_are_replay_safe(commands) if replay_safe is None else replay_safe


def judge(failure: UpstashError, *, is_reused: bool) -> None:
    """
    Mark a wire's failure with what it says about the server.

    A connection that has answered before and breaks is one connection lost; only a new one that fails is an outage. Its
    silence may be an outage, so the server is left alone, and asked again at once over a new connection.
    """
    if not is_reused or isinstance(failure, ServiceUnavailableError):
        return
    if isinstance(failure, TimeoutError):
        failure.is_doubtful = True
    else:
        failure.is_outage = False


def pause_before_repeat(failure: UpstashError, remaining: float) -> float:
    """Return the seconds to wait before sending again: an overloaded gateway is given about 0.1."""
    if not isinstance(failure, ServiceUnavailableError):
        return 0.0
    return max(0.0, min(random.uniform(0.05, 0.15), remaining))


def failure_of(error: BaseException, settings: ConnectionSettings) -> UpstashError | None:
    """Return this package's error for what a socket raised, or None for what is not the wire's failure."""
    if isinstance(error, UpstashError):
        return error
    if isinstance(error, BlockingIOError | socket.timeout) and getattr(error, "errno", None) != errno.ETIMEDOUT:
        return TimeoutError(f"{settings.safe_url} did not answer within {settings.timeout:g} s.")
    if isinstance(error, OSError):
        return ConnectionError(f"The connection to {settings.safe_url} broke: {reason(error)}.")
    return None
