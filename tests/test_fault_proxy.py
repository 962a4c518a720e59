from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fault_proxy import REQUEST, FaultProxy, TLSProxy
from tests.servers import Server, certificate, start_valkey

ROOT = Path(__file__).resolve().parent.parent
PING, PONG = b"PING\r\n", b"+PONG\r\n"
ECHO, ECHOED = b"ECHO 0123456789\r\n", b"$10\r\n0123456789\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with start_valkey() as running:
        yield running


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.port) as running:
        yield running


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def ask(client: socket.socket, request: bytes = PING, size: int = len(PONG)) -> bytes:
    """Send a request and return its reply, or as much of it as came before the connection was closed."""
    client.sendall(request)
    reply = b""
    while len(reply) < size and (received := client.recv(size - len(reply))):
        reply += received
    return reply


def test_counting__a_script__its_inner_commands_and_not_the_measuring(server: Server) -> None:
    before = server.commandstats()
    with server.counting() as counted, connect(server.port) as client:
        ask(client, b"EVAL \"redis.call('SET', 'a', 1) return 'done'\" 0\r\n", len(b"$4\r\ndone\r\n"))
        server.commandstats()
    assert counted.by_command == {"eval": 1, "set": 1}
    assert (counted.commands, counted.connections) == (2, 1)
    assert server.commandstats() - before == counted.by_command


def test_restart__same_addresses_and_no_data() -> None:
    with start_valkey() as server:
        server.call("SET", "a", "1")
        process = server.process
        server.restart()
        assert process.poll() is not None
        assert server.call("GET", "a") is None
        with connect(server.port) as client:
            assert ask(client) == PONG


def test_pause__answers_only_after_resume(server: Server) -> None:
    with connect(server.port) as client:
        ask(client)
        server.pause()
        client.settimeout(0.05)
        try:
            with pytest.raises(TimeoutError):
                ask(client)
        finally:
            server.resume()
        client.settimeout(5)
        assert client.recv(100) == PONG


def test_start__a_wrong_directive__says_what_the_server_said() -> None:
    with pytest.raises(RuntimeError, match="no-such-directive"), start_valkey(no_such_directive="yes"):
        pass


def test_start__the_test_process_is_killed__the_server_and_its_folder_go() -> None:
    script = "from tests.servers import *\nwith start_valkey() as server: print(server.directory, flush=True), input()"
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    directory = Path(process.stdout.readline().strip())
    with socket.socket(socket.AF_UNIX) as observer:
        observer.connect(str(directory / "server.sock"))
        assert ask(observer) == PONG
        process.kill()
        process.communicate()
        observer.settimeout(5)
        assert observer.recv(1) == b""
    deadline = time.monotonic() + 5
    while directory.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_proxy__counts_round_trips_and_not_commands(proxy: FaultProxy) -> None:
    with connect(proxy.port) as client:
        assert ask(client) == PONG
        assert ask(client, PING * 3, 3 * len(PONG)) == PONG * 3
    with connect(proxy.port) as client:
        assert ask(client) == PONG
    assert (proxy.connections, proxy.round_trips, proxy.requests_forwarded) == (2, 3, 3)


def test_proxy__unix_socket(server: Server) -> None:
    with FaultProxy(server.socket_path) as proxy, connect(proxy.port) as client:
        assert ask(client) == PONG


def test_proxy__large_payloads_pass_whole(proxy: FaultProxy) -> None:
    value = b"v" * 3_000_000
    with connect(proxy.port) as client:
        assert (
            ask(client, b"*2\r\n$4\r\nECHO\r\n$3000000\r\n%b\r\n" % value, 3_000_012) == b"$3000000\r\n%b\r\n" % value
        )


def test_proxy__no_server__resets() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with FaultProxy(port) as proxy, pytest.raises(ConnectionError), connect(proxy.port) as client:
        ask(client)


def test_latency__holds_requests_back(server: Server, proxy: FaultProxy) -> None:
    with connect(proxy.port) as client:
        ask(client)
        proxy.latency(60)
        client.settimeout(0.05)
        with server.counting() as counted, pytest.raises(TimeoutError):
            ask(client)
        assert counted.commands == 0
        assert proxy.requests_forwarded == 1


def test_latency__passes_after_it(proxy: FaultProxy) -> None:
    proxy.latency(0.01)
    with connect(proxy.port) as client:
        assert ask(client) == PONG


def test_refuse__until_healed(proxy: FaultProxy) -> None:
    with connect(proxy.port) as before:
        ask(before)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy.port)
        assert ask(before) == PONG
    proxy.heal()
    with connect(proxy.port) as after:
        assert ask(after) == PONG


