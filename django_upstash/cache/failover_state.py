"""
What a process does while a cache's server is away, and at its return: one ``Outage`` for each connection and prefix.

    server ──a failure──▶ local ──the server answers──▶ returning ──what changed has been deleted there──▶ server

What changes in this process meanwhile is deleted on the server before anything is asked of it again: nothing that was
written here reaches the server, and nothing older comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from django_upstash.cache.memory_store import MOST_CHANGES, StandIn
from django_upstash.cache.signals import backend_changed
from django_upstash.forks import ForkSafeLock, PerConnection
from django_upstash.log import get_logger
from django_upstash.operations import Command, Reply

if TYPE_CHECKING:
    from django_upstash.connections import Connection

logger = get_logger("django_upstash.cache")


class OutagePlace(Enum):
    """Where operations run."""

    SERVER = auto()
    RETURNING = auto()  # on the server, once the doomed keys have been deleted there
    LOCAL = auto()


class Doomed(NamedTuple):
    """Keys to be deleted on the server, or all of the prefix."""

    keys: tuple[str, ...] = ()
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.keys) or self.everything


class Outage:
    """Whether operations of one prefix run on the server or here. Every step is one short hold of a lock."""

    def __init__(self, location: str, prefix: str) -> None:
        self._location = location
        self._prefix = prefix
        self._lock = ForkSafeLock()
        self._stand_in = StandIn()
        self._doomed = Doomed()
        self._returned_at = self._tried_at = float("-inf")
        self.place = OutagePlace.SERVER
        self.backend = "server"

    def execute(self, commands: Sequence[Command], *, sweeps: bool) -> list[Reply] | None:
        """Answer in the server's place; None where that is no longer asked for."""
        with self._lock:
            if self.place is not OutagePlace.LOCAL:
                return None
            if sweeps:
                self._stand_in.note_everything()
            was_bounded = not self._stand_in.changed_everything
            replies = self._stand_in.execute(commands)
        if was_bounded and self._stand_in.changed_everything:
            logger.warning(
                "%s: more than %d keys have changed without the server; at its return the whole prefix is cleared.",
                self._name,
                MOST_CHANGES,
            )
        return replies

    def begin(self, error: Exception, started: float) -> None:
        """Answer here from now on, since what was sent at ``started`` failed."""
        with self._lock:
            if self.place is OutagePlace.LOCAL:
                return
            is_late = started < self._returned_at
            self._stand_in.clear()
            self._mark(self._doomed)
            self._doomed = Doomed()
            self.place = OutagePlace.LOCAL
            self._tried_at = float("-inf") if is_late else perf_counter()
        # What had been sent before the server came back says nothing about now: the next caller tries at once.
        if not is_late:
            self.use("memory", error)

    def may_try(self, pause: float) -> bool:
        """Tell whether this caller is to find out whether the server is back: one is, per ``pause`` seconds."""
        with self._lock:
            now = perf_counter()
            if self.place is not OutagePlace.LOCAL or now < self._tried_at + pause:
                return False
            self._tried_at = now
            return True

    def changed(self) -> Doomed:
        """Return what has changed here until now."""
        with self._lock:
            return Doomed(tuple(self._stand_in.changed), self._stand_in.changed_everything)

    def turn_back(self, deleted: Doomed) -> None:
        """Run on the server again, after what has changed here since that was ``deleted`` there."""
        with self._lock:
            if self.place is not OutagePlace.LOCAL:
                return
            stand_in = self._stand_in
            done = frozenset(deleted.keys)
            keys = () if deleted.everything else tuple(key for key in stand_in.changed if key not in done)
            self._doomed = Doomed(keys, stand_in.changed_everything and not deleted.everything)
            self.place = OutagePlace.RETURNING if self._doomed else OutagePlace.SERVER
            self._returned_at = perf_counter()
            stand_in.clear()
        self.use("server")

    def doomed(self) -> Doomed:
        """Return what has to be deleted before the server is asked."""
        with self._lock:
            return self._doomed

    def end(self, deleted: Doomed) -> None:
        """Learn that this was deleted."""
        with self._lock:
            if self.place is OutagePlace.RETURNING and self._doomed is deleted:
                self._doomed = Doomed()
                self.place = OutagePlace.SERVER

    def use(self, backend: str, error: Exception | None = None) -> None:
        """Say which backend answers from now on, where that is another than before."""
        with self._lock:
            if self.backend == backend:
                return
            self.backend = backend
        if error is None:
            logger.warning("%s: the server answers again.", self._name)
        else:
            logger.warning("%s: answered by the %s backend without the server: %s", self._name, backend, error)
        backend_changed.send_robust(
            sender=Outage, location=self._location, key_prefix=self._prefix, backend=backend, error=error
        )

    @property
    def _name(self) -> str:
        return f"Cache {self._prefix!r} at {self._location}"

    def _mark(self, doomed: Doomed) -> None:
        self._stand_in.note(doomed.keys)
        if doomed.everything:
            self._stand_in.note_everything()


class _Outages:
    """The outages of a process, by connection and prefix."""

    def __init__(self) -> None:
        self._by_prefix: PerConnection[dict[str, Outage]] = PerConnection(dict)

    def of(self, connection: Connection, prefix: str) -> Outage:
        """Return the one that all cache objects with this connection and prefix share."""
        by_prefix = self._by_prefix.of(connection)
        return by_prefix.get(prefix) or by_prefix.setdefault(prefix, Outage(connection.settings.alias, prefix))


outages = _Outages()
