"""What both routes need of a socket: opened, sent to and read before a deadline, kept alive, and looked at."""

from __future__ import annotations

import builtins
import errno
import os
import select
import signal
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic

try:
    from _signal import getsignal  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # the same, in three times the time
    from signal import getsignal

DONT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
# One silent address of a name may take this many seconds from the others'.
_LEAST_SHARE = 1.0
# Seconds that an answer has after its request has left, and a new address to answer, even where a process that was
# frozen or busy has let the deadline pass before that: only what is waited for tells something of the server.
LEAST_WAIT = 0.1
_IS_CONNECTED = errno.EISCONN
# How much of a deadline the kernel watches; Linux ends longer waits up to an eighth too late, so ``poll`` has the rest.
_KERNELS_SHARE = 0.85
_HAS_KERNEL_TIMEOUTS = hasattr(socket, "SO_RCVTIMEO") and hasattr(signal, "SIGPROF")
# The signals of timers that can repeat (setitimer). 0 is SIG_DFL.
_ALARM: int = getattr(signal, "SIGALRM", 0)
_VIRTUAL: int = getattr(signal, "SIGVTALRM", 0)
_PROFILING: int = getattr(signal, "SIGPROF", 0)
# Seconds of idleness until the kernel asks whether the peer is still there, and between its questions. Routers on the
# way forget connections after some minutes of silence.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class Line:
    """
    A connected socket that sends and receives before a deadline, in ``monotonic()`` time.

    A socket of the standard library's own class blocks, and is waited for by ``poll``, whose time goes on when a signal
    interrupts it. The kernel's timeout (``SO_RCVTIMEO``) saves that system call, but starts over with each signal, so
    it is used only while no timer's signal has a handler. TLS sockets, those of gevent and eventlet, and those of
    systems without ``poll`` keep Python's timeout.
    """

    __slots__ = ("_kernel_waits", "sock", "wait")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        # Waits so many milliseconds until there is something to read; None for sockets that time themselves.
        self.wait: Callable[[float], object] | None = None
        if type(sock).__module__ == "socket" and DONT_WAIT and hasattr(select, "poll"):
            sock.settimeout(None)
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            self.wait = poll.poll
        self._kernel_waits = inf  # for waits longer than this the kernel's timeout ends what it receives

    def set_kernel_timeout(self, seconds: float) -> None:
        """Let the kernel watch most of a wait of so many seconds, where it can do so reliably."""
        if self.wait is not None and _HAS_KERNEL_TIMEOUTS:
            self._kernel_waits = seconds * _KERNELS_SHARE
            microseconds = max(int(self._kernel_waits * 1_000_000), 1)  # zero would mean for ever
            value = struct.pack("@ll", *divmod(microseconds, 1_000_000))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    def send(self, payload: bytes | memoryview, deadline: float) -> None:
        """Send all of a payload; raise ``TimeoutError`` where it has not left before the deadline."""
        view = memoryview(payload)
        while view:
            remaining = deadline - monotonic()
            if self.wait is None:
                self.sock.settimeout(max(remaining, 0.0))
                view = view[self._sent(view, 0) :]
                continue
            view = view[self._sent(view, DONT_WAIT) :]
            if view:
                self._wait_for_room(remaining)

    def receive(
        self, buffer: bytearray | memoryview, deadline: float, least: float = 0.0, remaining: float | None = None
    ) -> int:
        """
        Return how many bytes were received, 0 at the end of the stream; raise ``TimeoutError`` after the deadline.

        What is there already is taken even if the deadline is over: the process may have been frozen or busy. ``least``
        are seconds that are waited all the same. ``remaining`` are those until the deadline, where the caller knows.
        """
        if remaining is not None and remaining > self._kernel_waits and _has_no_timer():
            try:
                return self.sock.recv_into(buffer)
            except BlockingIOError:
                least = 0.0  # it was waited, and more
        remaining = max(deadline - monotonic(), least)
        if self.wait is None:
            return self._receive_timed(buffer, remaining)
        if not self.wait(remaining * 1000 if remaining > 0 else 0):
            raise builtins.TimeoutError
        return self.sock.recv_into(buffer)

    def _sent(self, view: memoryview, flags: int) -> int:
        if flags:
            with suppress(BlockingIOError):
                return self.sock.send(view, flags)
            return 0
        try:
            return self.sock.send(view)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise builtins.TimeoutError from error

    def _wait_for_room(self, remaining: float) -> None:
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        if not poll.poll(max(remaining, 0.0) * 1000):
            raise builtins.TimeoutError

    def _receive_timed(self, buffer: bytearray | memoryview, remaining: float) -> int:
        if remaining > 0:
            self.sock.settimeout(remaining)
            with suppress(builtins.TimeoutError):
                return self.sock.recv_into(buffer)
        self.sock.settimeout(0.0)
        try:
            return self.sock.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise builtins.TimeoutError from error


def _has_no_timer() -> bool:
    """Tell whether no signal of a timer is handled, with each of which the kernel's wait starts over."""
    return not (getsignal(_ALARM) or getsignal(_VIRTUAL) or getsignal(_PROFILING))


def dial(host: str, port: int, deadline: float) -> socket.socket:
    """
    Open a TCP connection before the deadline and return its socket; raise ``OSError`` where no address answers.

    A silent address leaves the others of its name an equal share of the time. The resolver's own time counts, too, but
    nothing can end it.
    """
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "the name has no address")
    addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        remaining = deadline - monotonic()
        if remaining <= 0 and left < len(addresses):
            break
        seconds = min(remaining, max(remaining / left, _LEAST_SHARE))
        try:
            return _opened(socket.socket(family, kind, protocol), address, seconds)
        except OSError as error:
            failure = error
    raise failure


def _opened(sock: socket.socket, address: object, seconds: float) -> socket.socket:
    """Connect a socket and return it; close it where that fails."""
    try:
        _connect(sock, address, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(sock: socket.socket, address: object, seconds: float) -> None:
    sock.settimeout(max(seconds, LEAST_WAIT))
    try:
        sock.connect(address)  # type: ignore[arg-type]
    except builtins.TimeoutError as error:
        # ETIMEDOUT is the kernel's verdict; a timeout of ours is looked at once more: the process may have been frozen.
        if error.errno:
            raise
        sock.settimeout(0.0)
        if sock.connect_ex(address) not in (0, _IS_CONNECTED):  # type: ignore[arg-type]
            raise


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel ask an idle peer for a sign of life, so that nothing on the way forgets the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):  # not every system lets all of them be set
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def is_quiet(sock: socket.socket) -> bool:
    """Tell whether an idle socket has nothing to read: bytes nobody asked for and the end of the stream both show."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return False
    if not hasattr(select, "poll"):  # on Windows
        return not select.select([sock], [], [], 0)[0]
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return not poll.poll(0)


def reason(error: OSError) -> str:
    """Return why a connection could not be opened or broke, in the system's words: asyncio has others of its own."""
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
