from __future__ import annotations

import pytest

from django_upstash.dev_server.access import is_foreign
from django_upstash.dev_server.messages import ServerRequest
from tests.dev_server.conftest import Client

LOCAL = [b"127.0.0.1", b"127.0.0.1:8079", b"localhost:8079", b"[::1]:8079", b"site.localhost", b"LOCALHOST"]
FOREIGN = [
    b"", b"evil.example", b"127.0.0.1.evil.example", b"localhost.evil.example:8079", b"10.0.0.1", b"0.0.0.0:8079",
    b"evil.example@127.0.0.1", b"127.0.0.1@evil.example", b"127.0.0.1,127.0.0.1",
    b"127.0.0.1/", b"[::1", b"[::2]:1", b"\xff",
]  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_is_foreign__not_a_name_of_this_machine(host: bytes) -> None:
    assert not is_foreign(ServerRequest("GET", b"/", {b"host": host}))
    assert not is_foreign(ServerRequest("GET", b"/", {b"host": host, b"origin": b"http://" + host}))


@pytest.mark.parametrize("host", FOREIGN)
def test_is_foreign__any_other_name(host: bytes) -> None:
    assert is_foreign(ServerRequest("GET", b"/", {b"host": host}))
    assert is_foreign(ServerRequest("GET", b"/", {b"host": b"localhost", b"origin": b"http://" + host}))


def test_is_foreign__pages_without_an_origin() -> None:
    assert is_foreign(ServerRequest("GET", b"/", {b"host": b"localhost", b"origin": b"null"}))
    assert is_foreign(ServerRequest("GET", b"/", {}))


@pytest.mark.parametrize("path", ["/ping", "/_local/meter"])
@pytest.mark.parametrize("headers", [{"Host": "rebound.example"}, {"Origin": "https://evil.example"}])
def test_foreign__refused_whatever_the_token(client: Client, path: str, headers: dict[str, str]) -> None:
    answer = client.get(path, **headers)

    assert answer.status == 403
    assert answer.json["error"].startswith("ERR the local server answers only to localhost")
    assert client.server.meter()["requests"] == 0


def test_local_page__allowed(client: Client) -> None:
    assert client.get("/ping", Origin="http://localhost:3000").result == "PONG"


def test_two_hosts__are_none(client: Client) -> None:
    token = client.server.token.encode()
    answer = client.raw(
        b"GET /ping HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n"
        b"Authorization: Bearer " + token + b"\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 403 ")
