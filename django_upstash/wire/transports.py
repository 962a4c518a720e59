"""What is asked of an event loop's transport, whose class is the loop's own affair: asyncio's, uvloop's or another."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from django_upstash.wire.sockets import is_quiet

Wire = TypeVar("Wire", bound=asyncio.BaseProtocol)
_LEAST_SHARE = 1.0  # seconds for each of several addresses, but for the last, which has what is left
# Below the time after which the usual gateways forget a connection that nothing passes on (350 s and more).
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}


def keep_alive(transport: Any) -> None:
    """Have the kernel show a sign of life on an idle TCP connection, and end one whose peer shows none."""
    with suppress(Exception):  # a transport of a kind that has no such socket works without
        sock = transport.get_extra_info("socket")
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def connect(made: Callable[[], Wire], host: str, port: int, seconds: float, **tls: Any) -> tuple[Any, Wire]:
    """
    Connect to one of a name's addresses, a silent one leaving the others their share of the seconds.

    Returns the transport and the protocol that ``made`` makes. The caller has a deadline of its own.
    """
    loop = asyncio.get_running_loop()
    if _is_address(host):
        return await loop.create_connection(made, host, port, **tls)
    sock = await _dial(host, port, seconds)
    wires: list[Wire] = []

    def make() -> Wire:
        wires.append(made())
        return wires[-1]

    try:
        return await loop.create_connection(make, sock=sock, **tls)
    except BaseException:
        if not wires:  # otherwise the socket is the transport's
            sock.close()
        raise


async def _dial(host: str, port: int, seconds: float) -> socket.socket:
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "The name has no address")
    for left in range(len(addresses), 0, -1):
        share = max(seconds / len(addresses), _LEAST_SHARE)
        try:
            async with asyncio.timeout(share if left > 1 else None):
                return await _connected(addresses[-left])
        except OSError as error:
            failure = error
    raise failure


async def _connected(address: Any) -> socket.socket:
    family, kind, protocol, _, place = address
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def has_news(transport: Any) -> bool:
    """Tell whether a transport's socket has bytes, or the end of the stream, that the loop has not read."""
    try:
        return not is_quiet(transport.get_extra_info("socket"))
    except Exception:  # it is closed, or of a kind that has no socket
        return False


def is_closing(transport: Any) -> bool:
    try:
        return bool(transport.is_closing())
    except Exception:  # whatever is the matter with it, it is of no more use
        return True


def abort(transport: Any) -> None:
    """Close a transport at once, without the farewell that TLS would wait for."""
    with suppress(Exception):  # it is given up either way
        transport.abort()
