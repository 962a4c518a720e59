"""REST servers that other people write: raw bodies that are refused, and RESP2 of every kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.codecs import Encoded
from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from tests.rest_fronts import RestFront
from tests.wire.test_http import ScriptedServer, response, result

EVERY_BYTE = bytes(range(256))
REFUSALS = {
    "400 in JSON": response(b'{"error":"Invalid content type. Expected application/json."}', status="400 Bad Request"),
    "415 in words": response(b"expected application/json", status="415 Unsupported Media Type"),
    "404 as a page": response(b"<html>", status="404 Not Found"),
    "422 in JSON": response(b'{"error":"Unprocessable"}', status="422 Unprocessable Entity"),
}


@contextmanager
def connected(url: str, token: str = "t") -> Iterator[Connection]:
    connection = Connection(make_settings("rest", {"URL": url, "TOKEN": token, "TIMEOUT": 10}))
    try:
        yield connection
    finally:  # a scripted server's end waits for its connections'
        connection.close()


class RefusesRawBodies:
    """Answers as a server does that takes JSON alone, and knows one command's result."""

    def __init__(self, refusal: bytes, outcome: bytes) -> None:
        self._refusal = refusal
        self._outcome = outcome
        self.refused = 0

    def __call__(self, path: str, document: list[Any]) -> bytes:
        if path == "/" and document[0] == "PING":
            return result("UE9ORw==")
        if path == "/":
            return self._outcome
        self.refused += 1
        return self._refusal


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_raw_body__refused_travels_as_json_and_is_not_tried_again(refusal: bytes) -> None:
    answer = RefusesRawBodies(refusal, result("T0s="))
    value = Encoded(EVERY_BYTE * 8)
    with ScriptedServer(answer) as server, connected(server.url) as connection:
        assert [connection.run(command("SET", "k", value)) for _ in range(3)] == [b"OK"] * 3
        assert asyncio.run(connection.arun(command("SET", "k", value))) == b"OK"
    assert answer.refused == 1
    assert json.loads(server.requests[-1][2]) == ["SET", "k", value.as_text()]


def test_raw_body__refused_for_another_reason_is_tried_again() -> None:
    error = b'{"error":"WRONGTYPE Operation against a key holding the wrong kind of value"}'
    answer = RefusesRawBodies(response(error, status="400 Bad Request"), response(error, status="400 Bad Request"))
    with ScriptedServer(answer) as server, connected(server.url) as connection:
        for _ in range(2):
            with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"):
                connection.run(command("APPEND", "k", Encoded(EVERY_BYTE * 8)))
            with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"):
                connection.run(command("APPEND", "k", EVERY_BYTE))
    assert answer.refused == 4


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_raw_body__refused_with_bytes_that_json_cannot_carry_says_so(refusal: bytes) -> None:
    answer = RefusesRawBodies(refusal, b"")
    with (
        ScriptedServer(answer) as server,
        connected(server.url) as connection,
        pytest.raises(exceptions.DataError, match="takes no raw bodies"),
    ):
        connection.run(command("SET", "k", EVERY_BYTE))


def test_raw_body__that_has_worked_is_sent_on_after_a_refusal() -> None:
    outcomes = [result("T0s="), response(b'{"error":"ERR too much"}', status="400 Bad Request"), result("T0s=")]

    def answer(path: str, document: list[Any]) -> bytes:
        return result("UE9ORw==") if path == "/" else outcomes.pop(0)

    with ScriptedServer(answer) as server, connected(server.url) as connection:
        assert connection.run(command("SET", "k", EVERY_BYTE)) == b"OK"
        with pytest.raises(exceptions.ResponseError, match="too much"):
            connection.run(command("SET", "k", EVERY_BYTE))
        assert connection.run(command("SET", "k", EVERY_BYTE)) == b"OK"


@pytest.mark.parametrize("is_awaited", [False, True])
def test_error__to_a_large_body_ends_the_connection(is_awaited: bool) -> None:
    """The server closes then without a word, and the next command would meet the end of the connection."""
    refusal = response(b'{"error":"ERR too much"}', status="400 Bad Request")
    served: list[str] = []

    def answer(path: str, document: list[Any]) -> bytes:
        served.append(document[0])
        return {"SET": refusal, "PING": result("UE9ORw==")}.get(document[0], result(2))

    async def twice(connection: Connection) -> list[Any]:
        for _ in range(PROBATION + 1):
            await connection.route.aexecute([("PING",)])
        (refused,) = await connection.route.aexecute([("SET", "k", "x" * 100_000)])
        opened = server.accepted
        return [refused, *await connection.route.aexecute([("INCR", "n")]), server.accepted - opened]

    with ScriptedServer(answer) as server, connected(server.url) as connection:
        if is_awaited:
            refused, reply, more = asyncio.run(twice(connection))
        else:
            (refused,) = connection.route.execute([("SET", "k", "x" * 100_000)])
            opened = server.accepted
            (reply,) = connection.route.execute([("INCR", "n")])
            more = server.accepted - opened
    assert isinstance(refused, exceptions.ResponseError)
    assert (reply, more) == (2, 1)


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (b"+OK\r\n", b"OK"),
        (b":1\r\n", 1),
        (b"*2\r\n$1\r\na\r\n:2\r\n", [b"a", 2]),
        (b"$2\r\nOK\r\n", b"OK"),
        (b"$-1\r\n", None),
    ],
)
def test_resp2__of_every_kind(body: bytes, reply: Any) -> None:
    def answer(path: str, document: list[Any]) -> bytes:
        return response(body) if document[0] == "GET" else result("UE9ORw==")

    with ScriptedServer(answer) as server, connected(server.url) as connection:
        assert connection.route.execute([("GET", "k")]) == [reply]

        async def ask() -> list[Any]:
            return await connection.route.aexecute([("GET", "k")])

        assert asyncio.run(ask()) == [reply]
    assert len(server.requests) == 3


def test_cache__stores_large_values_where_raw_bodies_are_refused(local_server: LocalServer, settings: Any) -> None:
    from django_upstash.cache import UpstashCache

    with RestFront(local_server, refuses_raw_bodies=True) as front:
        settings.UPSTASH = {"front": front.settings}
        cache = UpstashCache("front", {"KEY_PREFIX": "large"})
        for size in (500, 1000, 5000, 3_000_000):
            cache.set("key", {"text": "x" * size})
            assert cache.get("key") == {"text": "x" * size}
        cache.clear()
