"""What a server may say before it has confirmed a subscription, and instead of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote

import hiredis
import pytest

from django_upstash.exceptions import TimeoutError
from django_upstash.pubsub import subscribe
from tests.pubsub.conftest import texts

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
Frame = tuple[str, ...]


def encoded(route: str, frame: Frame) -> bytes:
    if route == "native":
        return bytes(hiredis.pack_command(frame))  # type: ignore[arg-type]
    return b"data: %b\n\n" % ",".join(frame).encode()


@contextmanager
def speaking(route: str, frames: Sequence[Frame], again: Frame | None = None) -> Iterator[dict[str, Any]]:
    """
    Serve these frames, and then ``again`` until the client goes away; yield the connection's settings.

    Over REST each client asks for one name: it is sent the frames of that, and signs of life are confirmed.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):  # the end of listening
                while True:
                    clients.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                    clients[-1].start()

        def serve(client: socket.socket) -> None:
            with client, suppress(OSError):
                asked = client.recv(65536).decode()
                if route == "rest":
                    events(client, asked)
                else:
                    client.sendall(b"".join(encoded(route, frame) for frame in frames))
                while again is not None:
                    client.sendall(encoded(route, again))
                    threading.Event().wait(0.02)
                client.recv(65536)

        def events(client: socket.socket, asked: str) -> None:
            name = unquote(asked.split(" ")[1].rpartition("/")[2])
            own = [("subscribe", name, "1")] if "sign-of-life" in name else []
            found = [*own, *(frame for frame in frames if frame[1] == name)]
            client.sendall(HEAD + b"".join(encoded(route, frame) for frame in found))

        accepting = threading.Thread(target=accept)
        accepting.start()
        scheme = {"native": "redis", "rest": "http"}[route]
        yield {"URL": f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", "TIMEOUT": 5}
        listener.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *clients):
            thread.join()


def entry(route: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**settings, **({"TOKEN": "x"} if route == "rest" else {}), **more}


def test_messages__before_the_last_confirmation_are_kept(route: str, settings: Any) -> None:
    frames = [
        ("subscribe", "a", "1"),
        ("message", "a", "early"),
        ("subscribe", "b", "2"),
        ("message", "b", "late"),
    ]
    with speaking(route, frames) as given:
        settings.UPSTASH = {"default": entry(route, given)}
        with subscribe("a", "b") as subscriber:
            assert sorted(texts(subscriber, 2)) == ["early", "late"]


def test_confirmation__that_never_comes(route: str, settings: Any) -> None:
    with speaking(route, [("subscribe", "a", "1")], again=("message", "b", "on and on")) as given:
        settings.UPSTASH = {"default": entry(route, given, TIMEOUT=0.3)}
        with pytest.raises(TimeoutError, match="did not confirm"), subscribe("a", "b"):
            pass
