"""The lock object, for threads and for tasks."""

from __future__ import annotations

import asyncio
import math
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from django_upstash.connections import connections
from django_upstash.exceptions import LockLost, LockNotAcquired, UpstashError
from django_upstash.forks import Turn
from django_upstash.locks import operations
from django_upstash.locks.acquisition import LOST_REPLY, Acquisition, milliseconds
from django_upstash.locks.holding import Holding, now
from django_upstash.locks.renewal import SHARE, Renewal, TaskRenewal, ThreadRenewal
from django_upstash.log import get_logger
from django_upstash.operations import Operation, leases
from django_upstash.operations.keys import check_encodable
from django_upstash.operations.steps import Flow, Run, adrive, drive

if TYPE_CHECKING:
    from django_upstash.connections import Connection

_abandoning: set[asyncio.Task[None]] = set()
logger = get_logger("django_upstash.locks")


class Lock:
    """
    The right to do something, which one holder at a time has, for ``lease`` seconds at most unless it is extended.

    ``wait`` is how many seconds to wait for it, 0 for not at all, None for as long as it takes. With ``renew``, a
    thread or a task extends the lease until the release. With ``fencing``, each acquisition has a number that is
    larger than all before it.

    An object is one holder: threads and tasks make one each, and in a forked child it holds nothing. Making it does no
    I/O. All methods raise the errors of the connection: there is no lock without the server.
    """

    def __init__(
        self,
        name: str,
        lease: float = 10.0,
        *,
        alias: str = "default",
        wait: float | None = None,
        renew: bool = False,
        fencing: bool = False,
    ) -> None:
        if not (name and isinstance(name, str)):
            raise ValueError("A lock needs a name; give it one, such as that of what it protects.")
        check_encodable(name)
        self.name = name
        self.lease = _seconds("lease", lease, least=0.01)
        self.alias = alias
        self.wait = None if wait is None else _seconds("wait", wait, least=0)
        self.renew = renew
        self.fencing = fencing
        self._use = Turn()  # taken from the beginning of an acquisition to the end of its release
        self._acquired: Holding | None = None
        self._renewal: Renewal | None = None

    def __repr__(self) -> str:
        return f"<Lock {self.name!r}{' held' if self._holding is not None else ''}>"

    # What this object knows; no I/O.

    @property
    def held(self) -> bool:
        """Whether this object has acquired the lock and not released it, lost or not."""
        return self._holding is not None

    @property
    def remaining(self) -> float:
        """Seconds for which the lock is certain to be this object's: by a local clock, from before it was asked for."""
        holding = self._holding
        return 0.0 if holding is None else holding.remaining

    @property
    def lost(self) -> bool:
        """Whether somebody else may hold the lock by now, although this object has not released it."""
        return self._holding is not None and not self._holding.remaining

    @property
    def token(self) -> str | None:
        """The value of the lock's key while this object holds it: 32 random hexadecimal digits."""
        return None if self._holding is None else self._holding.token

    @property
    def fencing_number(self) -> int | None:
        """The number of this acquisition, larger than those of all earlier ones; None without ``fencing``."""
        return None if self._holding is None else self._holding.fencing_number

    # For threads.

    def acquire(self) -> bool:
        """Take the lock, waiting for it as ``wait`` says; return whether it was taken."""
        self._begin()
        try:
            self._acquired = drive(self._acquisition(token_hex(16)).steps())
        finally:
            self._end_unless_held()
        if self._holding is not None and self.renew:
            self._renewal = ThreadRenewal(self)
        return self._holding is not None

    def release(self) -> None:
        """Give the lock back; raise ``LockLost`` where it was no longer this object's."""
        drive(self._releasing(self._taken_back()))

    def extend(self, lease: float | None = None) -> None:
        """Let the lease last ``lease`` seconds from now, as long as at first by default; raise ``LockLost`` if gone."""
        drive(self._extending(self._required(), lease))

    def locked(self) -> bool:
        """Ask the server whether anybody holds the lock."""
        return self.connection.run(operations.is_held(self.name))

    def owned(self) -> bool:
        """Ask the server whether this object holds the lock."""
        holding = self._holding
        return holding is not None and self.connection.run(operations.holder_is(self.name, holding.token))

    def __enter__(self) -> Self:
        if not self.acquire():
            raise self._not_acquired()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._holding is not None:
            drive(self._leaving(self._taken_back(), error))

    # For tasks.

    async def aacquire(self) -> bool:
        """Async version of ``acquire``."""
        self._begin()
        token = token_hex(16)
        try:
            self._acquired = await adrive(self._acquisition(token).steps())
        except asyncio.CancelledError:
            self._abandon(token)
            raise
        finally:
            self._end_unless_held()
        if self._holding is not None and self.renew:
            self._renewal = TaskRenewal(self)
        return self._holding is not None

    async def arelease(self) -> None:
        """Async version of ``release``."""
        await adrive(self._releasing(self._taken_back()))

    async def aextend(self, lease: float | None = None) -> None:
        """Async version of ``extend``."""
        await adrive(self._extending(self._required(), lease))

    async def alocked(self) -> bool:
        """Async version of ``locked``."""
        return await self.connection.arun(operations.is_held(self.name))

    async def aowned(self) -> bool:
        """Async version of ``owned``."""
        holding = self._holding
        return holding is not None and await self.connection.arun(operations.holder_is(self.name, holding.token))

    async def __aenter__(self) -> Self:
        if not await self.aacquire():
            raise self._not_acquired()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._holding is not None:
            await adrive(self._leaving(self._taken_back(), error))

    # The steps, for both.

    def renewing(self) -> Flow[Any]:
        """Extend the lease once; return the seconds until the next time, or None where there is nothing to extend."""
        holding = self._holding
        if holding is None:
            return None
        try:
            yield from self._extending(holding, None)
        except LockLost:
            return None
        except UpstashError as error:
            logger.warning("The lease of lock %r was not renewed (%s).", self.name, type(error).__name__)
            return min(self.lease / SHARE / 4, holding.remaining) or None
        return self.lease / SHARE

    @property
    def _holding(self) -> Holding | None:
        """What this process holds: a forked child holds nothing of its parent's, and must not give it back."""
        acquired = self._acquired
        return acquired if acquired is not None and acquired.owner.is_here else None

    @property
    def connection(self) -> Connection:
        """The connection to the server that keeps the lock."""
        return connections[self.alias]

    def _begin(self) -> None:
        if not self._use.take():
            raise RuntimeError(f"This object holds or awaits lock {self.name!r} already; make one for each holder.")
        self._acquired = self._renewal = None  # what was here belongs to the process that this one was forked from

    def _acquisition(self, token: str) -> Acquisition:
        return Acquisition(self.connection, self.name, token, self.wait, self.lease, self.fencing)

    def _end_unless_held(self) -> None:
        if self._holding is None:
            self._use.end()

    def _extending(self, holding: Holding, lease: float | None) -> Flow[Any]:
        seconds = self.lease if lease is None else _seconds("lease", lease, least=0.01)
        began = now()
        # Before it is known whether a shorter lease has begun, for the answer may be lost.
        before = holding.ends = min(holding.ends, began + seconds)
        extending = leases.extend(
            self.connection.capabilities, operations.key(self.name), holding.token, milliseconds(seconds)
        )
        if not (yield Run(self.connection, extending)):
            holding.is_known_lost = True
            raise self._lost()
        # Of two at a time, such as a renewal, nobody knows which one the server has done last.
        is_alone = holding.ends == before
        holding.ends = began + seconds if is_alone else min(holding.ends, began + seconds)

    def _releasing(self, holding: Holding) -> Flow[Any]:
        try:
            # Not sent twice unseen: a second attempt finds nothing where the first has deleted.
            was_ours = yield Run(self.connection, self._deleting(holding.token, replay_safe=False))
        except LOST_REPLY:
            may_be_deleted = holding.remaining > 0
            was_ours = (yield Run(self.connection, self._deleting(holding.token))) or may_be_deleted
        if not was_ours:
            raise self._lost()

    def _leaving(self, holding: Holding, error: BaseException | None) -> Flow[Any]:
        """Release at the end of a block, whose own error, if any, is the one to be raised."""
        was_certain = holding.remaining > 0
        try:
            yield from self._releasing(holding)
        except LockLost:
            if error is None:
                raise
            logger.warning("Lock %r was lost before the block that held it failed.", self.name)
        except UpstashError as failure:
            if error is None and not was_certain:
                raise self._lost() from failure
            logger.warning("Lock %r was not released (%s); it ends by itself.", self.name, type(failure).__name__)

    def _deleting(self, token: str, *, replay_safe: bool = True) -> Operation[int]:
        """Return the operation that gives the lock back; its result is 1 where this token held it."""
        capabilities = self.connection.capabilities
        return leases.release(capabilities, operations.key(self.name), token, replay_safe=replay_safe)

    def _required(self) -> Holding:
        holding = self._holding
        if holding is None:
            raise RuntimeError(f"This object does not hold lock {self.name!r}; acquire it first.")
        return holding

    def _taken_back(self) -> Holding:
        """Return the holding, which from now on is nobody's; whatever becomes of the request, it ends by itself."""
        holding = self._required()
        if self._renewal is not None:
            self._renewal.stop()
        self._acquired = self._renewal = None
        self._use.end()
        return holding

    def _abandon(self, token: str) -> None:
        """Give back what a cancelled acquisition may have taken, as far as the loop goes on."""
        task = asyncio.get_running_loop().create_task(self._release_quietly(token))
        _abandoning.add(task)
        task.add_done_callback(_abandoning.discard)

    async def _release_quietly(self, token: str) -> None:
        try:
            await self.connection.arun(self._deleting(token))
        except UpstashError as error:
            logger.debug("A cancelled lock was not released (%s); it ends by itself.", type(error).__name__)

    def _not_acquired(self) -> LockNotAcquired:
        waited = f" after {self.wait:g} s" if self.wait else ""
        return LockNotAcquired(f"Lock {self.name!r} is held by somebody else{waited}; wait longer, or try again later.")

    def _lost(self) -> LockLost:
        return LockLost(f"Lock {self.name!r} was lost: its lease ended, or its key is gone; give it a longer lease.")


def _seconds(name: str, given: Any, least: float) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given < math.inf:
        raise ValueError(f"{name} must be a number of seconds, {least:g} or more, not {given!r}.")
    return float(given)
