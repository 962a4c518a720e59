"""What the routes share: a pool of wires for threads, a lane for each event loop, and the rule of when to try again."""

from __future__ import annotations

import random
import socket
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from django_upstash.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    MaxConnectionsError,
    ServiceUnavailableError,
    TimeoutError,
    UpstashError,
)
from django_upstash.operations import Command
from django_upstash.operations import replay_safe as names_are_replay_safe
from django_upstash.routes.base import Route
from django_upstash.routes.lanes import Entry, Lane, Lanes
from django_upstash.routes.pool import Pool, Wire
from django_upstash.routes.sockets import reason
from django_upstash.traffic import Flow

if TYPE_CHECKING:
    from django_upstash.conf import ConnectionSettings
    from django_upstash.operations import Reply

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


class ExchangeWire(Wire, Protocol[Answer_co]):
    """A wire that sends a payload and returns the answer to its ``count`` commands, before the deadline."""

    has_sent: bool  # whether the last payload left whole
    flow: Flow

    @property
    def is_reusable(self) -> bool: ...

    def exchange(self, payload: bytes, count: int, deadline: float) -> Answer_co: ...


W = TypeVar("W", bound="ExchangeWire[object]")


class PooledRoute(Route, Generic[W, Answer]):
    """A route over a bounded pool of wires."""

    def __init__(self, settings: ConnectionSettings) -> None:
        super().__init__()
        self.settings = settings
        self._timeout = settings.timeout
        self._pool: Pool[W] = Pool(self._open_watched, settings.max_connections, settings.pool_seconds)
        self._lanes = Lanes(self._make_lane, self._exchange_batch, settings.max_connections, settings.pool_seconds)

    @abstractmethod
    def _open(self) -> W:
        """Open a wire; raise ``ConnectionError`` or ``TimeoutError`` where that fails."""

    def _open_watched(self) -> W:
        wire = self._open()
        self.traffic.watch(wire.flow)
        return wire

    @abstractmethod
    def _make_lane(self, send_in_thread: Callable[[list[Entry]], None]) -> Lane: ...

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

    def _exchange(self, payload: bytes, count: int, commands: Sequence[Command], replay_safe: bool | None) -> Answer:
        """Send the payload and return the wire's answer, trying again where nothing can happen twice."""
        deadline = monotonic() + self._timeout
        retries = self.settings.retries
        failure: UpstashError | None = None
        while True:
            wire = self._acquire(deadline, verify=failure is not None)
            try:
                answer: Any = wire.exchange(payload, count, deadline)
            except BaseException as error:
                self._pool.discard(wire)  # the reply may still come, and would answer the next caller
                failure = failure_of(error, self.settings)
                if failure is None:
                    raise
                if retries <= 0 or not may_repeat(failure, wire.has_sent, count, commands, replay_safe, deadline):
                    if failure is error:
                        raise
                    raise failure from error
                time.sleep(pause_before_repeat(failure, deadline - monotonic()))
                retries -= 1
            else:
                if wire.is_reusable:
                    self._pool.release(wire)
                else:
                    self._pool.discard(wire)
                return answer  # type: ignore[no-any-return]

    def _acquire(self, deadline: float, verify: bool) -> W:
        """Return an open wire. Opening may be tried again, for nothing has been sent yet."""
        retries = self.settings.retries
        while True:
            try:
                return self._pool.acquire(verify=verify)
            except (TimeoutError, AuthenticationError, MaxConnectionsError):
                raise
            except ConnectionError:
                if retries <= 0 or monotonic() >= deadline:
                    raise
                retries -= 1


def may_repeat(
    failure: UpstashError,
    has_sent: bool,
    count: int,
    commands: Sequence[Command],
    replay_safe: bool | None,
    deadline: float,
) -> bool:
    """Tell whether commands may be sent again after a failure before the deadline, in ``monotonic()`` time."""
    if isinstance(failure, TimeoutError | AuthenticationError | BusyLoadingError) or monotonic() >= deadline:
        return False
    if not has_sent and count == 1:
        return True  # a command that did not leave whole cannot have run
    return names_are_replay_safe(commands) if replay_safe is None else replay_safe


def pause_before_repeat(failure: UpstashError, remaining: float) -> float:
    """Return the seconds to wait before sending again: an overloaded gateway is given about 0.1."""
    if not isinstance(failure, ServiceUnavailableError):
        return 0.0
    return max(0.0, min(random.uniform(0.05, 0.15), remaining))


def failure_of(error: BaseException, settings: ConnectionSettings) -> UpstashError | None:
    """Return this package's error for what a socket raised, or None for what is not the wire's failure."""
    if isinstance(error, UpstashError):
        return error
    if isinstance(error, BlockingIOError | socket.timeout):
        return TimeoutError(f"{settings.safe_url} did not answer within {settings.timeout:g} s.")
    if isinstance(error, OSError):
        return ConnectionError(f"The connection to {settings.safe_url} broke: {reason(error)}.")
    return None
