"""What Upstash has and the Redis behind the local server may lack, over Valkey and over the system's Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_upstash.dev_server import LocalServer
from tests.dev_server.conftest import Client
from tests.servers import Server, ServerMissing, start_redis


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Server]:
    try:
        with start_redis() as server:
            yield server
    except ServerMissing as error:
        pytest.skip(str(error))


@pytest.fixture(params=["valkey", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    behind: Server = request.getfixturevalue("valkey" if request.param == "valkey" else "redis_server")
    behind.call("FLUSHALL")
    with LocalServer(behind.url) as server, Client(server) as client:
        yield client


@pytest.mark.parametrize(
    ("options", "stored", "reply", "after"),
    [
        (["IFEQ", "old"], "old", "OK", "new"),
        (["IFEQ", "other"], "old", None, "old"),
        (["IFEQ", "old"], None, None, None),
        (["ifne", "other"], "old", "OK", "new"),
        (["IFNE", "old"], "old", None, "old"),
        (["IFNE", "old"], None, "OK", "new"),
        (["EX", "60", "IFEQ", "old", "GET"], "old", "old", "new"),
        (["GET", "IFNE", "IFEQ"], "IFEQ", None, "IFEQ"),
        (["IFEQ", "GET"], "GET", "OK", "new"),
    ],
)
def test_set__if(client: Client, options: list[str], stored: str | None, reply: str | None, after: str | None) -> None:
    if stored is not None:
        client.command("SET", "k", stored)
    assert client.command("SET", "k", "new", *options).result == reply
    assert client.command("GET", "k").result == after
    if "EX" in options:
        assert client.command("TTL", "k").result > 0


def test_set__if_with_another_condition_or_type(client: Client) -> None:
    assert client.command("SET", "k", "v", "IFEQ", "a", "XX", "IFNE", "b").error.startswith("ERR syntax error")
    client.command("RPUSH", "list", "a")
    assert client.command("SET", "list", "v", "IFEQ", "a").error.startswith("WRONGTYPE")


def test_digests__are_refused_with_the_reason(client: Client) -> None:
    for command in (["SET", "k", "v", "IFDEQ", "0" * 16], ["DELEX", "k", "IFDNE", "0" * 16], ["DIGEST", "k"]):
        answer = client.command(*command)
        if answer.status != 200:  # a Redis of 8.4 or later has them
            assert "the Redis behind upstash_local does not have" in answer.error


def test_msetex(client: Client) -> None:
    assert client.command("MSETEX", 2, "a", "1", "b", "2", "EX", 60).result == 1
    assert client.command("MGET", "a", "b").result == ["1", "2"]
    assert 0 < client.command("TTL", "b").result <= 60
    assert client.command("MSETEX", 2, "b", "3", "c", "3", "NX").result == 0
    assert client.command("MSETEX", 2, "b", "3", "c", "3", "XX").result == 0
    assert client.command("MSETEX", 2, "a", "4", "b", "4", "XX", "KEEPTTL").result == 1
    assert client.command("TTL", "a").result > 0
    assert client.command("EXISTS", "c").result == 0
    assert client.command("MSETEX", 3, "a", "1").status == 400


@pytest.mark.parametrize(
    ("operation", "bits"),
    [("DIFF", "1000 0000"), ("DIFF1", "0001 0011"), ("ANDOR", "0110 0000"), ("one", "1000 0011")],
)
def test_bitop(client: Client, operation: str, bits: str) -> None:
    for key, value in {"x": "1110 0000", "y": "0111 0010", "z": "0011 0001"}.items():
        for offset, bit in enumerate(value.replace(" ", "")):
            client.command("SETBIT", key, offset, bit)
    assert client.command("BITOP", operation, "to", "x", "y", "z").result == 1
    found = [client.command("GETBIT", "to", offset).result for offset in range(8)]
    assert "".join(map(str, found)) == bits.replace(" ", "")


def test_bitop__of_lengths_that_differ_and_of_nothing(client: Client) -> None:
    client.command("SET", "x", "a")
    client.command("SET", "y", "abc")
    assert client.command("BITOP", "DIFF1", "to", "x", "y").result == 3
    assert client.command("GET", "to").result == "\0bc"
    assert client.command("BITOP", "DIFF", "to", "none", "neither").result == 0
    assert client.command("EXISTS", "to").result == 0
    assert "at least two source keys" in client.command("BITOP", "DIFF", "to", "x").error


def test_xdelex(client: Client) -> None:
    for number in range(1, 5):
        client.command("XADD", "s", f"{number}-0", "f", "v")
    client.command("XGROUP", "CREATE", "s", "g", "0")
    client.command("XREADGROUP", "GROUP", "g", "c", "COUNT", 2, "STREAMS", "s", ">")
    client.command("XACK", "s", "g", "1-0")
    ids = ["1", "2-0", "3-0", "1-7"]
    assert client.command("XDELEX", "s", "ACKED", "IDS", 4, *ids).result == [1, 2, 2, -1]
    assert client.command("XDELEX", "s", "IDS", 1, "3-0").result == [1]
    assert client.command("XDELEX", "s", "DELREF", "IDS", 1, "2-0").result == [1]
    assert client.command("XPENDING", "s", "g").result[0] == 0
    assert client.command("XLEN", "s").result == 1
    assert client.command("XDELEX", "none", "IDS", 1, "1-0").result == [-1]
    assert client.command("XDELEX", "s", "IDS", 2, "1-0").status == 400
    assert "Invalid stream ID" in client.command("XDELEX", "s", "IDS", 1, "x").error


def test_xackdel__deletes_what_was_acknowledged_before(client: Client) -> None:
    for number in (1, 2, 3):
        client.command("XADD", "s", f"{number}-0", "f", "v")
    client.command("XGROUP", "CREATE", "s", "g", "0")
    client.command("XGROUP", "CREATE", "s", "other", "0")
    client.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    client.command("XACK", "s", "g", "1-0")
    assert client.command("XACKDEL", "s", "g", "IDS", 1, "1-0").result == [1]
    assert client.command("XACKDEL", "s", "g", "ACKED", "IDS", 1, "2-0").result == [2]
    assert client.command("XPENDING", "s", "g").result[0] == 1
    client.command("XDEL", "s", "2-0")
    assert client.command("XACKDEL", "s", "g", "IDS", 2, "3-0", "2-0").result == [1, -1]
    client.command("XADD", "s", "5-0", "f", "v")
    client.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    client.command("XDEL", "s", "5-0")
    assert client.command("XACKDEL", "s", "g", "IDS", 1, "5-0").result == [1]
    assert client.command("XACKDEL", "s", "nobody", "IDS", 1, "3-0").result == [-1]
    assert client.command("XLEN", "s").result == 0


def test_xreadgroup__without_acknowledging_makes_no_consumer(client: Client) -> None:
    for stream in ("s", "t"):
        client.command("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM")
    client.command("XGROUP", "CREATECONSUMER", "t", "g", "c")
    client.command("XADD", "s", "1-0", "f", "v")
    read = ["XREADGROUP", "GROUP", "g", "c", "NOACK", "STREAMS", "s", "t", ">", ">"]
    assert client.command(*read).result == [["s", [["1-0", ["f", "v"]]]]]
    assert client.command("XINFO", "CONSUMERS", "s", "g").result == []
    assert len(client.command("XINFO", "CONSUMERS", "t", "g").result) == 1
    assert client.command(*read).result is None
    assert client.command(*read[:2], "nobody", *read[3:]).error.startswith("NOGROUP")


def test_xtrim__is_nearly_exact(client: Client) -> None:
    client.pipeline(*(["XADD", "s", "*", "f", number] for number in range(250)))
    assert client.command("XTRIM", "s", "MAXLEN", "~", 30).result == 220
    assert client.command("XLEN", "s").result == 30


def test_scan__with_types(client: Client) -> None:
    client.command("SET", "text", "v")
    client.command("RPUSH", "withtype", "a")
    cursor, found = client.command("SCAN", 0, "COUNT", 100, "WITHTYPE").result
    assert cursor == "0"
    assert dict(zip(found[::2], found[1::2], strict=True)) == {"text": "string", "withtype": "list"}
    assert client.command("SCAN", 0, "COUNT", 100, "MATCH", "withtype").result == ["0", ["withtype"]]


def test_zrange__limits_ranks(client: Client) -> None:
    client.command("ZADD", "z", 1, "a", 2, "b", 2.5, "c", 4, "d")
    assert client.command("ZRANGE", "z", 0, 2, "LIMIT", 1, 5).result == ["b", "c"]
    assert client.command("ZRANGE", "z", 0, -1, "REV", "LIMIT", 1, 1, "WITHSCORES").result == ["c", "2.5"]
    assert client.command("ZRANGE", "z", 0, 2, "LIMIT", 1, -1).result == ["b", "c"]
    assert client.command("ZRANGESTORE", "to", "z", 0, 2, "LIMIT", 1, 5).result == 2
    assert client.command("ZRANGE", "to", 0, -1, "WITHSCORES").result == ["b", "2", "c", "2.5"]
    assert client.command("ZRANGESTORE", "to", "z", 0, 2, "LIMIT", 7, 1).result == 0
    assert client.command("ZRANGE", "z", 1, 4, "BYSCORE", "LIMIT", 1, 2).result == ["b", "c"]


@pytest.mark.parametrize("command", [["ARSET", "k", 0, "v"], ["VECTOR.INFO", "k"], ["SEARCH.COUNT", "k", "{}"]])
def test_listed__but_lacked_says_so(client: Client, command: list[str]) -> None:
    answer = client.command(*command)
    if answer.status != 200:  # Redis has arrays from 8.8
        assert f"the Redis behind upstash_local does not have {command[0]}" in answer.error


def test_transaction__takes_them_and_bills_each_once(client: Client) -> None:
    client.command("SET", "k", "1")
    billed = client.server.meter()["commands"]
    answers = client.transaction(["SET", "k", "2", "IFEQ", "1", "GET"], ["MSETEX", 1, "a", "1"]).json
    assert [answer["result"] for answer in answers] == ["1", 1]
    assert client.server.meter()["commands"] - billed == 4  # and MULTI and EXEC
