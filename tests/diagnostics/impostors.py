"""Servers that are not what the URL says: each says one thing to whoever connects."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@contextmanager
def impostor(*answers: bytes, reset: bool = False) -> Iterator[int]:
    """
    Listen on a loopback port, and yield it; answer what each client sends, one thing after the other, and close.

    Without answers, what a client sends is read all the same. ``reset`` closes as a crash would.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=_serve, args=(listener, answers or (b"",), reset))
        serving.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()


def _serve(listener: socket.socket, answers: Sequence[bytes], reset: bool) -> None:
    with suppress(OSError):  # the end of listening
        while True:
            connection, _ = listener.accept()
            with suppress(OSError):  # a client that leaves in the middle
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)
            _close(connection, reset)


def _close(connection: socket.socket, reset: bool) -> None:
    with connection, suppress(OSError):
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            return
        # Closing with something unread would be a reset, which may overtake the answer.
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(0.5)
        while connection.recv(65536):
            pass


def http(status: str, body: str = "", *headers: str) -> bytes:
    """Return an HTTP response, a web page."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()
