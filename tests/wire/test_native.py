"""What is the native route's own: handshakes, TLS, users, unix sockets, and how many connections it opens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from django_upstash import exceptions
from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from tests.fault_proxy import FaultProxy, TLSProxy
from tests.servers import Certificate, Server, certificate, start_valkey

PASSWORD = "p%ss w:rd/é"
PASSWORD_IN_URL = "p%25ss%20w%3Ard%2F%C3%A9"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server with a password and an ACL user."""
    with start_valkey() as server:
        server.call("ACL", "SETUSER", "default", "resetpass", f">{PASSWORD}")
        server.call("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+@read", "+ping")
        yield server


@pytest.fixture
def connect() -> Iterator[Callable[..., Connection]]:
    opened: list[Connection] = []

    def connect(url: str, **entry: Any) -> Connection:
        opened.append(Connection(make_settings("native", {"URL": url, "TIMEOUT": 2, **entry})))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def ping(connection: Connection, way: str) -> Any:
    """PING by a thread's wire, or by a wire of an event loop's own."""
    if way == "sync":
        return connection.run(command("PING"))

    async def main() -> Any:
        for _ in range(PROBATION):
            lane = connection.route._lanes.current()  # type: ignore[attr-defined]
            lane._batches = PROBATION
        return await connection.arun(command("PING"))

    return asyncio.run(main())


both_ways = pytest.mark.parametrize("way", ["sync", "async"])


@both_ways
def test_handshake__one_round_trip_for_the_password_and_none_without(
    valkey: Server, guarded: Server, connect: Callable[..., Connection], way: str
) -> None:
    with FaultProxy(valkey.port) as proxy:
        assert ping(connect(proxy.url), way) == b"PONG"
        assert (proxy.connections, proxy.round_trips) == (1, 1)
    with FaultProxy(guarded.port) as proxy:
        assert ping(connect(f"redis://:{PASSWORD_IN_URL}@127.0.0.1:{proxy.port}"), way) == b"PONG"
        assert (proxy.connections, proxy.round_trips) == (1, 2)


@both_ways
@pytest.mark.parametrize("user", ["", "default", "reader"])
def test_handshake__users(guarded: Server, connect: Callable[..., Connection], way: str, user: str) -> None:
    connection = connect(f"redis://{user}:{PASSWORD_IN_URL}@127.0.0.1:{guarded.port}")
    assert ping(connection, way) == b"PONG"
    (reply,) = connection.route.execute([("SET", "k", "v")])
    assert reply == b"OK" if user != "reader" else type(reply) is exceptions.NoPermissionError


@both_ways
def test_handshake__user_and_password_beside_the_url(
    guarded: Server, connect: Callable[..., Connection], way: str
) -> None:
    connection = connect(f"redis://127.0.0.1:{guarded.port}", USERNAME="reader", PASSWORD=PASSWORD)
    assert ping(connection, way) == b"PONG"


@both_ways
@pytest.mark.parametrize("userinfo", ["", ":wrong-s3cret@", "nobody:wrong-s3cret@"])
def test_handshake__refused(guarded: Server, connect: Callable[..., Connection], way: str, userinfo: str) -> None:
    connection = connect(f"redis://{userinfo}127.0.0.1:{guarded.port}")
    with pytest.raises(exceptions.ConnectionError) as caught:
        ping(connection, way)
    assert "s3cret" not in str(caught.value)
    assert isinstance(caught.value, exceptions.AuthenticationError)


@both_ways
def test_handshake__a_password_for_a_server_without(
    valkey: Server, connect: Callable[..., Connection], way: str
) -> None:
    with pytest.raises(exceptions.ConnectionError, match="refused the handshake"):
        ping(connect(f"redis://:pw@127.0.0.1:{valkey.port}"), way)


@both_ways
def test_database__is_selected_before_anything_runs(
    valkey: Server, connect: Callable[..., Connection], way: str
) -> None:
    assert ping(connect(f"redis://127.0.0.1:{valkey.port}/3"), way) == b"PONG"
    connect(f"redis://127.0.0.1:{valkey.port}/3").run(command("SET", "only-in-3", 1))
    assert connect(f"redis://127.0.0.1:{valkey.port}").run(command("EXISTS", "only-in-3")) == 0
    with pytest.raises(exceptions.ConnectionError, match="DB index is out of range"):
        ping(connect(f"redis://127.0.0.1:{valkey.port}/9999"), way)


