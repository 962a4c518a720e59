from __future__ import annotations

import pytest

from django_upstash.dev_server import commands
from tests.dev_server.conftest import Client
from tests.servers import Server

NOT_AVAILABLE = (
    "ERR Command is not available: '{}'. See https://upstash.com/docs/redis/overall/rediscompatibility for details"
)


@pytest.mark.parametrize(
    "name",
    "AUTH MULTI EXEC DISCARD WATCH UNWATCH HELLO RESET SUBSCRIBE UNSUBSCRIBE PSUBSCRIBE PUNSUBSCRIBE CLIENT MONITOR "
    "QUIT BLPOP BRPOP BLMOVE BZPOPMIN".split(),
)
def test_refused__not_over_rest(client: Client, name: str) -> None:
    refusal = f'ERR Command "{name}" is not allowed in REST or it has a special context path'

    assert client.command(name.lower(), "a", "1").error == refusal
    assert client.transaction(["SET", "a", "1"], [name]).error == refusal


@pytest.mark.parametrize(
    "name",
    "OBJECT SLOWLOG DEBUG LATENCY SORT MOVE SWAPDB LCS SPUBLISH CLUSTER REPLICAOF BGSAVE LASTSAVE SHUTDOWN SAVE MODULE "
    "DELIFEQ FAILOVER NOSUCH".split(),
)
def test_refused__not_available(client: Client, name: str) -> None:
    assert client.command(name, "a", "b").error == NOT_AVAILABLE.format(name)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["MEMORY", "stats"], "MEMORY STATS"),
        (["FUNCTION", "DUMP"], "FUNCTION DUMP"),
        (["CONFIG", "REWRITE"], "CONFIG REWRITE"),
        (["CONFIG", "RESETSTAT"], "CONFIG RESETSTAT"),
        (["SCRIPT", "DEBUG", "YES"], "SCRIPT DEBUG"),
        (["ACL", "SETUSER", "eve"], "ACL SETUSER"),
        (["ACL", "LIST"], "ACL LIST"),
    ],
)
def test_refused__subcommands(client: Client, command: list[str], name: str) -> None:
    assert client.command(*command).error == NOT_AVAILABLE.format(name)


@pytest.mark.parametrize("name", ["\r\n+OK", "\x00", "'", "é" * 100, ""])
def test_refused__odd_names(client: Client, name: str) -> None:
    assert client.command(name).error.startswith("ERR Command is not available: '")

    answer = client.command(name, Upstash_Response_Format="resp2")
    assert answer.body.startswith(b"-ERR Command is not available: '")
    assert answer.body.index(b"\r\n") == len(answer.body) - 2


def test_refused__xread_that_blocks(client: Client) -> None:
    client.command("XADD", "block", "1-1", "field", "value")

    assert "is not allowed in REST" in client.command("XREAD", "BLOCK", 0, "STREAMS", "s", "$").error
    assert (
        "is not allowed in REST"
        in client.command("XREADGROUP", "GROUP", "g", "c", "block", 0, "STREAMS", "s", ">").error
    )
    assert client.command("XREAD", "STREAMS", "block", "0").result == [["block", [["1-1", ["field", "value"]]]]]


def test_refused__long_keys(client: Client) -> None:
    key, error = "k" * 32769, "ERR max key size exceeded. Limit: 32768 bytes, Actual: 32769 bytes"

    assert client.command("SET", key, "1").error == error
    assert client.command("MGET", "a", key).error == error
    assert client.command("MSET", "a", "1", key, "1").error == error
    assert client.command("MSETEX", "1", key, "1").error == error
    assert client.command("ECHO", key).result == key
    assert client.command("MSET", "a", key, key[1:], "1").result == "OK"


def test_available__every_documented_command_reaches_the_server(valkey: Server) -> None:
    """What Valkey knows and Upstash does not document is refused; nothing is refused by a slip of the list."""
    known = {name.decode().upper() for name in valkey.call("COMMAND", "LIST") if b"|" not in name}
    refused = known - commands.AVAILABLE - commands.NOT_OVER_REST

    assert refused == {
        "ASKING", "BGREWRITEAOF", "BGSAVE", "CLUSTER", "CLUSTERSCAN", "COMMANDLOG", "DEBUG", "DELIFEQ", "FAILOVER",
        "LASTSAVE", "LATENCY", "LCS", "LOLWUT", "MIGRATE", "MODULE", "MOVE", "OBJECT", "PFDEBUG", "PFSELFTEST", "PSYNC",
        "READONLY", "READWRITE", "REPLCONF", "REPLICAOF", "RESTORE-ASKING", "ROLE", "SAVE", "SHUTDOWN", "SLAVEOF",
        "SLOWLOG", "SORT", "SORT_RO", "SPUBLISH", "SSUBSCRIBE", "SUBSTR", "SUNSUBSCRIBE", "SWAPDB", "SYNC", "XSETID",
    }  # fmt: skip


