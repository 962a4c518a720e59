"""A subscription on a native connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import redis

from django_upstash.adapters.dedicated import RedisConnection
from django_upstash.adapters.dedicated_async import abort, make_connection, open_in_time, send
from django_upstash.exceptions import ConnectionError, TimeoutError
from django_upstash.pubsub.items import Message
from django_upstash.wire.native import translate

if TYPE_CHECKING:
    from django_upstash.connections import Connection
    from django_upstash.wire.native import NativeRoute

# redis-py reads None as its own timeout, and only its later versions know a number for "for ever".
_FOR_EVER = 1e9


class NativeStream:
    """One connection that is subscribed. It is beside the pool, and so not one of ``MAX_CONNECTIONS``."""

    def __init__(self, connection: RedisConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    async def subscribe(self, channels: Sequence[str], patterns: Sequence[str]) -> None:
        """Subscribe and wait until the server has confirmed every name; messages cannot come before that."""
        if channels:
            await self._send("SUBSCRIBE", *channels)
        if patterns:
            await self._send("PSUBSCRIBE", *patterns)
        self._early: list[Message] = []
        unconfirmed, deadline = len(channels) + len(patterns), monotonic() + self._timeout
        while unconfirmed:
            reply = await self._read(max(0.0, deadline - monotonic()))
            if reply is None:
                raise TimeoutError(f"The server did not confirm the subscription within {self._timeout:g} s.")
            if reply[0] in (b"subscribe", b"psubscribe"):
                unconfirmed -= 1
            else:  # of the first names, while the last are under way
                self._early += _messages(reply)

    async def receive(self, seconds: float | None) -> list[Message] | None:
        if self._early:
            early, self._early = self._early, []
            return early
        reply = await self._read(_FOR_EVER if seconds is None else seconds)
        return None if reply is None else _messages(reply)

    async def ask(self) -> bool:
        await self._send("PING")
        return True

    def close(self) -> None:
        abort(self._connection)

    async def _send(self, *command: str) -> None:
        try:
            await send(self._connection, command, self._timeout)
        except redis.RedisError as error:
            raise translate(error) from error

    async def _read(self, seconds: float) -> Any:
        try:
            return await self._connection.read_response(timeout=seconds)
        except redis.ResponseError:
            raise
        except redis.TimeoutError as error:
            raise TimeoutError("The server did not answer in time.") from error
        except redis.RedisError as error:
            if isinstance(error, ConnectionError):
                raise
            raise ConnectionError("The connection of a subscription broke.") from error


async def open_stream(connection: Connection, channels: Sequence[str], patterns: Sequence[str]) -> NativeStream:
    """Connect and subscribe; raise this package's errors."""
    made = make_connection(cast("NativeRoute", connection.route).address())
    stream = NativeStream(made, connection.settings.timeout)
    try:
        await open_in_time(made, connection.settings)
        await stream.subscribe(channels, patterns)
    except BaseException:
        stream.close()
        raise
    return stream


def _messages(reply: Any) -> list[Message]:
    kind, *rest = reply
    if kind == b"message":
        return [Message(_name(rest[0]), rest[1])]
    if kind == b"pmessage":
        return [Message(_name(rest[1]), rest[2], pattern=_name(rest[0]))]
    return []


def _name(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")  # others may use any bytes
