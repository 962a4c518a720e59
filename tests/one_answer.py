"""Servers that give one and the same answer to every command, over the Redis protocol and over REST."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import hiredis

# What a client says to a connection, not to the data, is answered as it should be.
_OF_CONNECTIONS = frozenset({b"CLIENT", b"SELECT", b"AUTH", b"MULTI"})


@contextmanager
def native(reply: bytes) -> Iterator[str]:
    """Answer every command with these bytes of RESP; yield the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, reply), daemon=True)
        accepting.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(listener: socket.socket, reply: bytes) -> None:
    with suppress(OSError):  # the end of listening
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, reply), daemon=True).start()


def _serve(connection: socket.socket, reply: bytes) -> None:
    reader = hiredis.Reader(notEnoughData=Ellipsis)
    queued: int | None = None
    with connection, suppress(OSError):
        while received := connection.recv(65536):
            reader.feed(received)
            while (command := reader.gets()) is not Ellipsis:
                name = bytes(command[0]).upper()
                if name == b"EXEC":
                    connection.sendall(b"*%d\r\n" % (queued or 0) + reply * (queued or 0))
                    queued = None
                elif name in _OF_CONNECTIONS:
                    queued = 0 if name == b"MULTI" else queued
                    connection.sendall(b"+OK\r\n")
                elif queued is not None:
                    queued += 1
                    connection.sendall(b"+QUEUED\r\n")
                else:
                    connection.sendall(reply)


@contextmanager
def rest(answer: dict[str, Any] | str, status: int = 200, **headers: str) -> Iterator[str]:
    """Answer every command with this item, or with this text whatever the request is; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.server.asked += 1  # type: ignore[attr-defined]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            document: Any = answer
            if not isinstance(answer, str) and self.path in ("/pipeline", "/multi-exec"):
                document = [answer] * len(json.loads(body))
            said = (answer if isinstance(answer, str) else json.dumps(document)).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked = 0  # type: ignore[attr-defined]
    serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
