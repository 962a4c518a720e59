"""
When a connection fails: servers that do one wrong thing, at connect or in use.

    with failing("native", "silent") as entry:
        settings.UPSTASH = {"default": entry}
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.secrets.planted import PASSWORD, PROXY_PASSWORD

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_OK = b"+OK\r\n"
Peer = socket.socket
Behaviour = Callable[[Peer], None]


class Rude:
    """A server that treats each connection in one way."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: list[Peer] = []
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        with suppress(OSError, ValueError):
            self._behaviour(peer)


def answers(*replies: bytes) -> Behaviour:
    """Answer each burst with the next of these, the last one ever again; an empty one closes."""

    def behave(peer: Peer) -> None:
        for number in range(1000):
            if not peer.recv(65536):
                return
            reply = replies[min(number, len(replies) - 1)]
            if not reply:
                return peer.close()
            peer.sendall(reply)

    return behave


def echoes(form: Callable[[str], bytes], *first: bytes) -> Behaviour:
    """Answer with what a form makes of the words received, after these replies: servers quote anything."""

    def behave(peer: Peer) -> None:
        waiting = list(first)
        while received := peer.recv(65536):
            words = " ".join(received.decode("latin-1").split())
            peer.sendall(waiting.pop(0) if waiting else form(words))

    return behave


def echo(peer: Peer) -> None:
    """Answer with an error that quotes what was sent, as a server does that does not know AUTH."""
    while received := peer.recv(65536):
        words = received.decode("latin-1").split("\r\n")
        peer.sendall(f"-ERR unknown command, with args beginning with: {' '.join(words)}\r\n".encode())


def silent(peer: Peer) -> None:
    while peer.recv(65536):
        pass


def silent_after(*replies: bytes) -> Behaviour:
    def behave(peer: Peer) -> None:
        for reply in replies:
            peer.recv(65536)
            peer.sendall(reply)
        silent(peer)

    return behave


