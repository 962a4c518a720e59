from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.dev_server.conftest import READ_ONLY_TOKEN, Client, eventually
from tests.servers import Server


@contextmanager
def listening(client: Client, path: str) -> Iterator[Iterator[str]]:
    """Yield the lines of an event stream, the response's head checked and taken."""
    with socket.create_connection(client.address, timeout=10) as connection, connection.makefile("rb") as lines:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.server.token}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        head = b"".join(iter(lines.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Type: text/event-stream\r\n" in head
        yield (line.decode().rstrip("\n") for line in lines)


def test_subscribe(client: Client) -> None:
    with listening(client, "/subscribe/chat") as lines:
        assert next(lines) == "data: subscribe,chat,1"
        assert client.get("/publish/chat/hello").result == 1
        client.get("/publish/chat/how%20are%20you,%20today")

        assert [next(lines) for _ in range(4)] == [
            "", "data: message,chat,hello", "", "data: message,chat,how are you, today",
        ]  # fmt: skip


def test_subscribe__several_channels(client: Client) -> None:
    with listening(client, "/subscribe/one/two") as lines:
        assert [next(lines) for _ in range(3)] == ["data: subscribe,one,1", "", "data: subscribe,two,2"]


def test_subscribe__lines_of_a_message_stay_lines(client: Client) -> None:
    with listening(client, "/subscribe/chat") as lines:
        client.command("PUBLISH", "chat", "two\nlines")

        assert [next(lines) for _ in range(4)][2:] == ["data: message,chat,two", "data: lines"]


def test_psubscribe(client: Client) -> None:
    with listening(client, "/psubscribe/ch*") as lines:
        assert next(lines) == "data: psubscribe,ch*,1"
        client.get("/publish/chat/hello")

        assert [next(lines), next(lines)] == ["", "data: pmessage,ch*,chat,hello"]


def test_monitor(client: Client) -> None:
    with listening(client, "/monitor") as lines:
        assert next(lines) == 'data: "OK"'
        client.command("SET", "k", "v")

        assert next(lines) == ""
        line = next(lines)
        assert line.startswith("data: ")
        assert line.endswith('] "SET" "k" "v"')


def test_stream__ends_with_its_client(client: Client, valkey: Server) -> None:
    with listening(client, "/subscribe/chat") as lines:
        next(lines)
        assert valkey.call("PUBSUB", "NUMSUB", "chat") == [b"chat", 1]
    eventually(lambda: valkey.call("PUBSUB", "NUMSUB", "chat") == [b"chat", 0])


@pytest.mark.parametrize("path", ["/subscribe", "/psubscribe", "/monitor/x"])
def test_stream__refused_by_the_server(client: Client, path: str) -> None:
    name = path.split("/")[1]

    assert client.post(path).error == f"ERR wrong number of arguments for '{name}' command"


def test_stream__methods_and_tokens(client: Client) -> None:
    assert client.request("HEAD", "/subscribe/chat").status == 405
    assert client.request("POST", "/monitor", token=READ_ONLY_TOKEN).error.startswith("NOPERM ")


def test_stream__is_counted(client: Client) -> None:
    with listening(client, "/subscribe/chat") as lines:
        next(lines)

        assert client.server.meter()["by_command"] == {"SUBSCRIBE": 1}


def test_stream__ends_with_the_server(client: Client) -> None:
    with listening(client, "/subscribe/chat") as lines:
        assert [next(lines), next(lines)] == ["data: subscribe,chat,1", ""]
        client.server.close()

        with pytest.raises((StopIteration, ConnectionResetError)):
            next(lines)
