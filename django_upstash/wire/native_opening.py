"""How the native route opens a connection in an event loop: the socket, TLS and the handshake, by one deadline."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import unquote

from django_upstash.credentials import SecretBytes
from django_upstash.exceptions import ConnectionError, DataError, TimeoutError, UpstashError
from django_upstash.wire import transports
from django_upstash.wire.batching import Entry, closed_error
from django_upstash.wire.deadlines import within
from django_upstash.wire.packing import pack
from django_upstash.wire.sockets import reason
from django_upstash.wire.tls import tls_context

if TYPE_CHECKING:
    from django_upstash.settings.conf import ConnectionSettings


class OpeningWire(Protocol):
    """A wire while it is opened: what the loop calls it for, and what the handshake needs."""

    def connection_made(self, transport: Any) -> None: ...
    def send(self, batch: list[Entry]) -> None: ...
    def begin(self) -> None: ...
    def abort(self, error: UpstashError) -> None: ...


W = TypeVar("W", bound=OpeningWire)


async def open_wire(make: Callable[[], W], settings: ConnectionSettings) -> tuple[W, float]:
    """
    Open a connection in the running loop: TCP or unix socket, TLS, AUTH, SELECT, all within ``CONNECT_TIMEOUT``.

    Returns the wire and the seconds used, without those in which other code blocked the loop.
    """
    wires: list[W] = []

    def made() -> W:
        wires.append(make())
        return wires[-1]

    try:
        async with within(settings.connect_seconds) as spent:
            await _connect(made, settings)
            await _shake_hands(wires[-1], settings)
    except BaseException as error:
        for wire in wires:
            wire.abort(closed_error())
        failure = _failure_of(error, settings)
        if failure is None:
            raise
        raise failure from error
    wires[-1].begin()
    return wires[-1], spent.used


def _failure_of(error: BaseException, settings: ConnectionSettings) -> UpstashError | None:
    """Return this package's error for what the opening raised; None for what is to be raised as it is."""
    if isinstance(error, builtins.TimeoutError):
        return TimeoutError(
            f"No connection to {settings.safe_url} within {settings.connect_seconds:g} s; nothing was sent."
        )
    if isinstance(error, OSError):
        return ConnectionError(f"Cannot connect to {settings.safe_url}: {reason(error)}; nothing was sent.")
    return None


async def _connect(made: Callable[[], Any], settings: ConnectionSettings) -> None:
    loop = asyncio.get_running_loop()
    if settings.scheme == "unix":
        await loop.create_unix_connection(made, unquote(settings.parts.path))
        return
    host, port = settings.parts.hostname or "", settings.parts.port or 6379
    tls: dict[str, Any] = {}
    if settings.scheme == "rediss":
        tls = {"ssl": tls_context(settings), "server_hostname": host}
    await transports.connect(made, host, port, settings.connect_seconds, **tls)


async def _shake_hands(wire: OpeningWire, settings: ConnectionSettings) -> None:
    failure: DataError | None = None
    try:
        payload, count = _handshake(settings)
    except DataError as error:
        failure = error
    if failure is not None:
        failure.__context__ = None  # whose frames hold the password
        raise failure.with_traceback(None)
    if not count:
        return
    loop = asyncio.get_running_loop()
    entry = Entry(payload, count, (), replay_safe=False, is_last_try=True)
    entry.deadline = float("inf")  # the opening's own
    entry.future = loop.create_future()
    wire.send([entry])
    for reply in await entry.future:
        if isinstance(reply, ConnectionError):
            raise reply
        if isinstance(reply, Exception):
            raise ConnectionError(f"The server refused the handshake: {reply}") from reply


def _handshake(settings: ConnectionSettings) -> tuple[SecretBytes, int]:
    """Return what is sent first on a connection, packed, and the number of its commands."""
    username, password = settings.user_and_password
    commands: list[tuple[str, ...]] = []
    if password:
        commands.append(("AUTH", username, password) if username else ("AUTH", password))
    if settings.database:
        commands.append(("SELECT", str(settings.database)))
    return SecretBytes(pack(commands, stateful=True) if commands else b""), len(commands)
