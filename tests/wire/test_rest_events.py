"""Streams of server-sent events as servers and proxies really send them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import (
    AuthenticationError,
    ConnectionError,
    NoPermissionError,
    ProtocolError,
    ServiceUnavailableError,
    TimeoutError,
)
from django_upstash.settings.conf import make_settings
from django_upstash.wire.rest import RestRoute
from django_upstash.wire.rest_events import EventDecoder, EventStream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def decoded(*pieces: bytes) -> list[bytes]:
    decoder = EventDecoder(1000)
    return [event for piece in pieces for event in decoder.feed(piece)]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_decoder__reads_events() -> None:
    assert decoded(b"data: one\n\ndata: two\n\n") == [b"one", b"two"]
    assert decoded(b"data:one\n\n", b"data:  two\n\n") == [b"one", b" two"]
    assert decoded(b"data: two\ndata: lines\n\n") == [b"two\nlines"]
    assert decoded(b"data:\n\n", b"data\n\n") == [b"", b""]


def test_decoder__reads_pieces_of_any_size() -> None:
    stream = b"data: message,a,one\n\ndata: two\ndata: lines\n\n"
    for size in range(1, len(stream)):
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert decoded(*pieces) == [b"message,a,one", b"two\nlines"]


def test_decoder__ignores_what_is_no_data() -> None:
    assert decoded(b": keep-alive\n\nevent: x\nid: 7\nretry: 10\ndata: one\n\n\n\n") == [b"one"]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_decoder__lines_end_as_the_first_does(ending: bytes) -> None:
    lines = [b"data: subscribe,a,1", b"", b"data: message,a,x\ry", b""]
    assert decoded(ending.join([*lines, b""])) == [b"subscribe,a,1", b"message,a,x\ry"]
    assert decoded(b"data: subscribe,a,1\n\ndata: message,a,x\r\ndata: y\n\n")[1] == b"message,a,x\r\ny"


def test_decoder__bounds_an_event() -> None:
    with pytest.raises(ProtocolError, match="MAX_REQUEST_SIZE"):
        decoded(b"data: ", b"x" * 2000)


@contextmanager
def answering(*pieces: bytes, closes: bool = True) -> Iterator[str]:
    """Accept one connection and send the pieces; yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            with listener.accept()[0] as accepted:
                accepted.recv(65536)
                for piece in pieces:
                    accepted.sendall(piece)
                if not closes:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        thread.join()


def received(url: str, count: int = 1, **entry: Any) -> list[bytes]:
    """Return so many events of the stream at a URL."""

    async def receive() -> list[bytes]:
        route = RestRoute(make_settings("rest", {"URL": url, "TOKEN": "secret", "TIMEOUT": 5, **entry}))
        stream: EventStream = await route.open_events("/subscribe/a")
        try:
            events: list[bytes] = []
            while len(events) < count:
                events += await stream.receive(5) or []
            return events
        finally:
            stream.close()
            await asyncio.sleep(0)

    return asyncio.run(receive())


@pytest.mark.usefixtures("each_loop")
def test_stream__in_chunks_and_without() -> None:
    with answering(HEAD, chunk(b"data: o"), chunk(b"ne\n\n"), closes=False) as url:
        assert received(url) == [b"one"]
    with answering(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n", closes=False) as url:
        assert received(url) == [b"one"]


def test_stream__begins_with_its_first_events() -> None:
    with answering(HEAD + chunk(b"data: one\n\ndata: two\n\n"), closes=False) as url:
        assert received(url, 2) == [b"one", b"two"]


@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"])
@pytest.mark.usefixtures("each_loop")
def test_stream__that_ends(end: bytes) -> None:
    with answering(HEAD + chunk(b"data: one\n\n") + end) as url, pytest.raises(ConnectionError, match="ended"):
        received(url, 2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}", AuthenticationError),
        (b'HTTP/1.1 400 Bad Request\r\nContent-Length: 23\r\n\r\n{"error":"NOPERM not."}\n', NoPermissionError),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", ServiceUnavailableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", ProtocolError),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"result": 1}', ProtocolError),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ProtocolError),
        (b"SSH-2.0-OpenSSH\r\n", ProtocolError),
        (b"", ProtocolError),
    ],
)
@pytest.mark.usefixtures("each_loop")
def test_stream__refused(answer: bytes, error: type[Exception]) -> None:
    with answering(answer) as url, pytest.raises(error) as caught:
        received(url)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("each_loop")
def test_stream__without_an_answer() -> None:
    with answering(closes=False) as url, pytest.raises(TimeoutError):
        received(url, TIMEOUT=0.2)


def test_stream__bytes_are_counted(local_server: LocalServer) -> None:
    async def receive() -> None:
        entry = {"URL": local_server.url, "TOKEN": local_server.token}
        route = RestRoute(make_settings("rest", entry))
        stream = await route.open_events("/subscribe/a")
        assert await stream.receive(5) == [b"subscribe,a,1"]
        sent, got = route.traffic.totals()
        assert sent > 50
        assert got > 50
        stream.close()
        await asyncio.sleep(0)

    asyncio.run(receive())
