"""What both routes need of a socket: whether it is quiet, and how long it may keep a caller waiting."""

from __future__ import annotations

import builtins
import os
import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic

FITS_THE_KERNEL = 65536  # bytes that a socket takes at once, unless the peer has stopped reading


def is_quiet(sock: socket.socket) -> bool:
    """Tell whether an idle socket has nothing to read: bytes nobody asked for and the end of the stream both show."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return False
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


def send_before(sock: socket.socket, payload: bytes, limit: Callable[[float], None], deadline: float) -> None:
    """
    Send all of a payload that may not fit into the kernel's buffer; raise when it has not left before the deadline.

    ``sendall`` would give each of its steps a whole timeout of its own. ``limit`` sets the socket's timeout.
    """
    view = memoryview(payload)
    while view:
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise builtins.TimeoutError
        limit(remaining)
        view = view[sock.send(view) :]


def receive_before(
    sock: socket.socket, buffer: bytearray | memoryview, limit: Callable[[float], None], deadline: float
) -> int:
    """Receive more of an answer that has begun, so that one that drips does not outlast the deadline."""
    remaining = deadline - monotonic()
    if remaining <= 0:
        raise builtins.TimeoutError
    limit(remaining)
    return sock.recv_into(buffer)


def timeout_setter(sock: socket.socket) -> Callable[[float], None]:
    """
    Return the function that sets how many seconds one send or receive may take.

    On Linux the kernel keeps the time of a plain socket: Python's own timeouts poll before every call. A call that
    runs out of time raises ``BlockingIOError`` then, and ``socket.timeout`` otherwise.
    """
    if sys.platform != "linux" or isinstance(sock, ssl.SSLSocket):
        return sock.settimeout
    sock.settimeout(None)
    return partial(_set_kernel_timeout, sock)


def _set_kernel_timeout(sock: socket.socket, seconds: float) -> None:
    microseconds = max(int(seconds * 1_000_000), 1)  # zero would mean for ever
    value = struct.pack("@ll", *divmod(microseconds, 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def reason(error: OSError) -> str:
    """Return why a connection could not be opened or broke, in the system's words: asyncio has others of its own."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