def test_reset_next__in_the_reply__once(server: Server, proxy: FaultProxy) -> None:
    proxy.reset_next(after_bytes=3)
    with server.counting() as counted, connect(proxy.port) as client, pytest.raises(ConnectionResetError):
        ask(client, ECHO, len(ECHOED))
    assert counted.commands == 1
    with connect(proxy.port) as client:
        assert ask(client) == PONG


def test_reset_next__in_the_request__server_sees_only_its_beginning(server: Server, proxy: FaultProxy) -> None:
    proxy.reset_next(after_bytes=3, direction=REQUEST)
    with server.counting() as counted, connect(proxy.port) as client, pytest.raises(ConnectionResetError):
        ask(client)
    assert counted.commands == 0
    assert proxy.requests_forwarded == 1


def test_close_before_reply__runs_and_is_not_answered(server: Server, proxy: FaultProxy) -> None:
    proxy.close_before_reply(2)
    with server.counting() as counted:
        for expected in (b"", b"", PONG):
            with connect(proxy.port) as client:
                assert ask(client) == expected
    assert counted.commands == 3


def test_close_before_request__does_not_run(server: Server, proxy: FaultProxy) -> None:
    proxy.close_before_request()
    with server.counting() as counted:
        for expected in (b"", PONG):
            with connect(proxy.port) as client:
                assert ask(client) == expected
    assert counted.commands == 1


def test_truncate_reply__closes_in_the_middle(proxy: FaultProxy) -> None:
    with connect(proxy.port) as client:
        ask(client)
        proxy.truncate_reply(7)
        assert ask(client, ECHO, len(ECHOED)) == ECHOED[:7]


def test_drop_replies__runs_in_silence(server: Server, proxy: FaultProxy) -> None:
    proxy.drop_replies()
    with connect(proxy.port) as client:
        client.settimeout(0.05)
        with server.counting() as counted, pytest.raises(TimeoutError):
            ask(client)
        assert counted.commands == 1


def test_blackhole__nothing_runs(server: Server, proxy: FaultProxy) -> None:
    proxy.blackhole()
    with connect(proxy.port) as client:
        client.settimeout(0.05)
        with server.counting() as counted, pytest.raises(TimeoutError):
            ask(client)
        assert counted.commands == 0
        assert (proxy.round_trips, proxy.requests_forwarded) == (1, 0)


def test_drip__comes_whole_in_pieces(proxy: FaultProxy) -> None:
    proxy.drip(5, 0.005)
    with connect(proxy.port) as client:
        client.sendall(ECHO)
        pieces = [client.recv(100)]
        while sum(map(len, pieces)) < len(ECHOED):
            pieces.append(client.recv(100))
    assert pieces[0] == ECHOED[:5]
    assert b"".join(pieces) == ECHOED


def test_sever__closes_what_is_open_and_accepts_anew(proxy: FaultProxy) -> None:
    with connect(proxy.port) as before:
        ask(before)
        proxy.sever()
        assert before.recv(100) == b""
    with connect(proxy.port) as after:
        assert ask(after) == PONG


def test_exit__a_fault_in_progress__ends_at_once(server: Server) -> None:
    with FaultProxy(server.port) as proxy:
        proxy.latency(60)
        client = connect(proxy.port)
        client.sendall(PING)
    with client, pytest.raises(ConnectionRefusedError):
        connect(proxy.port)


def tls_client(port: int, ca_file: str | None) -> ssl.SSLSocket:
    sock = connect(port)
    try:
        return ssl.create_default_context(cafile=ca_file).wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


def test_tls_proxy__verified_and_counted_from_outside(server: Server) -> None:
    with TLSProxy(server.port) as tls, FaultProxy(tls.port) as wire:
        with tls_client(wire.port, str(certificate().ca_file)) as client:
            assert ask(client) == PONG
        assert (tls.round_trips, wire.round_trips) == (1, 2)


def test_tls_proxy__unknown_authority__refused_by_the_client(server: Server) -> None:
    with TLSProxy(server.port) as tls, pytest.raises(ssl.SSLCertVerificationError):
        tls_client(tls.port, None)


def test_tls_proxy__a_handshake_that_never_ends__does_not_keep_it_running(server: Server) -> None:
    with TLSProxy(server.port) as tls:
        client = connect(tls.port)
        client.sendall(b"\x16\x03")
    with client, suppress(ConnectionResetError):
        assert client.recv(100) == b""


def test_tls_proxy__faults_act_inside(server: Server) -> None:
    with TLSProxy(server.port) as tls, tls_client(tls.port, str(certificate().ca_file)) as client:
        tls.truncate_reply(3)
        assert ask(client) == PONG[:3]
