"""redis-py's connection, which opens a wire: TCP or unix socket, TLS, AUTH and SELECT within one deadline."""

from __future__ import annotations

import inspect
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from redis.connection import AbstractConnection, Connection, UnixDomainSocketConnection

from django_upstash.wire.packing import SecretPacker
from django_upstash.wire.packing import pack as pack
from django_upstash.wire.sockets import LEAST_WAIT, dial
from django_upstash.wire.tls import tls_context

if TYPE_CHECKING:
    import ssl

    from django_upstash.settings.conf import ConnectionSettings

# redis-py 8 announces itself unless told not to by the first of these, redis-py 6 and 7 by the others.
UNANNOUNCED: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters
    else {"lib_name": None, "lib_version": None}
)


class _Connection(Connection):
    """redis-py's connection, opened before one deadline whatever its steps, with the shared TLS context."""

    def __init__(self, deadline: float, tls: ssl.SSLContext | None, **kwargs: Any) -> None:
        self._deadline = deadline
        self._tls = tls
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        sock = dial(self.host, self.port, self._deadline)
        try:
            sock.settimeout(max(self._deadline - monotonic(), LEAST_WAIT))
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self.host)
            sock.settimeout(max(self._deadline - monotonic(), LEAST_WAIT))
        except BaseException:
            sock.close()
            raise
        return sock


def make_connection(settings: ConnectionSettings, deadline: float, **extra: Any) -> AbstractConnection:
    """
    Return redis-py's connection object for these settings, not yet connected and with no needless handshake.

    It connects before the deadline, in ``monotonic()`` time.
    """
    kwargs = {
        **connection_kwargs(settings),
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.connect_seconds,
        "protocol": 2,
        "command_packer": SecretPacker(),
        **UNANNOUNCED,
        **extra,
    }
    if "path" in kwargs:
        return UnixDomainSocketConnection(**kwargs)  # type: ignore[abstract, no-untyped-call]
    return _Connection(deadline, tls_context(settings) if settings.scheme == "rediss" else None, **kwargs)


def connection_kwargs(settings: ConnectionSettings) -> dict[str, Any]:
    """Return what the settings say, in redis-py's words: host and port or path, user, password, database."""
    username, password = settings.user_and_password
    kwargs: dict[str, Any] = {"username": username, "password": password, "db": settings.database}
    if settings.scheme == "unix":
        return {**kwargs, "path": unquote(settings.parts.path)}
    return {**kwargs, "host": settings.parts.hostname, "port": settings.parts.port or 6379}