def test_reads__are_not_writes_for_the_server(valkey: Server) -> None:
    table = {entry[0].decode().upper(): {flag.decode() for flag in entry[2]} for entry in valkey.call("COMMAND")}

    assert {name for name in commands.READS & table.keys() if "write" in table[name]} == set()
    assert {name for name in commands.WRITES & table.keys() if "readonly" in table[name]} == set()


def test_select__database_zero_only(client: Client) -> None:
    assert client.command("SELECT", "0").result == "OK"
    assert client.command("SELECT", "1").error == "ERR DB index is out of range"
    assert client.command("SELECT").error == "ERR wrong number of arguments for 'select' command"
    assert client.command("COPY", "a", "b", "DB", "1").error == "ERR DB index is out of range"


def test_command__is_empty(client: Client) -> None:
    assert client.command("COMMAND").result == []
    assert client.command("COMMAND", "DOCS", "GET").result == []


def test_config__shows_one_setting(client: Client) -> None:
    assert client.command("CONFIG", "GET", "*").result == ["notify-keyspace-events", ""]
    assert client.command("CONFIG", "GET", "maxmemory").result == []
    assert client.command("CONFIG", "SET", "maxmemory", "1").error == "ERR Unsupported CONFIG parameter: maxmemory"
    assert client.command("CONFIG", "GET").error.startswith("ERR wrong number of arguments")
    assert client.command("CONFIG", "SET", "Notify-Keyspace-Events", "Ex").result == "OK"
    assert client.command("CONFIG", "GET", "notify-*").result == ["notify-keyspace-events", "xE"]
    assert client.command("CONFIG", "SET", "notify-keyspace-events", "").result == "OK"


def test_info__is_of_upstash(client: Client) -> None:
    info = client.command("INFO").result
    headings = [line for line in info.splitlines() if line.startswith("#")]

    assert headings == ["# Server", "# Clients", "# Memory", "# Stats", "# Cluster", "# Keyspace"]
    assert "\r\nupstash_version:1.13.3\r\n" in info
    assert "redis_version:" in info
    assert "\r\nused_memory:" in client.command("INFO", "all").result


def test_info__one_section(client: Client) -> None:
    client.command("SET", "a", "1")

    assert client.command("INFO", "keyspace").result.startswith("# Keyspace\r\ndb0:keys=1,expires=0")
    assert client.command("INFO", "commandstats").result == "# Commandstats\r\n\r\n"


def test_flushall__leaves_other_databases_alone(client: Client, valkey: Server) -> None:
    valkey.call("SELECT", "1")
    valkey.call("SET", "somebody else's", "1")
    valkey.call("SELECT", "0")
    client.command("SET", "a", "1")

    assert client.command("FLUSHALL").result == "OK"

    assert client.command("DBSIZE").result == 0
    valkey.call("SELECT", "1")
    assert valkey.call("EXISTS", "somebody else's") == 1
    valkey.call("SELECT", "0")


def test_acl__tokens(client: Client) -> None:
    token = client.server.token

    assert client.command("ACL", "WHOAMI").result == "default"
    assert client.command("ACL", "RESTTOKEN", "default", token).result == token
    assert client.command("ACL", "RESTTOKEN", "default_ro", "only-reads").result == "only-reads"
    assert (
        client.command("ACL", "RESTTOKEN", "upstash", "fakepass").error
        == 'ERR Wrong password or user "upstash" does not exist'
    )
    assert client.command("ACL", "RESTTOKEN", "default", "wrong").status == 400
    assert len(client.command("ACL", "GENTOKEN").result) == 64


def test_delex__where_the_server_has_none(client: Client) -> None:
    client.pipeline(["SET", "a", "1"], ["SET", "b", "1"], ["SET", "c", "1"], ["RPUSH", "list", "1"])

    answer = client.pipeline(
        ["DELEX", "a", "IFEQ", "2"], ["DELEX", "a", "ifeq", "1"], ["DELEX", "b", "IFNE", "1"],
        ["DELEX", "b", "IFNE", "2"], ["DELEX", "c"], ["DELEX", "missing", "IFNE", "1"], ["DELEX", "c", "NO"],
        ["DELEX"], ["DELEX", "list", "IFEQ", "1"],
    )  # fmt: skip
    replies = [item.get("result", item.get("error")) for item in answer.json]

    assert replies[:6] == [0, 1, 0, 1, 1, 0]
    assert replies[6:8] == ["ERR syntax error", "ERR wrong number of arguments for 'delex' command"]
    assert replies[8].startswith("WRONGTYPE ")


def test_set__with_nx_and_get_tells_null_as_documented(client: Client, valkey: Server) -> None:
    assert client.command("SET", "nx-get", "1", "NX", "GET").result is None
    assert client.command("SET", "nx-get", "2", "get", "EX", "9", "nx").result is None
    assert client.command("SET", "nx-get", "3", "GET").result == "1"
    assert valkey.call("GET", "nx-get") == b"3"
    assert "syntax error" in client.command("SET", "nx-get", "4", "NX", "GET", "GIVE").error