@both_ways
def test_unix_socket(valkey: Server, connect: Callable[..., Connection], way: str) -> None:
    assert ping(connect(valkey.url), way) == b"PONG"


@both_ways
def test_tls__is_verified_by_default(valkey: Server, connect: Callable[..., Connection], way: str) -> None:
    with TLSProxy(valkey.port) as proxy:
        with pytest.raises(exceptions.ConnectionError, match=r"(?i)certificate"):
            ping(connect(proxy.url), way)
        trusted = {"CA_CERTS": str(proxy.certificate.ca_file)}
        assert ping(connect(proxy.url, **trusted), way) == b"PONG"
        assert ping(connect(proxy.url, VERIFY_TLS=False), way) == b"PONG"


@both_ways
def test_tls__the_host_name_must_be_the_certificate_s(
    valkey: Server, connect: Callable[..., Connection], way: str, tmp_path: Any
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("other.example")
    paths = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
    authority.cert_pem.write_to_path(paths[0])
    issued.cert_chain_pems[0].write_to_path(paths[1])
    issued.private_key_pem.write_to_path(paths[2])
    with (
        TLSProxy(valkey.port, Certificate(*paths)) as proxy,
        pytest.raises(exceptions.ConnectionError, match=r"(?i)hostname mismatch"),
    ):
        ping(connect(proxy.url, CA_CERTS=str(paths[0])), way)


@both_ways
def test_tls__of_a_server_with_session_tickets_keeps_its_connections(
    valkey: Server, connect: Callable[..., Connection], way: str
) -> None:
    with TLSProxy(valkey.port, tickets=2) as proxy:
        connection = connect(proxy.url, CA_CERTS=str(certificate().ca_file))
        ping(connection, way)
        opened = proxy.connections
        for _ in range(5):
            connection.run(command("PING"))
            threading.Event().wait(0.02)  # long enough for the pool to look at the connection
        assert proxy.connections <= opened + 1


@both_ways
def test_tls__to_a_server_without(valkey: Server, connect: Callable[..., Connection], way: str) -> None:
    with pytest.raises((exceptions.ConnectionError, exceptions.TimeoutError)):
        ping(connect(f"rediss://localhost:{valkey.port}", TIMEOUT=0.3), way)


def test_pool__never_opens_more_than_max_connections(valkey: Server, connect: Callable[..., Connection]) -> None:
    connection = connect(valkey.tcp_url, MAX_CONNECTIONS=3)
    with valkey.counting() as counted:
        threads = [threading.Thread(target=lambda: [connection.ping() for _ in range(50)]) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted.connections <= 3


def test_asgi__500_requests_use_one_connection_in_a_loop(valkey: Server, connect: Callable[..., Connection]) -> None:
    connection = connect(valkey.tcp_url, MAX_CONNECTIONS=2)

    async def request(number: int) -> bytes:
        reply: bytes = await connection.arun(command("ECHO", number))
        return reply

    async def serve() -> list[bytes]:
        return [reply for _ in range(50) for reply in await asyncio.gather(*(request(n) for n in range(10)))]

    with valkey.counting() as counted:
        assert len(asyncio.run(serve())) == 500
    assert counted.connections <= 3  # two for the loop's first batches, and its own


def test_close__releases_every_socket(valkey: Server, connect: Callable[..., Connection]) -> None:
    connection = connect(valkey.tcp_url)
    threads = [threading.Thread(target=connection.ping) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()
    clients = valkey.call("CLIENT", "LIST").decode()
    assert clients.count("addr=127.0.0.1") - clients.count("user=probe") <= 0


def test_settings__a_dead_host_name_is_an_error_with_its_name(connect: Callable[..., Connection]) -> None:
    with pytest.raises(exceptions.ConnectionError, match=r"nowhere\.invalid"):
        connect("rediss://nowhere.invalid:6379").ping()


@both_ways
def test_tls__authorities_that_cannot_be_read(
    valkey: Server, connect: Callable[..., Connection], way: str, tmp_path: Any
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    with pytest.raises(exceptions.ConnectionError, match="CA_CERTS names a file without readable certificates"):
        ping(connect(f"rediss://localhost:{valkey.port}", CA_CERTS=str(empty)), way)
