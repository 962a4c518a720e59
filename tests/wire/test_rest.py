"""What is the REST route's own: requests, dialects of servers, splitting, tokens, proxies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.codecs import Encoded
from django_upstash.connections import Connection
from django_upstash.dev_server import LocalServer
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from tests.fault_proxy import TLSProxy
from tests.servers import Server

EVERY_BYTE = bytes(range(256))


@pytest.fixture
def connect(local_server: LocalServer) -> Iterator[Callable[..., Connection]]:
    opened: list[Connection] = []

    def connect(**entry: Any) -> Connection:
        entry = {"URL": local_server.url, "TOKEN": local_server.token, "TIMEOUT": 3, **entry}
        opened.append(Connection(make_settings("rest", entry)))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def rest(connect: Callable[..., Connection], local_server: LocalServer) -> Connection:
    """A connection in its steady state: what the server can do has been learnt."""
    connection = connect()
    connection.run(command("FLUSHALL"))
    local_server.reset_meter()
    return connection


def requests(local_server: LocalServer) -> int:
    count: int = local_server.meter()["requests"]
    return count


def test_requests__one_for_any_number_of_commands(rest: Connection, local_server: LocalServer) -> None:
    rest.route.execute([("SET", "k", "v")])
    rest.route.execute([("GET", "k")])
    rest.route.execute([("GET", "k")] * 50)
    rest.route.execute([("INCR", "n")] * 50, atomic=True)
    assert requests(local_server) == 4
    assert rest.route.execute([]) == []
    assert requests(local_server) == 4


def test_requests__100_gathered_are_one(rest: Connection, local_server: LocalServer) -> None:
    async def main(count: int) -> None:
        for _ in range(count):
            await asyncio.gather(*(rest.arun(command("GET", f"k{n}")) for n in range(100)))

    asyncio.run(main(1))
    assert requests(local_server) == 1
    asyncio.run(main(PROBATION + 5))
    assert requests(local_server) == 1 + PROBATION + 5


def test_requests__a_transaction_in_the_same_tick_leaves_by_itself(rest: Connection, local_server: LocalServer) -> None:
    async def main() -> Any:
        return await asyncio.gather(
            rest.route.aexecute([("INCR", "n")]),
            rest.route.aexecute([("INCR", "n"), ("INCR", "n")], atomic=True),
            rest.route.aexecute([("INCR", "n")]),
        )

    replies = asyncio.run(main())
    assert sorted(reply for part in replies for reply in part) == [1, 2, 3, 4]
    assert requests(local_server) == 2


def test_raw_body__carries_what_json_cannot(rest: Connection, valkey: Server, local_server: LocalServer) -> None:
    assert rest.run(command("SET", "k", EVERY_BYTE)) == b"OK"
    assert valkey.call("GET", "k") == EVERY_BYTE
    assert rest.run(command("SET", "a b/c?d#é", EVERY_BYTE, "PX", 60_000)) == b"OK"
    assert valkey.call("GET", "a b/c?d#é") == EVERY_BYTE
    assert valkey.call("PTTL", "a b/c?d#é") > 0
    assert rest.run(command("LPUSH", "l", EVERY_BYTE)) == 1
    assert requests(local_server) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("SET", EVERY_BYTE, EVERY_BYTE),
        ("SET", "k", EVERY_BYTE, "NX"),
        ("MSET", "k", EVERY_BYTE, "k2", EVERY_BYTE),
        ("SET", "", EVERY_BYTE),
        ("SET", "..", EVERY_BYTE),
    ],
)
def test_raw_body__where_there_is_no_form_for_it_nothing_is_sent(
    rest: Connection, local_server: LocalServer, arguments: Any
) -> None:
    with pytest.raises(exceptions.DataError, match="native route"):
        rest.run(command(*arguments))
    assert requests(local_server) == 0


def test_encoded__travels_raw_alone_and_as_marked_text_among_others(rest: Connection, valkey: Server) -> None:
    large, small = Encoded(EVERY_BYTE * 8), Encoded(EVERY_BYTE)
    rest.route.execute([("SET", "large", large)])
    rest.route.execute([("SET", "small", small)])
    rest.route.execute([("SET", "a", large), ("SET", "b", small)])
    rest.route.execute([("SET", "nx", large, "NX")])
    assert valkey.call("GET", "large") == bytes(large)
    text = small.as_text().encode()
    assert [valkey.call("GET", key) for key in ("small", "a", "b", "nx")] == [
        text,
        large.as_text().encode(),
        text,
        large.as_text().encode(),
    ]


def test_resp2__brings_single_bulk_replies(rest: Connection, local_server: LocalServer, valkey: Server) -> None:
    valkey.call("SET", "k", EVERY_BYTE * 1000)
    local_server.reset_meter()
    assert rest.run(command("GET", "k")) == EVERY_BYTE * 1000
    # Base64 would have been a third longer.
    assert local_server.meter()["bytes_out"] < 256_000 * 1.1
    assert rest.run(command("GET", "nothing")) is None
    (error,) = rest.route.execute([("GET",)])
    assert isinstance(error, exceptions.ResponseError)
    assert requests(local_server) == 3


def test_size__requests_over_the_limit_are_split(connect: Callable[..., Connection], local_server: LocalServer) -> None:
    connection = connect(MAX_REQUEST_SIZE=10_000)
    connection.ping()
    local_server.reset_meter()
    commands = [("SET", f"k{n}", "v" * 3_000) for n in range(10)]
    assert connection.route.execute(commands) == [b"OK"] * 10
    assert requests(local_server) == 4
    assert connection.route.execute([("GET", f"k{n}") for n in range(10)]) == [b"v" * 3_000] * 10


def test_size__replies_over_the_limit_are_asked_for_in_halves(rest: Connection, local_server: LocalServer) -> None:
    for n in range(6):
        rest.run(command("SET", f"k{n}", "v" * 3_000_000))
    local_server.reset_meter()
    assert rest.route.execute([("GET", f"k{n}") for n in range(6)]) == [b"v" * 3_000_000] * 6
    assert requests(local_server) > 1
    (error,) = rest.route.execute([("MGET", *(f"k{n}" for n in range(6)))])
    assert isinstance(error, exceptions.PayloadTooLargeError)


def test_sync_token__is_sent_back_and_never_goes_back(rest: Connection) -> None:
    route: Any = rest.route
    rest.run(command("SET", "k", 1))
    token = route._sync_token
    assert token
    assert b"Upstash-Sync-Token: " + token in route._payload("/", b"[]", "base64")
    route._keep_sync_token(b"0")
    assert int(route._sync_token) >= int(token)
    rest.run(command("SET", "k", 2))
    assert int(route._sync_token) > int(token)


def test_sync_token__can_be_left_out(connect: Callable[..., Connection]) -> None:
    connection = connect(READ_YOUR_WRITES=False)
    connection.run(command("SET", "k", 1))
    assert b"sync-token" not in connection.route._payload("/", b"[]", "base64").lower()  # type: ignore[attr-defined]


def test_telemetry__is_off_unless_asked(connect: Callable[..., Connection]) -> None:
    payload = connect().route._payload("/", b"[]", "base64")  # type: ignore[attr-defined]
    assert b"Telemetry" not in payload
    payload = connect(TELEMETRY=True).route._payload("/", b"[]", "base64")  # type: ignore[attr-defined]
    assert b"Upstash-Telemetry-Sdk" in payload


def test_token__wrong_is_an_authentication_error_without_it(connect: Callable[..., Connection]) -> None:
    with pytest.raises(exceptions.AuthenticationError) as caught:
        connect(TOKEN="wr0ng-s3cret").ping()
    assert "s3cret" not in str(caught.value)


def test_token__read_only(valkey: Server) -> None:
    with LocalServer(valkey.url, read_only_token="read-only") as server:
        connection = Connection(make_settings("rest", {"URL": server.url, "TOKEN": "read-only"}))
        assert connection.ping()
        (error,) = connection.route.execute([("SET", "k", "v")])
        assert isinstance(error, exceptions.NoPermissionError)
        connection.close()


@pytest.mark.parametrize("way", ["sync", "async"])
def test_tls__is_verified(local_server: LocalServer, connect: Callable[..., Connection], way: str) -> None:
    port = int(local_server.url.rpartition(":")[2])
    with TLSProxy(port) as proxy:
        url = f"https://localhost:{proxy.port}"
        trusting = connect(URL=url, CA_CERTS=str(proxy.certificate.ca_file))
        doubting = connect(URL=url)
        for _ in range(2):
            assert run(trusting, way) == b"PONG"
        assert proxy.connections == (1 if way == "sync" else 2)  # each loop has its own
        with pytest.raises(exceptions.ConnectionError, match=r"(?i)certificate"):
            run(doubting, way)


def run(connection: Connection, way: str) -> Any:
    if way == "sync":
        return connection.run(command("PING"))

    async def main() -> Any:
        lane = connection.route._lanes.current()  # type: ignore[attr-defined]
        lane._batches = PROBATION
        return await connection.arun(command("PING"))

    return asyncio.run(main())


def test_connections__never_more_than_max_connections(
    connect: Callable[..., Connection], local_server: LocalServer
) -> None:
    connection = connect(MAX_CONNECTIONS=3)
    connection.ping()
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            connection.ping()
            most.append(connection.route.open_connections)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 3
