from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from tests.dev_server.conftest import Client, eventually
from tests.servers import Server


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_environment__leads_to_the_server(server: LocalServer) -> None:
    assert server.env == {"UPSTASH_REDIS_REST_URL": server.url, "UPSTASH_REDIS_REST_TOKEN": server.token}
    assert server.url.startswith("http://127.0.0.1:")
    assert server.token not in repr(server)


def test_token__random_or_given(valkey: Server) -> None:
    first, second = LocalServer(valkey.url), LocalServer(valkey.url)

    assert first.token != second.token
    assert len(first.token) >= 32
    assert LocalServer(valkey.url, token="mine").token == "mine"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
def test_host__loopback_only(valkey: Server, host: str) -> None:
    with pytest.raises(ValueError, match="listens on loopback addresses only"):
        LocalServer(valkey.url, host=host)


def test_host__ipv6(valkey: Server) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("This machine has no IPv6.")
    with LocalServer(valkey.url, host="::1") as server, Client(server) as client:
        assert server.url.startswith("http://[::1]:")
        assert client.command("PING").result == "PONG"


def test_port__in_use(valkey: Server, server: LocalServer) -> None:
    taken = int(server.url.rpartition(":")[2])
    before = set(threading.enumerate())

    with pytest.raises(OSError, match="address already in use"):
        LocalServer(valkey.url, port=taken).start()
    assert set(threading.enumerate()) <= before


def test_close__leaves_no_thread_and_no_socket(valkey: Server) -> None:
    gc.collect()
    threads = set(threading.enumerate())
    before = open_files()
    with LocalServer(valkey.url) as server, Client(server) as used, Client(server) as idle:
        used.command("PING")
        idle.command("PING")
        stream = socket.create_connection(used.address)
        stream.sendall(f"GET /subscribe/a?_token={server.token} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        stream.recv(10)
    stream.close()
    gc.collect()

    assert open_files() == before
    assert set(threading.enumerate()) <= threads


def test_close__in_the_middle_of_requests(valkey: Server) -> None:
    with LocalServer(valkey.url) as server, Client(server) as client:
        server.inject("latency", seconds=60)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.command, "SET", "a", "1")
            eventually(lambda: server.meter()["commands"] == 1)
            server.close()
            with pytest.raises(ConnectionError):
                waiting.result()
        server.close()


def test_start__again_after_close(valkey: Server) -> None:
    server = LocalServer(valkey.url)
    for _ in range(2):
        with server, Client(server) as client:
            assert client.command("PING").result == "PONG"
            with pytest.raises(RuntimeError, match="already running"):
                server.start()


def test_threads__32_clients_lose_and_mix_up_nothing(server: LocalServer) -> None:
    def work(number: int) -> int:
        with Client(server) as client:
            for turn in range(30):
                key = f"{number}:{turn}"
                assert client.command("SET", key, key).result == "OK"
                assert client.pipeline(["GET", key], ["INCR", "n"]).json[0] == {"result": key}
                pair = client.transaction(["INCR", "pair"], ["INCR", "pair"]).json
                assert pair[1]["result"] == pair[0]["result"] + 1
                script = "redis.call('INCR', KEYS[1]) return ARGV[1]"
                assert client.command("EVAL", script, 1, "n", key).result == key
        return number

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(work, range(32))) == list(range(32))
    meter = server.meter()
    assert meter["by_command"] == {
        "SET": 960, "GET": 960, "INCR": 4 * 960, "EVAL": 960, "MULTI": 960, "EXEC": 960,
    }  # fmt: skip
    assert meter["requests"] == 4 * 960


def test_inside_a_running_loop(valkey: Server) -> None:
    """The server has a loop of its own, whatever runs in the thread that starts it."""

    async def main() -> Any:
        with LocalServer(valkey.url) as server, Client(server) as client:
            return await asyncio.to_thread(client.command, "PING")

    assert asyncio.run(main()).result == "PONG"


def test_failed_start__leaves_nothing(tmp_path: Path) -> None:
    gc.collect()
    before = open_files()
    for _ in range(3):
        with suppress(Exception):
            LocalServer(f"unix://{tmp_path}/nothing.sock").start()
    gc.collect()

    assert open_files() == before
