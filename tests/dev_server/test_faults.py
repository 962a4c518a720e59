from __future__ import annotations

import http.client
from typing import Any

import pytest

from django_upstash.dev_server.faults import AFTER_EXECUTION, BEFORE_EXECUTION, Fault
from tests.dev_server.conftest import Client

# http.client's words for a connection that ended without a whole answer.
BROKEN = (http.client.RemoteDisconnected, http.client.IncompleteRead, ConnectionResetError)


def set_under_fault(client: Client, kind: str, **options: Any) -> Any:
    client.server.inject(kind, **options)
    try:
        return client.command("SET", "key", "value")
    except BROKEN as error:
        client.connection.close()
        return error


@pytest.mark.parametrize("kind", sorted(BEFORE_EXECUTION | AFTER_EXECUTION))
def test_fault__executes_or_not_and_is_over(client: Client, kind: str) -> None:
    set_under_fault(client, kind)

    assert client.command("EXISTS", "key").result == (kind in AFTER_EXECUTION)
    assert client.command("SET", "key", "value").result == "OK"


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("unauthorized", 401, '{"error":"WRONGPASS invalid or missing auth token.'),
        ("too_many", 429, '{"error":"ERR too many requests"}'),
        ("quota", 400, '{"error":"ERR max requests limit exceeded. Limit: 500000, Usage: 500000. See https://'),
        ("readonly", 400, '{"error":"READONLY Writes are temporarily rejected due to server upgrade"}'),
        ("full", 400, '{"error":"ERR DB capacity quota exceeded. Threshold: '),
        ("html", 502, "<html>"),
        ("empty", 200, ""),
        ("not_json", 200, "upstream connect error"),
    ],
)
def test_fault__answers(client: Client, kind: str, status: int, text: str) -> None:
    answer = set_under_fault(client, kind)

    assert answer.status == status
    assert answer.body.decode().startswith(text)
    assert bool(answer.body) == bool(text)


def test_too_many__as_a_page(client: Client) -> None:
    answer = set_under_fault(client, "too_many", html=True)

    assert (answer.status, answer.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<html>")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("drop_before", http.client.RemoteDisconnected),
        ("drop_after", http.client.RemoteDisconnected),
        ("truncate", http.client.IncompleteRead),
        ("reset", ConnectionResetError),
    ],
)
def test_fault__broken_connections(client: Client, kind: str, error: type[Exception]) -> None:
    # http.client's RemoteDisconnected is a ConnectionResetError too: the types must be the same.
    assert type(set_under_fault(client, kind)) is error


def test_latency__delays_the_answer_not_the_execution(client: Client) -> None:
    client.server.inject("latency", seconds=30)
    client.connection.timeout = 0.2
    with pytest.raises(TimeoutError):
        client.command("INCR", "n")
    client.connection.close()

    client.connection.timeout = 10
    assert client.command("GET", "n").result == "1"


@pytest.mark.parametrize("kind", ["quota", "readonly", "full"])
def test_per_item__fills_the_slots_of_a_pipeline(client: Client, kind: str) -> None:
    client.server.inject(kind, per_item=True, count=2)
    answer = client.pipeline(["SET", "key", "1"], ["GET", "key"])

    assert answer.status == 200
    assert answer.json == [{"error": client.command("GET", "key").error}] * 2
    assert client.command("EXISTS", "key").result == 0


def test_count_and_order(client: Client) -> None:
    client.server.inject("quota", count=2)
    client.server.inject("readonly")

    statuses = [client.command("PING").status for _ in range(4)]
    assert statuses == [400, 400, 400, 200]


def test_path__chooses_the_requests(client: Client) -> None:
    client.server.inject("quota", path="/pipeline")
    client.server.inject("quota", path="/set/*")

    assert client.command("PING").status == 200
    assert client.pipeline(["PING"]).status == 400
    assert client.get("/set/a/1").status == 400
    assert client.get("/set/a/1").status == 200


def test_control__faults_by_http(client: Client) -> None:
    assert client.post("/_local/faults", [{"kind": "quota", "count": 5}, {"kind": "empty"}]).result == "OK"
    assert client.post("/_local/faults", {"kind": "html", "path": "/get/*"}).result == "OK"
    assert client.command("PING").status == 400

    assert client.request("DELETE", "/_local/faults").result == "OK"
    assert client.command("PING").status == client.get("/get/a").status == 200


def test_control__is_beyond_faults_and_the_meter(client: Client) -> None:
    client.server.inject("drop_before", count=10)

    assert client.get("/_local/meter").json["requests"] == 0
    client.server.clear_faults()
    assert client.command("PING").result == "PONG"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[", b"1", b'"quota"', b'{"count": 1}', b'{"kind": "nonsense"}', b'{"kind": "quota", "count": 0}',
        b'{"kind": "quota", "count": true}', b'{"kind": "quota", "colour": 1}', b'{"kind": "latency", "seconds": NaN}',
        b'{"kind": "latency", "seconds": "1"}', b'[{"kind": "quota"}, 1]', b"[" * 100_000, b"\xff",
    ],
)  # fmt: skip
def test_control__refuses_what_is_no_fault(client: Client, body: bytes) -> None:
    assert client.post("/_local/faults", body).error.startswith("ERR ")

    assert client.command("PING").status == 200


def test_fault__says_what_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match=r"known are .*latency"):
        Fault("slow")
    with pytest.raises(ValueError, match="'seconds' is of the wrong type"):
        Fault("latency", seconds="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1 request"):
        Fault("latency", count=0)
