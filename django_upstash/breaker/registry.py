"""The circuits that a process knows, and the server that it shares them on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from django.core.exceptions import ImproperlyConfigured

from django_upstash.breaker.circuit import Circuit
from django_upstash.breaker.settings import BreakerOptions
from django_upstash.connections import Connection, connections
from django_upstash.forks import ForkSafeLock, PerConnection, reset_after_fork
from django_upstash.log import get_logger
from django_upstash.operations.keys import percent_encoded
from django_upstash.settings import conf
from django_upstash.wire.refusals import reports

logger = get_logger("django_upstash.breaker")


class Board:
    """All circuits of this process whose records are on one server, or on none."""

    def __init__(self) -> None:
        self._circuits: dict[str, Circuit] = {}
        self._refresh_at = inf
        self._is_away = False
        self._lock = ForkSafeLock()

    def circuit(self, name: str) -> Circuit:
        """Return the one circuit of a name."""
        found = self._circuits.get(name)
        if found is None:
            with self._lock:
                found = self._circuits.setdefault(name, Circuit(name))
        return found

    def circuits(self) -> list[Circuit]:
        with self._lock:
            return list(self._circuits.values())

    def is_due(self, pause: float | None, now: float) -> bool:
        """Tell whether this caller is to ask what is forced; the first time comes one pause after the first call."""
        if pause is None or (now < self._refresh_at < inf):
            return False
        with self._lock:
            is_first, is_due = self._refresh_at == inf, now >= self._refresh_at
            if is_first or is_due:
                self._refresh_at = now + pause
            return is_due

    def take_forced(self, found: dict[str, str]) -> None:
        """Learn what is forced: circuits for which it is something else than before are asked about again."""
        for circuit in self.circuits():
            text = found.get(percent_encoded(circuit.name))
            if text != circuit.forced_text:
                circuit.forced_text, circuit.is_stale = text, True

    def note(self, error: Exception | None, server: str) -> None:
        """Log that the server has gone away, or has come back: one line each time; a refusal each minute."""
        if error is not None:
            reports.report(logger, server, "Circuits are this process's own without the server", error)
        if (error is not None) is self._is_away:
            return
        self._is_away = error is not None
        if error is not None:
            logger.warning("Circuits are this process's own while %s is away: %s", server, error)
        else:
            logger.warning("Circuits are shared on %s again.", server)

    def after_fork(self) -> None:
        for circuit in self._circuits.values():
            circuit.after_fork()


@dataclass(frozen=True, slots=True)
class Link:
    """
    The server that a breaker's circuit is shared on, with the little time there is to reach it.

    Without Redis both connections are None, and the circuit is the process's own.
    """

    base: Connection | None
    timeout: float
    connection: Connection | None
    board: Board


def link(options: BreakerOptions, known: Link | None = None) -> Link:
    """Return where a breaker's circuit is; ``known`` where nothing has changed. Raises ``ImproperlyConfigured``."""
    try:
        base = connections[options.alias]
    except ImproperlyConfigured:
        if conf.aliases():
            raise
        return Link(None, 0.0, None, _without_redis)
    if known is not None and known.base is base and known.timeout == options.redis_timeout:
        return known
    timeout = min(options.redis_timeout, base.settings.timeout)
    impatient = replace(base.settings, timeout=timeout, connect_timeout=timeout, pool_timeout=timeout)
    return Link(base, options.redis_timeout, connections.for_settings(impatient), _boards.of(base))


def boards() -> list[tuple[str, Board]]:
    """Return the boards of this process' connections, by their alias; "" is without Redis."""
    opened = set(map(id, connections.opened()))  # and not those of settings that hold no longer
    found = [(connection.settings.alias, board) for connection, board in _boards.items() if id(connection) in opened]
    return [*found, ("", _without_redis)]


_boards = PerConnection(Board, Board.after_fork)
_without_redis = Board()
reset_after_fork(_without_redis.after_fork)
