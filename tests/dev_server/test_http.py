from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_upstash.dev_server import LocalServer
from django_upstash.dev_server.http import LARGEST_BODY, LARGEST_HEAD
from tests.dev_server.conftest import Client, read_all
from tests.servers import Server


def request(client: Client, method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {client.server.token}", *headers]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def bodies(answers: bytes) -> list[object]:
    return [json.loads(body) for body in re.findall(rb"\r\n\r\n(\S*?)(?=HTTP/1.1|$)", answers) if body]


def test_pipelined_requests__are_answered_in_order(client: Client) -> None:
    requests = [request(client, "POST", "/", json.dumps(["INCR", "n"]).encode()) for _ in range(200)]
    requests.append(request(client, "GET", "/ping", b"", "Connection: close"))

    answers = bodies(client.raw(b"".join(requests)))

    assert answers == [{"result": number} for number in range(1, 201)] + [{"result": "PONG"}]


def test_pipelined_requests__of_a_client_that_does_not_read(client: Client) -> None:
    """More answers than the sockets' buffers hold wait for the client instead of piling up or getting lost."""
    client.post("/set/key", b"x" * 300_000)
    requests = request(client, "GET", "/get/key") * 99 + request(client, "GET", "/get/key", b"", "Connection: close")
    with socket.create_connection(client.address, timeout=10) as connection:
        connection.sendall(requests)
        assert client.command("PING").result == "PONG"

        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 100


def test_keep_alive__one_connection_serves_many(client: Client) -> None:
    client.command("PING")
    used = client.connection.sock
    client.request("GET", "/nosuch")
    client.command("PING")

    assert client.connection.sock is used


@pytest.mark.parametrize("ending", [b"Connection: close\r\n\r\n", b"\r\n"])
def test_keep_alive__ends_where_the_client_wants(client: Client, ending: bytes) -> None:
    version = b"1.1" if b"close" in ending else b"1.0"
    answer = client.raw(
        b"GET /ping HTTP/"
        + version
        + b"\r\nHost: localhost\r\nAuthorization: "
        + client.server.token.encode()
        + b"\r\n"
        + ending
    )

    assert answer.endswith(b'{"result":"PONG"}')


def test_body__in_small_pieces(client: Client) -> None:
    data = request(client, "POST", "/set/key", b"value", "Connection: close")
    with socket.create_connection(client.address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(data)):
            connection.sendall(data[position : position + 1])

        assert read_all(connection).endswith(b'{"result":"OK"}')
    assert client.command("GET", "key").result == "value"


def test_body__chunked(client: Client) -> None:
    head = request(client, "POST", "/set/key", b"", "Transfer-Encoding: chunked", "Connection: close")

    # Trailers come after the decision who may do what.
    answer = client.raw(head + b"3\r\nval\r\n2;x=y\r\nue\r\n0\r\nHost: evil.example\r\n\r\n")

    assert answer.endswith(b'{"result":"OK"}')
    assert client.command("GET", "key").result == "value"


def test_body__expected_to_be_invited(client: Client) -> None:
    data = request(client, "POST", "/set/key", b"value", "Expect: 100-continue", "Connection: close")
    head, _, body = data.partition(b"\r\n\r\n")
    with socket.create_connection(client.address, timeout=10) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)

        assert read_all(connection).endswith(b'{"result":"OK"}')


def test_upgrade__is_answered_as_http_and_closed(client: Client) -> None:
    answer = client.raw(request(client, "GET", "/ping", b"", "Connection: Upgrade", "Upgrade: h2c") + b"PRI * HTTP/2.0")

    assert answer.endswith(b'{"result":"PONG"}')
    assert answer.count(b"HTTP/1.1") == 1


def test_too_large__the_answer_arrives(client: Client) -> None:
    answer = client.raw(request(client, "POST", "/set/key", b"x" * (LARGEST_BODY * 2), "Connection: close"))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert f"Actual: {LARGEST_BODY * 2} bytes".encode() in answer


def test_too_large__headers(client: Client) -> None:
    with socket.create_connection(client.address, timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        answer = b""
        try:
            for _ in range(100):
                connection.sendall(b"x" * LARGEST_HEAD)
            answer = read_all(connection)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was told, and did not stop talking
    assert not answer or answer.startswith(b"HTTP/1.1 431 ")
    assert client.command("PING").result == "PONG"


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PING\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET / HTTP/1.1\r\n : x\r\n\r\n",
    ],
)  # fmt: skip
def test_not_http__one_answer_and_the_end(client: Client, data: bytes) -> None:
    answer = client.raw(data)

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close\r\n" in answer
    assert client.command("PING").result == "PONG"


@pytest.fixture(scope="module")
def fuzzed(valkey: Server) -> Iterator[Client]:
    with LocalServer(valkey.url) as server, Client(server) as client:
        yield client


fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Mostly what a server might trip over, sometimes anything.
fragments = st.one_of(
    st.sampled_from(
        [
            b"GET ", b"POST ", b"/pipeline", b"/set/a", b"%zz", b"%ff", b"?_token=", b"&", b" HTTP/1.1\r\n",
            b"Host: localhost\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
            b"Upstash-Encoding: base64\r\n", b"\r\n", b"0\r\n\r\n", b"[[",
        ]
    ),
    st.binary(max_size=20),
)  # fmt: skip


@fuzz
@given(parts=st.lists(fragments, max_size=20))
def test_fuzz__bytes(fuzzed: Client, parts: list[bytes]) -> None:
    with socket.create_connection(fuzzed.address, timeout=10) as connection:
        connection.sendall(b"".join(parts))
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = read_all(connection)
        except ConnectionResetError:
            answer = b""

    assert not re.search(rb"^HTTP/1.1 5", answer)
    assert fuzzed.command("PING").result == "PONG"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["GET", "EVAL", "INFO", "XREAD"]),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=2),
    max_leaves=12,
)


@fuzz
@given(
    path=st.sampled_from(["/", "/pipeline", "/multi-exec", "/_local/faults"]), body=json_values, cut=st.integers(0, 5)
)
def test_fuzz__json(fuzzed: Client, path: str, body: object, cut: int) -> None:
    encoded = json.dumps(body).encode()
    answer = fuzzed.post(path, encoded[: len(encoded) - cut])

    fuzzed.server.clear_faults()
    assert answer.status in (200, 400)
    assert isinstance(answer.json, dict | list)


@fuzz
@given(
    arguments=st.lists(st.text(max_size=8), max_size=4),
    name=st.sampled_from(["get", "script", "acl", "config", "info", "copy", "eval"]),
)
def test_fuzz__commands(fuzzed: Client, name: str, arguments: list[str]) -> None:
    answer = fuzzed.pipeline([name, *arguments], ["PING"], Upstash_Encoding="base64")

    assert answer.status == 200
    assert answer.json[1] == {"result": "UE9ORw=="}


@fuzz
@given(target=st.binary(max_size=30).filter(lambda target: not set(target) & set(b"\r\n \t\x0b\x0c#")))
def test_fuzz__targets(fuzzed: Client, target: bytes) -> None:
    token = fuzzed.server.token.encode()
    answer = fuzzed.raw(
        b"GET /get/"
        + target
        + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
        + token
        + b"\r\nConnection: close\r\n\r\n"
    )

    assert answer.split(b" ", 2)[1] in (b"200", b"400", b"401")
