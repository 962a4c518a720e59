from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.dev_server.backend import MOST_CONNECTIONS, Address, Backend, BackendError
from tests.dev_server.conftest import Client
from tests.fault_proxy import TLSProxy
from tests.servers import Server, certificate, start_valkey


def using(url: str, use: Callable[[Backend], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        backend = Backend(Address.of(url))
        try:
            return await use(backend)
        finally:
            await backend.close()

    return asyncio.run(main())


async def ping(backend: Backend) -> Any:
    return (await backend.exchange([("PING",)])).replies


@pytest.mark.parametrize("form", ["url", "tcp_url"])
def test_url__unix_and_tcp(valkey: Server, form: str) -> None:
    assert using(getattr(valkey, form), ping) == [b"PONG"]


def test_url__password_user_and_database() -> None:
    with start_valkey(requirepass="secret", user="ann on >her%pass ~* +@all") as server:
        secret = server.tcp_url.replace("redis://", "redis://:secret@")
        ann = server.tcp_url.replace("redis://", "redis://ann:her%25pass@").replace("/0", "/3")
        with LocalServer(secret) as first, LocalServer(ann) as second, Client(first) as one, Client(second) as other:
            assert one.command("SET", "a", "1").result == "OK"
            assert other.command("EXISTS", "a").result == 0
            assert other.command("SELECT", "0").result == "OK"
            assert other.command("EXISTS", "a").result == 0


def test_url__tls(valkey: Server) -> None:
    with TLSProxy(valkey.port) as proxy:
        assert using(f"{proxy.url}?ssl_ca_certs={certificate().ca_file}", ping) == [b"PONG"]
        assert using(f"{proxy.url}?ssl_cert_reqs=none", ping) == [b"PONG"]
        with pytest.raises(BackendError, match=r"^Cannot reach the Redis at rediss://localhost:\d+: .*certificate"):
            using(proxy.url, ping)


def test_url__wrong_password_is_told_without_it() -> None:
    with start_valkey(requirepass="secret") as server:
        for url in (server.tcp_url.replace("redis://", "redis://:guess@"), server.tcp_url):
            with pytest.raises(BackendError, match=r"^The Redis at redis://127.0.0.1:\d+ refused ") as caught:
                LocalServer(url).start()
            assert "guess" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "http://:secret@localhost", "redis://:se/cret@localhost:6379", "localhost:6379", "redis://h?db=x"]
)
def test_url__of_nothing_known(url: str) -> None:
    with pytest.raises(BackendError, match="That is not the address of a Redis; ") as caught:
        Address.of(url)

    assert "se" not in str(caught.value).removeprefix("That is not the address").replace("such as", "").split("give")[0]
    assert caught.value.__cause__ is None


def test_address__shows_no_secret() -> None:
    address = Address.of("rediss://user:secret@host:1/2?ssl_ca_certs=x")

    assert str(address) == "rediss://host:1"
    assert "secret" not in repr(address)


def test_unreachable__one_sentence() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://:secret@127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BackendError, match=r"^Cannot reach the Redis at redis://127\.0\.0\.1:\d+: .*\.$"):
            using(url, ping)


def test_restart__the_next_request_finds_the_new_one() -> None:
    with start_valkey() as valkey, LocalServer(valkey.url) as server, Client(server) as client:
        assert client.command("SET", "a", "1").result == "OK"
        valkey.stop()
        refused = client.command("GET", "a")
        assert refused.status == 503
        assert refused.json["error"].startswith("ERR Cannot reach the Redis at unix://")

        valkey.start()
        assert client.command("GET", "a").result is None


def test_exchange__connections_are_used_again(valkey: Server) -> None:
    async def many(backend: Backend) -> None:
        for _ in range(20):
            await ping(backend)
        await asyncio.gather(*(ping(backend) for _ in range(200)))

    with valkey.counting() as counted:
        using(valkey.url, many)
    assert counted.by_command["ping"] == 220
    assert counted.connections <= MOST_CONNECTIONS


def test_exchange__a_cancelled_one_leaves_no_reply_to_the_next(valkey: Server) -> None:
    async def cancel(backend: Backend) -> Any:
        await ping(backend)
        waiting = asyncio.create_task(backend.exchange([("BLPOP", "never", 0)]))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return await ping(backend)

    assert using(valkey.url, cancel) == [b"PONG"]


def test_start__learns_what_is_missing(valkey: Server) -> None:
    async def learn(backend: Backend) -> frozenset[str]:
        await backend.start(("GET", "NOSUCH"))
        return backend.lacks

    assert using(valkey.url, learn) == {"NOSUCH"}


def test_protocol__a_port_that_speaks_something_else(valkey: Server) -> None:
    with LocalServer(valkey.url) as other, pytest.raises(BackendError):
        LocalServer(other.url.replace("http", "redis")).start()
