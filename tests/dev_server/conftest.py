"""A local server over a real Valkey, and a client that shows every byte of its answers."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from django_upstash.dev_server import LocalServer
from tests.servers import Server

READ_ONLY_TOKEN = "only-reads"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def result(self) -> Any:
        assert self.status == 200, self.body
        return self.json["result"]

    @property
    def error(self) -> str:
        assert self.status == 400, self.body
        return str(self.json["error"])


class Client:
    """One kept-alive connection."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        address = urlsplit(server.url)
        assert address.hostname
        self.address = (address.hostname, address.port)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()

    def request(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> Answer:
        """Send a request; a ``body`` that is neither bytes nor None goes as JSON."""
        sent = {"Authorization": f"Bearer {token or self.server.token}"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, data, sent)
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.request("POST", path, body, **headers)

    def command(self, *arguments: Any, **headers: str) -> Answer:
        return self.post("/", list(arguments), **headers)

    def pipeline(self, *commands: Sequence[Any], **headers: str) -> Answer:
        return self.post("/pipeline", list(commands), **headers)

    def transaction(self, *commands: Sequence[Any], **headers: str) -> Answer:
        return self.post("/multi-exec", list(commands), **headers)

    def raw(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes until the server closes it."""
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def server(valkey: Server) -> Iterator[LocalServer]:
    valkey.call("FLUSHALL")
    valkey.call("SCRIPT", "FLUSH")
    with LocalServer(valkey.url, read_only_token=READ_ONLY_TOKEN) as server:
        yield server


@pytest.fixture
def client(server: LocalServer) -> Iterator[Client]:
    with Client(server) as client:
        yield client
