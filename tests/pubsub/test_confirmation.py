"""What a server may say before it has confirmed a subscription, and instead of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

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
    """Serve one client with these frames, and with ``again`` until it goes away; yield the connection's settings."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as client, suppress(OSError):
                asked = client.recv(65536).decode()
                own = asked.partition("sign-of-life%3A")[2][:16] if route == "rest" else ""
                head = HEAD if route == "rest" else b""
                client.sendall(head + b"".join(encoded(route, frame) for frame in frames))
                if route == "rest" and again is None:
                    client.sendall(encoded(route, ("subscribe", f"django_upstash:sign-of-life:{own}", "9")))
                while again is not None:
                    client.sendall(encoded(route, again))
                    threading.Event().wait(0.02)
                client.recv(65536)

        server = threading.Thread(target=serve)
        server.start()
        scheme = {"native": "redis", "rest": "http"}[route]
        yield {"URL": f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", "TIMEOUT": 5}
        server.join()


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
            assert texts(subscriber, 2) == ["early", "late"]


def test_confirmation__that_never_comes(route: str, settings: Any) -> None:
    with speaking(route, [("subscribe", "a", "1")], again=("message", "a", "on and on")) as given:
        settings.UPSTASH = {"default": entry(route, given, TIMEOUT=0.3)}
        with pytest.raises(TimeoutError, match="did not confirm"), subscribe("a", "b"):
            pass
