"""Where Upstash, as its pages and its SDKs' tests show it, answers otherwise than the Redis behind the local server."""

from __future__ import annotations

import socket

import pytest

from tests.dev_server.conftest import Client


@pytest.mark.parametrize("path", ["/subscribe/chat", "/psubscribe/chat*", "/monitor"])
def test_stream__does_not_take_the_body_for_a_name(client: Client, path: str) -> None:
    with socket.create_connection(client.address, timeout=10) as connection, connection.makefile("rb") as lines:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.server.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]".encode()
        )
        assert lines.readline() == b"HTTP/1.1 200 OK\r\n"
        while lines.readline() != b"\r\n":
            pass
        first = lines.readline().decode()
        client.get("/publish/chat/hello")
        following = [lines.readline().decode() for _ in range(2)]
    assert first.startswith({"/subscribe/chat": "data: subscribe,chat,1"}.get(path, "data: "))
    assert not any("[]" in line for line in (first, *following))


def test_set__with_get_is_null_where_its_condition_is_not_met(client: Client) -> None:
    client.command("SET", "k", "1")
    assert client.command("SET", "k", "2", "IFEQ", "other", "GET").result is None
    assert client.command("GET", "k").result == "1"
    assert client.command("SET", "k", "2", "GET", "ifeq", "1").result == "1"
    assert client.command("GET", "k").result == "2"
    assert client.command("SET", "nothing", "2", "IFEQ", "1", "GET").result is None
    assert client.command("SET", "k", "3", "GET").result == "2"


def test_set__with_a_value_that_reads_like_an_option(client: Client) -> None:
    assert client.command("SET", "k", "IFEQ", "GET").result is None
    assert client.command("SET", "k", "GET").result == "OK"
    assert client.command("GET", "k").result == "GET"


def test_copy__of_a_key_to_itself(client: Client) -> None:
    client.command("SET", "k", "1")
    assert client.command("COPY", "k", "k").result == 0
    assert client.command("COPY", "k", "k", "REPLACE").result == 0
    assert client.command("COPY", "k", "other").result == 1


def test_unlink__of_nothing(client: Client) -> None:
    assert client.command("UNLINK").result == 0
    client.command("SET", "k", "1")
    assert client.command("UNLINK", "k").result == 1


def test_xinfo__consumers_of_no_group(client: Client) -> None:
    client.command("XADD", "stream", "*", "field", "value")
    assert client.command("XINFO", "CONSUMERS", "stream", "nobody").result == []
    assert "no such key" in client.command("XINFO", "CONSUMERS", "nothing", "nobody").error


def test_lacking__says_that_the_redis_behind_lacks_it(client: Client) -> None:
    error = client.command("JSON.SET", "k", "$", "1").error
    assert error.startswith("ERR unknown command 'JSON.SET'")
    assert "the Redis behind upstash_local does not have JSON.SET" in error
    (item,) = client.request("POST", "/pipeline", [["JSON.SET", "s3cret", "$", "1"]]).json
    assert "the Redis behind upstash_local" in item["error"]
    assert "s3cret" not in item["error"]
