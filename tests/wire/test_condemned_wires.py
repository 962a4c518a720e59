"""A server that is loading, or has forgotten a login: what it refuses on an open wire is sent again over a new one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import hiredis
import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.operations import Operation, command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from tests import one_answer

REFUSALS = {
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "NOAUTH": b"-NOAUTH Authentication required.\r\n",
}


class Counting:
    """A server that counts by INCR, until ``refusal`` is set: then wires opened before are refused everything."""

    def __init__(self) -> None:
        self.counts: Counter[bytes] = Counter()
        self.refusal: bytes | None = None
        self.opened = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.opened += 1
                is_old = self.refusal is None
                threading.Thread(target=self._serve, args=(sock, is_old), daemon=True).start()

    def _serve(self, sock: socket.socket, is_old: bool) -> None:
        reader = hiredis.Reader(notEnoughData=Ellipsis)
        queue: list[list[bytes]] | None = None
        with sock, suppress(OSError):
            while received := sock.recv(65536):
                reader.feed(received)
                while (words := reader.gets()) is not Ellipsis:
                    name = words[0].upper()
                    if is_old and self.refusal is not None:
                        sock.sendall(b"-EXECABORT Transaction discarded\r\n" if name == b"EXEC" else self.refusal)
                    elif name == b"MULTI":
                        queue = []
                        sock.sendall(b"+OK\r\n")
                    elif name == b"EXEC":
                        run = queue or []
                        queue = None
                        sock.sendall(b"*%d\r\n" % len(run) + b"".join(map(self._run, run)))
                    elif queue is not None:
                        queue.append(words)
                        sock.sendall(b"+QUEUED\r\n")
                    else:
                        sock.sendall(self._run(words))

    def _run(self, words: list[bytes]) -> bytes:
        if words[0].upper() != b"INCR":
            return b"+OK\r\n"
        self.counts[words[1]] += 1
        return b":%d\r\n" % self.counts[words[1]]


@pytest.fixture
def server() -> Iterator[Counting]:
    server = Counting()
    yield server
    server.close()


@pytest.fixture
def connection(server: Counting) -> Iterator[Connection]:
    connection = Connection(make_settings("x", {"URL": f"redis://127.0.0.1:{server.port}", "TIMEOUT": 20}))
    yield connection
    connection.close()


OPERATIONS: list[Operation[Any]] = [
    command("INCR", "a"),
    Operation([("INCR", "b"), ("SET", "c", 1), ("INCR", "b")], list),
    Operation([("INCR", "d"), ("INCR", "d")], list, atomic=True),
]
ONCE = [1, [1, b"OK", 2], [1, 2]]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused__is_sent_again_over_a_new_wire(server: Counting, connection: Connection, refusal: str) -> None:
    for number, operation in enumerate(OPERATIONS):
        server.refusal = None
        connection.run(command("SET", "k", 1))
        server.refusal = REFUSALS[refusal]
        assert connection.run(operation) == ONCE[number]
    assert server.counts == {b"a": 1, b"b": 2, b"d": 2}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused__is_sent_again_over_a_new_wire_awaited(server: Counting, connection: Connection, refusal: str) -> None:
    async def main() -> list[Any]:
        for _ in range(PROBATION + 1):
            await connection.arun(command("SET", "k", 1))
        server.refusal = REFUSALS[refusal]
        return await asyncio.gather(*map(connection.arun, OPERATIONS))

    assert asyncio.run(main()) == ONCE
    assert server.counts == {b"a": 1, b"b": 2, b"d": 2}


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", exceptions.BusyLoadingError),
        ("MASTERDOWN Link with MASTER is down", exceptions.BusyLoadingError),
        ("READONLY You can't write against a read only replica.", exceptions.ReadOnlyError),
    ],
)
def test_rest__raises_what_the_server_says(said: str, kind: type[Exception], way: str) -> None:
    with one_answer.rest({"error": said}) as url:
        connection = Connection(make_settings("x", {"URL": url, "TOKEN": "t", "TIMEOUT": 20, "RETRIES": 0}))
        setting = command("SET", "k", 1)
        with pytest.raises(kind):
            connection.run(setting) if way == "sync" else asyncio.run(connection.arun(setting))
        connection.close()
