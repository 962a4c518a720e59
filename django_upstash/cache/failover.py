"""
The two ways to do without the server: ``Defaults`` lets every method say what an empty cache would, ``Failover``
answers from this process. Both leave a server alone that does not answer, until ``Availability`` has found it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured

from django_upstash.cache.combinators import in_turn, known
from django_upstash.cache.failover_state import Doomed, Outage, OutagePlace
from django_upstash.cache.scans import Sweep
from django_upstash.exceptions import ConnectionError, PoolTimeoutError, ServerAwayError, TimeoutError, as_redis_raises
from django_upstash.log import get_logger
from django_upstash.operations import Operation, command, only, then
from django_upstash.operations.steps import Flow, Run, Runner, adrive, drive

if TYPE_CHECKING:
    from django_upstash.wire.availability import Availability

_PIECE = 500
_BACK: Final = object()
logger = get_logger("django_upstash.cache")


def away() -> tuple[type[Exception], ...]:
    """
    Return the errors that may mean an outage.

    A server that refuses a command is there. So is one that this process has no connection free to ask, which is
    raised: an answer in the server's place would hide that the process has too much to do.
    """
    return as_redis_raises(ConnectionError, TimeoutError)


def raise_congestion(error: Exception, availability: Availability) -> None:
    """Raise the error of who got no connection in time, unless that is because those in use wait for a dead server."""
    if isinstance(error, PoolTimeoutError) and availability.is_up:
        raise error


class Defaults:
    """Runs operations on the server while it answers, and raises ``ServerAwayError`` at once while it does not."""

    def __init__(self, server: Runner, availability: Availability, outage: Outage) -> None:
        self._server = server
        self._availability = availability
        self._outage = outage

    def run(self, operation: Operation[Any]) -> Any:
        self.require()
        try:
            result = self._server.run(operation)
        except away() as error:
            raise_congestion(error, self._availability)
            self._outage.use("default", error)
            raise
        self.answered()
        return result

    async def arun(self, operation: Operation[Any]) -> Any:
        self.require()
        try:
            result = await self._server.arun(operation)
        except away() as error:
            raise_congestion(error, self._availability)
            self._outage.use("default", error)
            raise
        self.answered()
        return result

    def require(self) -> None:
        """Raise ``ServerAwayError`` unless this caller is to ask the server."""
        if not self._availability.may_ask():
            error = ServerAwayError()
            self._outage.use("default", error)  # where another user of the connection has found the server away
            raise error

    def failed(self, error: Exception, started: float) -> None:
        """Learn that what was sent at ``started`` beside the operations of this cache failed."""
        self._outage.use("default", error)

    def answered(self) -> None:
        """Learn that the server has answered."""
        if self._outage.backend != "server" and self._availability.is_up:
            self._outage.use("server")


class Failover:
    """
    Runs operations on the server, and in this process while that is away.

    ``everything`` makes the operation that removes every key of the cache.
    """

    def __init__(
        self, server: Runner, availability: Availability, outage: Outage, everything: Callable[[], Operation[Any]]
    ) -> None:
        self._server = server
        self._availability = availability
        self._outage = outage
        self._everything = everything

    def run(self, operation: Operation[Any]) -> Any:
        if self._outage.place is OutagePlace.SERVER and self._availability.is_up:
            started = perf_counter()
            try:
                return self._server.run(operation)
            except away() as error:
                raise_congestion(error, self._availability)
                self._outage.begin(error, started)
                return drive(self._flow(operation, has_failed=True))
        return drive(self._flow(operation))

    async def arun(self, operation: Operation[Any]) -> Any:
        if self._outage.place is OutagePlace.SERVER and self._availability.is_up:
            started = perf_counter()
            try:
                return await self._server.arun(operation)
            except away() as error:
                raise_congestion(error, self._availability)
                self._outage.begin(error, started)
                return await adrive(self._flow(operation, has_failed=True))
        return await adrive(self._flow(operation))

    def require(self) -> None:
        """Raise ``ServerAwayError`` while the server is away, for what this process cannot answer."""
        started = perf_counter()
        try:
            drive(self._try_server() if self._outage.place is OutagePlace.LOCAL else self._finish_return())
        except away() as error:
            raise_congestion(error, self._availability)
            self._outage.begin(error, started)
        if self._outage.place is not OutagePlace.SERVER:
            raise ServerAwayError("The server is away, and this process keeps no sets, hashes and sorted sets.")

    def failed(self, error: Exception, started: float) -> None:
        """Learn that what was sent at ``started`` beside the operations of this cache failed."""
        self._outage.begin(error, started)

    def answered(self) -> None:
        """Learn that the server has answered, which here is found out by asking for it."""

    def _flow(self, operation: Operation[Any], has_failed: bool = False) -> Flow[Any]:
        while True:
            if self._outage.place is OutagePlace.LOCAL:
                # What has failed may have run, so it does not run there again; and its caller has waited enough.
                if not has_failed:
                    yield from self._try_server()
                result = self._answered_here(operation)
                if result is not _BACK:
                    return result
            else:
                started = perf_counter()
                try:
                    yield from self._finish_return()
                    return (yield Run(self._server, operation))
                except away() as error:
                    raise_congestion(error, self._availability)
                    self._outage.begin(error, started)
                    has_failed = True

    def _try_server(self) -> Flow[Any]:
        """Return to a server that answers, where it is this caller's turn, by deleting there what changed here."""
        available = self._availability
        if not (available.may_ask() and self._outage.may_try(available.pause)):
            return
        changed = self._outage.changed()
        try:
            yield Run(self._server, self._deleting(changed) if changed else command("PING"))
        except away() as error:
            logger.debug("The server is still away: %s", error)
        else:
            self._outage.turn_back(changed)

    def _finish_return(self) -> Flow[Any]:
        """Delete on the server what changed here while it was found to be back; raise where it is known to be away."""
        if not self._availability.may_ask():
            raise ServerAwayError()
        doomed = self._outage.doomed()
        if doomed:
            yield Run(self._server, self._deleting(doomed))
            self._outage.end(doomed)

    def _answered_here(self, operation: Operation[Any]) -> Any:
        """Return the result by this process, or ``_BACK`` where the server has come back meanwhile."""
        sweeps = isinstance(operation, Sweep)
        while operation.commands:
            replies = self._outage.execute(operation.commands, sweeps=sweeps)
            if replies is None:
                return _BACK
            result = operation.parse(replies)
            if not isinstance(result, Operation):
                return result
            operation = result
        return operation.parse([])

    def _deleting(self, doomed: Doomed) -> Operation[Any]:
        keys = in_turn([*_deletions(doomed.keys)], len)
        return then(self._clearing(), lambda _: keys) if doomed.everything else keys

    def _clearing(self) -> Operation[Any]:
        try:
            return self._everything()
        except ImproperlyConfigured as error:
            logger.error("What changed without the server may come back as it was before: %s", error)
            return known(None)


def _deletions(keys: tuple[str, ...]) -> Iterator[Operation[Any]]:
    for start in range(0, len(keys), _PIECE):
        # Deleting them twice is deleting them once.
        yield Operation((("DEL", *keys[start : start + _PIECE]),), only, replay_safe=True)
