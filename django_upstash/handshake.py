"""
Finding out, before a server is used, that it is there, which one it is, and how long it takes to answer.

``verification.py`` does so when asked to; a connection whose settings say ``VERIFY`` does so at its first use.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from django_upstash.effects import Flow, Run, adrive, drive
from django_upstash.exceptions import NoPermissionError, UnknownCommandError, UpstashError
from django_upstash.inspection.diagnosis import Diagnosis, diagnose
from django_upstash.inspection.server import read_info
from django_upstash.operations import Command, Operation, Reply, command, only
from django_upstash.routes.base import Route

if TYPE_CHECKING:
    from django_upstash.conf import ConnectionSettings
    from django_upstash.connections import Connection

logger = logging.getLogger("django_upstash")


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """
    A server that has answered. Holds no secret.

    ``server`` is its software and version, empty where it does not tell. ``connect_ms`` are the milliseconds of the
    first exchange, in which the connection was opened unless it was before; ``latency_ms`` those of the second.
    """

    alias: str
    route: str
    url: str
    server: str
    connect_ms: float
    latency_ms: float


def shake_hands(connection: Connection) -> Handshake:
    """
    Ask the server who it is and how far away, in two requests of one command each, and log ``redis_connected``.

    Where that fails, logs ``redis_not_connected`` and raises an error of the same class whose text is the cause and
    the next step, without secrets.
    """
    found: Handshake = drive(_meeting(connection))
    return found


async def ashake_hands(connection: Connection) -> Handshake:
    """Do as ``shake_hands`` does, awaited."""
    found: Handshake = await adrive(_meeting(connection))
    return found


def _meeting(connection: Connection) -> Flow[Any]:
    try:
        found = yield from _exchanges(connection)
    except UpstashError as error:
        diagnosis = diagnose(error, connection.settings)
        _log_failure(connection.settings, diagnosis)
        raise type(error)(f"{connection.settings.alias}: {diagnosis}") from error
    _log_success(found)
    return found


def _exchanges(connection: Connection) -> Flow[Any]:
    settings = connection.settings
    _ = connection.route  # now, for what it imports is not the server's time
    started = perf_counter()
    server = yield Run(connection, Operation((("INFO",),), _server))
    connected = perf_counter()
    yield Run(connection, command("PING"))
    return Handshake(
        alias=settings.alias,
        route=settings.route,
        url=settings.safe_url,
        server=server,
        connect_ms=round((connected - started) * 1000, 3),
        latency_ms=round((perf_counter() - connected) * 1000, 3),
    )


def _server(replies: list[Reply]) -> str:
    if isinstance(replies[0], NoPermissionError | UnknownCommandError):
        return ""  # it does not tell, and works
    return read_info(only(replies), 0).name


def _log_success(found: Handshake) -> None:
    shown = (found.alias, found.route, found.server, found.latency_ms)
    logger.info("redis_connected alias=%s route=%s server=%r latency_ms=%s", *shown, extra=asdict(found))


def _log_failure(settings: ConnectionSettings, found: Diagnosis) -> None:
    where = {"alias": settings.alias, "route": settings.route, "url": settings.safe_url}
    shown = (settings.alias, settings.route, found)
    logger.error("redis_not_connected alias=%s route=%s: %s", *shown, extra={**where, **asdict(found)})


class VerifyingRoute(Route):
    """
    The route of a connection that has not been verified yet: it shakes hands before it carries anything.

    One caller does so; those that come meanwhile go on as if it was done. Then the route ``behind`` takes this one's
    place. Where the handshake fails its error is raised, and the next caller tries again.
    """

    def __init__(self, connection: Connection, behind: Route) -> None:
        super().__init__()
        self.behind = behind
        self.traffic = behind.traffic
        self._connection = connection
        self._is_done = False
        self._turn = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)  # what only some routes have

    def execute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> list[Reply]:
        # The handshake's own commands come this way too, while the turn is taken.
        if not self._is_done and self._turn.acquire(blocking=False):
            try:
                shake_hands(self._connection)
                self._succeeded()
            finally:
                self._turn.release()
        return self.behind.execute(commands, atomic=atomic, replay_safe=replay_safe)

    async def aexecute(
        self, commands: Sequence[Command], *, atomic: bool = False, replay_safe: bool | None = None
    ) -> list[Reply]:
        if not self._is_done and self._turn.acquire(blocking=False):
            try:
                await ashake_hands(self._connection)
                self._succeeded()
            finally:
                self._turn.release()
        return await self.behind.aexecute(commands, atomic=atomic, replay_safe=replay_safe)

    @property
    def open_connections(self) -> int:
        return self.behind.open_connections

    def close(self) -> None:
        self.behind.close()

    def after_fork(self) -> None:
        # The route behind is told by itself.
        self._turn = threading.Lock()

    def _succeeded(self) -> None:
        self._is_done = True
        self._connection.be_verified()
