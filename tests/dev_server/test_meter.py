from __future__ import annotations

from tests.dev_server.conftest import Client


def test_meter__counts_requests_and_billed_commands(client: Client) -> None:
    client.command("SET", "a", "1")
    client.pipeline(["GET", "a"], ["GET", "a"], ["NOSUCH"])
    client.transaction(["INCR", "a"], ["DEL", "a"])
    client.command("INCR", "a", "x")

    assert client.get("/_local/meter").json == client.server.meter()
    meter = client.server.meter()
    assert (meter["requests"], meter["commands"]) == (4, 8)
    assert meter["by_command"] == {"DEL": 1, "EXEC": 1, "GET": 2, "INCR": 2, "MULTI": 1, "SET": 1}


def test_meter__what_is_not_executed_is_not_billed(client: Client) -> None:
    client.transaction(["SET", "a", "1"], ["NOSUCH"])
    client.transaction(["SET", "a", "1"], ["GET"])
    client.command("SUBSCRIBE", "a")
    client.post("/", b"[")
    client.server.inject("quota")
    client.command("SET", "a", "1")

    assert client.server.meter()["commands"] == 0
    assert client.server.meter()["requests"] == 5


def test_meter__bytes_are_those_of_the_bodies(client: Client) -> None:
    sent = client.post("/set/key", b"12345")
    received = client.get("/get/key")

    meter = client.server.meter()
    assert meter["bytes_in"] == 5
    assert meter["bytes_out"] == len(sent.body) + len(received.body)


def test_meter__reset(client: Client) -> None:
    client.command("PING")
    assert client.post("/_local/meter/reset").json == {"result": "OK"}
    assert client.server.meter() == {"requests": 0, "commands": 0, "by_command": {}, "bytes_in": 0, "bytes_out": 0}

    client.command("PING")
    client.server.reset_meter()
    assert client.server.meter()["requests"] == 0


def test_meter__refused_tokens_cost_nothing(client: Client) -> None:
    client.request("POST", "/", ["PING"], token="wrong")

    assert client.server.meter()["requests"] == 0


def test_control__needs_the_token_and_a_known_path(client: Client) -> None:
    assert client.request("GET", "/_local/meter", token="wrong").status == 401
    assert client.get("/_local/metre").status == 404
    assert client.post("/_local/meter").status == 405
    assert client.get("/_local/faults").headers["Allow"] == "POST, DELETE"
