"""Server-sent events: what SUBSCRIBE, PSUBSCRIBE and MONITOR say, for as long as the client listens."""

from __future__ import annotations

import json

from django_upstash.dev_server.backend import Backend, BackendConnection, BackendError, BackendReply
from django_upstash.dev_server.encoding import Command, as_text


class ServerEventStream:
    """The events of one subscription, on a backend connection of its own."""

    def __init__(self, connection: BackendConnection, first: BackendReply) -> None:
        self._connection = connection
        # MONITOR alone begins with a status, and Upstash puts that in quotes.
        self._begun = _event(first) if isinstance(first, list) else _event([json.dumps(as_text(first))])
        self._is_first = True

    def __aiter__(self) -> ServerEventStream:
        return self

    async def __anext__(self) -> bytes:
        if self._is_first:
            self._is_first = False
            return self._begun
        try:
            [reply] = await self._connection.receive(1)
        except BackendError:
            raise StopAsyncIteration from None
        return _event(reply if isinstance(reply, list) else [reply])

    def close(self) -> None:
        self._connection.close()


async def open_stream(backend: Backend, command: Command) -> ServerEventStream:
    """Send the command on a new connection; raise the server's error where it is refused."""
    connection = await backend.connect()
    try:
        connection.send([command])
        [first] = await connection.receive(1)
        if isinstance(first, Exception):
            raise first
    except BaseException:
        connection.close()
        raise
    return ServerEventStream(connection, first)


def _event(parts: list[BackendReply]) -> bytes:
    text = ",".join(str(as_text(part)) for part in parts)
    return "".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n"
