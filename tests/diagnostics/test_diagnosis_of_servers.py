"""What servers say and refuse: each is told apart, by its cause and the next step, and no secret shows."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.diagnostics.causes import TABLE
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.settings.conf import make_settings
from tests.diagnostics.faults import PASSWORD, TOKEN, diagnosis_of
from tests.diagnostics.impostors import impostor
from tests.servers import Server, start_valkey


@pytest.fixture
def local_server(local_server: LocalServer) -> Iterator[LocalServer]:
    local_server.clear_faults()
    yield local_server
    local_server.clear_faults()


# Who may do what.


def test_diagnose__wrong_token(local_server: LocalServer) -> None:
    said = diagnosis_of(local_server.url)
    assert said.startswith(f"{local_server.url} does not accept the token. Copy UPSTASH_REDIS_REST_TOKEN")


def test_diagnose__read_only_token(valkey: Server) -> None:
    with LocalServer(valkey.url, read_only_token=TOKEN) as server:
        said = diagnosis_of(server.url, "SET", "k", "v")
    assert said.startswith("The token is right but may not run this command (this user has no permissions to run")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with start_valkey(requirepass="right", user=["ann on >annes ~app:* +@all"]) as server:
        yield server


@pytest.mark.parametrize(
    ("credentials", "arguments", "said"),
    [
        ("", ["PING"], "The server wants a password, and none is configured. Write it into the URL, redis://default:"),
        (f":{PASSWORD}@", ["PING"], "The server does not accept this user name and password. Copy"),
        (f"bob:{PASSWORD}@", ["PING"], "The server does not accept this user name and password. Copy"),
        ("ann:annes@", ["SET", "k", "v"], "The user may not use this key (No permissions to access a key). Let"),
    ],
)
def test_diagnose__access(credentials: str, arguments: list[str], said: str, guarded: Server) -> None:
    assert diagnosis_of(f"redis://{credentials}127.0.0.1:{guarded.port}", *arguments).startswith(said)


def test_diagnose__password_for_a_server_without(valkey: Server) -> None:
    said = diagnosis_of(f"redis://:{PASSWORD}@127.0.0.1:{valkey.port}")
    assert said.startswith("The server has no password, and one is configured. Leave the password out")


def test_diagnose__database_that_is_not_there(valkey: Server) -> None:
    said = diagnosis_of(f"redis://127.0.0.1:{valkey.port}/99")
    assert said.startswith("The server has no database of the number in the URL. Leave the number out")


# The server's state.


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("quota", "The requests of the plan are used up. Choose a larger plan"),
        ("readonly", "The server is being upgraded and takes no writes for the moment. Try again"),
        ("full", "The database is full; reads and deletes still work. Delete keys"),
        ("too_many", "The server has too many requests at the moment (HTTP 429). Try again"),
        ("html", "{url} is not available now (HTTP 502). Try again"),
        ("empty", "What answers at {url} is not Upstash REST (HTTP 200 with a body that is empty). Copy"),
        ("truncate", "The answer of {where} broke off. Try again"),
        ("reset", "{where} closed the connection before it answered. Try again"),
    ],
)
def test_diagnose__faults_of_the_gateway(fault: str, said: str, local_server: LocalServer) -> None:
    local_server.inject(fault, count=9)
    where = local_server.url.removeprefix("http://")
    expected = said.format(url=local_server.url, where=where)
    assert diagnosis_of(local_server.url, "SET", "k", "v", TOKEN=local_server.token).startswith(expected)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "The server is loading its data into memory. Wait"),
        (b"-DENIED Redis is running in protected mode\r\n", "The server is in protected mode, which lets in only"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "The server is a node of a cluster, which this package does not"),
        (b"-MISCONF Errors writing to the AOF file\r\n", "The server is in trouble and says so: MISCONF"),
        (b"-ERR max concurrent connections exceeded\r\n", "The server takes no more connections. Lower"),
        (b"-ERR something else\r\n", "something else."),
    ],
)
def test_diagnose__states_that_servers_tell(answer: bytes, said: str) -> None:
    with impostor(answer) as port:
        assert diagnosis_of(f"redis://127.0.0.1:{port}").startswith(said)


@pytest.mark.parametrize(
    ("config", "arguments", "said"),
    [
        ({"maxmemory": "1mb"}, ["SET", "k", "x" * 2_000_000], "The database is full; reads and deletes still work."),
        ({"replicaof": "127.0.0.1 1"}, ["SET", "k", "v"], "This server is a replica, and replicas take no writes."),
        ({}, ["NOSUCH", PASSWORD], "The server does not have a command that is needed (unknown command 'NOSUCH')."),
    ],
)
def test_diagnose__states_of_real_servers(config: dict[str, str], arguments: list[str], said: str) -> None:
    with start_valkey(**config) as server:
        assert diagnosis_of(server.tcp_url, *arguments).startswith(said)


def test_diagnose__too_many_clients() -> None:
    # One of the two is the test's own.
    with start_valkey(maxclients=2) as server, socket.create_connection(("127.0.0.1", server.port)):
        assert diagnosis_of(server.tcp_url).startswith("The server takes no more connections. Lower MAX_CONNECTIONS")


def test_diagnose__bytes_that_rest_cannot_carry(local_server: LocalServer) -> None:
    said = diagnosis_of(local_server.url, "MSET", b"\xff", b"\xfe", TOKEN=local_server.token)
    assert "not UTF-8" in said


def test_diagnose__hides_secrets_that_a_server_repeats() -> None:
    with impostor(f"-ERR who is {PASSWORD}?\r\n".encode()) as port:
        said = diagnosis_of(f"redis://127.0.0.1:{port}", PASSWORD=PASSWORD)
    assert "who is ********?" in said


def test_diagnose__errors_raised_from_themselves() -> None:
    settings = make_settings("default", {"URL": "redis://127.0.0.1"})
    error = ConnectionError("circular")
    error.__cause__ = error
    assert str(diagnose(error, settings)) == "circular."


def test_table__has_two_sentences_in_every_row_but_the_last() -> None:
    texts = [text for row in TABLE[:-1] for text in (row.cause, row.next_step)]
    assert [text for text in texts if not re.search(r"[^.]\.$", text)] == []
