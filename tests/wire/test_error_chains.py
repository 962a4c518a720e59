"""What a connection error carries in its chain: errors of the wire, and nothing of this package's own bookkeeping."""

from __future__ import annotations

import asyncio
import builtins
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from django_upstash.connections import Connection
from django_upstash.exceptions import UpstashError
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings

# asyncio ends what takes too long by a cancellation.
OF_THE_WIRE = (OSError, UpstashError, redis.RedisError, builtins.TimeoutError, asyncio.CancelledError, EOFError)


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all it carries as causes and contexts."""
    found: dict[int, BaseException] = {}
    left = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            left += [one.__cause__, one.__context__]
    yield from found.values()


@pytest.fixture(params=["refused", "silent", "closing"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port where nobody listens, where nobody answers, or where every connection is closed at its first request."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        number: int = server.getsockname()[1]
        if request.param == "closing":
            threading.Thread(target=_close_each, args=(server,), daemon=True).start()
        elif request.param == "refused":
            server.close()
        yield number


def _close_each(server: socket.socket) -> None:
    while True:
        try:
            with server.accept()[0] as accepted:
                accepted.recv(1000)
        except OSError:
            return


@pytest.fixture(params=["redis", "rediss", "http", "https"])
def away(request: pytest.FixtureRequest, port: int) -> Iterator[Connection]:
    entry: dict[str, Any] = {"URL": f"{request.param}://127.0.0.1:{port}", "TIMEOUT": 0.2, "RETRIES": 1}
    if request.param.startswith("http"):
        entry["TOKEN"] = "example-token"
    connection = Connection(make_settings("away", entry))
    yield connection
    connection.close()


def is_of_the_wire(error: object) -> bool:
    assert isinstance(error, UpstashError | redis.RedisError)
    strangers = [one for one in chain_of(error) if not isinstance(one, OF_THE_WIRE)]
    assert strangers == []
    return True


def test_sync__errors_carry_those_of_the_wire_alone(away: Connection) -> None:
    for _ in range(2):
        with pytest.raises(UpstashError) as caught:
            away.run(command("GET", "k"))
        assert is_of_the_wire(caught.value)


def test_async__errors_carry_those_of_the_wire_alone(away: Connection) -> None:
    async def errors() -> list[Any]:
        found: list[Any] = []
        for count in (1, 3):  # alone, and sharing a round trip
            asking = [away.arun(command("GET", "k")) for _ in range(count)]
            found += await asyncio.gather(*asking, return_exceptions=True)
        return found

    assert all(map(is_of_the_wire, asyncio.run(errors())))


def test_dedicated__errors_carry_those_of_the_wire_alone(away: Connection) -> None:
    if away.settings.route == "native":
        lending: Any = away.redis
        with pytest.raises(redis.RedisError) as caught, lending.client() as client:
            client.ping()
        assert is_of_the_wire(caught.value)


def test_pool__that_has_none_free(upstash: Any, valkey: Any) -> None:
    connection = Connection(make_settings("full", {**upstash["native"], "MAX_CONNECTIONS": 1, "POOL_TIMEOUT": 0.05}))
    pool: Any = connection.route
    with closing(connection):
        wire = pool._pool.acquire()
        try:
            with pytest.raises(UpstashError) as caught:
                connection.run(command("GET", "k"))
        finally:
            pool._pool.release(wire)
        assert is_of_the_wire(caught.value)