def reset(peer: Peer) -> None:
    peer.recv(1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    peer.close()


def drip(peer: Peer) -> None:
    peer.recv(65536)
    for letter in b"-WRONGPASS " + 500 * b"x":
        peer.sendall(bytes([letter]))
        threading.Event().wait(0.02)


def _http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


_PONG = _http(b'{"result":"%b"}' % base64.b64encode(b"PONG"))
_HELLO = "HTTP/1.1 400 Bad Request\r\n\r\n"
NATIVE_AT_CONNECT: dict[str, Behaviour | None] = {
    "nothing listens": None,
    "refused": answers(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
    "unknown AUTH": echo,
    "silent": silent,
    "dripping": drip,
    "TLS": answers(b"-ERR\r\n"),
    "reset": reset,
    "closed": answers(b""),
    "no Redis": answers(_HELLO.encode()),
}
NATIVE_IN_USE: dict[str, Behaviour | None] = {
    "cut": answers(_OK, b""),
    "timeout": silent_after(_OK),
    "protocol error": answers(_OK, b"HTTP/1.1 200 OK\r\n"),
    "READONLY": answers(_OK, b"-READONLY You can't write against a read only replica.\r\n"),
    "MOVED": answers(_OK, b"-MOVED 3999 127.0.0.1:6381\r\n"),
    "NOAUTH": answers(_OK, b"-NOAUTH Authentication required.\r\n"),
    "LOADING": answers(_OK, b"-LOADING Redis is loading the dataset in memory\r\n"),
    "of another type": answers(_OK, b"*1\r\n:7\r\n"),
}
REST_AT_CONNECT: dict[str, Behaviour | None] = {
    "nothing listens": None,
    "silent": silent,
    "TLS": answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "reset": reset,
    "closed": answers(b""),
    "no HTTP": answers(b"-ERR unknown command 'POST'\r\n"),
    "401": answers(_http(b'{"error":"Unauthorized"}', "401 Unauthorized")),
}
REST_IN_USE: dict[str, Behaviour | None] = {
    "cut": answers(_PONG, b""),
    "truncated": answers(_PONG, b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"),
    "timeout": silent_after(_PONG),
    "protocol error": answers(_PONG, _http(b"<html>", "200 OK")),
    "READONLY": answers(_PONG, _http(b'{"error":"READONLY You can\'t write against a read only replica."}')),
    "MOVED": answers(_PONG, _http(b'{"error":"MOVED 3999 127.0.0.1:6381"}')),
    "unavailable": answers(_PONG, _http(b"<html>", "503 Service Unavailable")),
    "revoked": answers(_PONG, _http(b'{"error":"Unauthorized"}', "401 Unauthorized")),
}


def _json(**answer: str) -> bytes:
    return json.dumps(answer).encode()


REST_ECHO: dict[str, Behaviour | None] = {
    "echo in 401": echoes(lambda words: _http(_json(error=f"Unauthorized: {words}"), "401 Unauthorized")),
    "echo in HTML": echoes(lambda words: _http(f"<h1>{words}</h1>".encode(), "400 Bad Request")),
    "echo in 503": echoes(lambda words: _http(words.encode(), "503 Service Unavailable")),
    "echo in a code": echoes(lambda words: _http(_json(error=f"WRONGPASS {words}"))),
    "echo in an error": echoes(
        lambda words: _http(_json(error=f"ERR no access for {words}"), "400 Bad Request"), _PONG
    ),
    "echo in a refusal": echoes(lambda words: _http(_json(error=f"NOAUTH for {words}")), _PONG),
    "echo in items": echoes(lambda words: _http(b"[%b]" % _json(error=f"LOADING for {words}")), _PONG),
    "echo in RESP2": echoes(lambda words: _http(f"-NOAUTH for {words}\r\n".encode()), _PONG),
    "echo as a result": echoes(lambda words: _http(_json(result=words)), _PONG),
    "echo without HTTP": echoes(lambda words: f"{words}\r\n\r\n".encode()),
    "echo in a header": echoes(lambda words: f"HTTP/1.1 200 OK\r\nA{words}\x00\r\n\r\n".encode()),
    "echo in Retry-After": echoes(lambda words: f"HTTP/1.1 429 No\r\nRetry-After: {words}\r\n\r\n".encode()),
    "echo cut off": echoes(lambda words: _http(_json(error=words), "401 Unauthorized")[:-5]),
}
NATIVE_ECHO: dict[str, Behaviour | None] = {
    "echo in an error": echoes(lambda words: f"-ERR bad password {words}\r\n".encode()),
    "echo in a code": echoes(lambda words: f"-WRONGPASS {words}\r\n".encode()),
    "echo in a line": echoes(lambda words: f"+{words}\r\n".encode()),
    "echo without Redis": echoes(lambda words: f"Bad request: {words}\r\n".encode()),
}
PROXY: dict[str, Behaviour | None] = {
    "proxy refuses": answers(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
    "proxy forbids": answers(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
    "proxy closes": answers(b""),
    "proxy resets": reset,
    "proxy silent": silent,
    "proxy no HTTP": answers(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "proxy then no TLS": answers(b"HTTP/1.1 200 Connection established\r\n\r\n", b"no TLS here at all, sorry\r\n"),
    "proxy absent": None,
    "proxy echoes in 407": echoes(lambda words: f"HTTP/1.1 407 No\r\nX-Sent: {words}\r\n\r\n".encode()),
    "proxy echoes without HTTP": echoes(lambda words: f"{words}\r\n\r\n".encode()),
    "proxy echoes ever": echoes(lambda words: f"HTTP/1.1 407 No\r\nX-Sent: {words * 1000}".encode()),
}
MOMENTS: dict[str, dict[str, Behaviour | None]] = {
    "native": {**NATIVE_AT_CONNECT, **NATIVE_IN_USE, **NATIVE_ECHO},
    "rest": {**REST_AT_CONNECT, **REST_IN_USE, **REST_ECHO, **PROXY},
}
CASES = [(route, moment) for route, moments in MOMENTS.items() for moment in moments]
_FAST = {"TIMEOUT": 0.25, "CONNECT_TIMEOUT": 0.25, "RETRIES": 0}


@contextmanager
def failing(route: str, moment: str, monkeypatch: Any) -> Iterator[dict[str, Any]]:
    """Yield the entry of ``UPSTASH`` for a server that fails at this moment."""
    behaviour = MOMENTS[route][moment]
    server = Rude(behaviour or silent)
    if behaviour is None:
        server.close()
    try:
        if moment in PROXY:
            user = f"proxyuser:{PROXY_PASSWORD.quoted}"
            monkeypatch.setenv("HTTPS_PROXY", f"http://{user}@127.0.0.1:{server.port}")
            yield {"URL": "https://rest.example.com", "TOKEN": PASSWORD.text, **_FAST}
        elif route == "rest":
            yield {"URL": f"http{'s' * (moment == 'TLS')}://127.0.0.1:{server.port}", "TOKEN": PASSWORD.text, **_FAST}
        else:
            scheme = "rediss" if moment == "TLS" else "redis"
            yield {"URL": f"{scheme}://default:{PASSWORD.quoted}@127.0.0.1:{server.port}", **_FAST}
    finally:
        server.close()
