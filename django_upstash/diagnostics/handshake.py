"""
Finding out, before a server is used, that it is there, which one it is, and how long it takes to answer.

``verification.py`` does so when asked to; a connection whose settings say ``VERIFY`` does so at its first use.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from django_upstash.diagnostics.diagnosis import Diagnosis, diagnose
from django_upstash.diagnostics.server import read_info
from django_upstash.exceptions import NoPermissionError, UnknownCommandError, UpstashError
from django_upstash.forks import Turn
from django_upstash.log import get_logger
from django_upstash.operations import Operation, Reply, command, only
from django_upstash.operations.steps import Flow, Run, adrive, drive

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.shared_connection import SharedConnection

logger = get_logger("django_upstash")


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


def shake_hands(connection: SharedConnection) -> Handshake:
    """
    Ask the server who it is and how far away, in two requests of one command each, and log ``redis_connected``.

    Where that fails, logs ``redis_not_connected`` and raises an error of the same class whose text is the cause and
    the next step, without secrets.
    """
    found: Handshake = drive(_meeting(connection))
    return found


async def ashake_hands(connection: SharedConnection) -> Handshake:
    """Async version of ``shake_hands``."""
    found: Handshake = await adrive(_meeting(connection))
    return found


def _meeting(connection: SharedConnection) -> Flow[Any]:
    try:
        found = yield from _exchanges(connection)
    except UpstashError as error:
        diagnosis = diagnose(error, connection.settings)
        _log_failure(connection.settings, diagnosis)
        raise type(error)(f"{connection.settings.alias}: {diagnosis}") from error
    _log_success(found)
    return found


def _exchanges(connection: SharedConnection) -> Flow[Any]:
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


class FirstUse:
    """
    What a connection with ``VERIFY`` does before it carries its first operation: it shakes hands.

    One caller does so; those that come meanwhile go on as if it was done. Where the handshake fails its error is
    raised, and the next caller tries again.
    """

    def __init__(self, connection: SharedConnection) -> None:
        self._connection = connection
        self._is_done = False
        self._turn = Turn()

    def verify(self) -> None:
        if self._begin():
            try:
                shake_hands(self._connection)
                self._succeeded()
            finally:
                self._turn.end()

    async def averify(self) -> None:
        if self._begin():
            try:
                await ashake_hands(self._connection)
                self._succeeded()
            finally:
                self._turn.end()

    def _begin(self) -> bool:
        # The handshake's own commands come this way too, while the turn is taken.
        return not self._is_done and self._turn.take()

    def _succeeded(self) -> None:
        self._is_done = True
        self._connection.be_verified()
