"""``redis_health keys`` and ``redis_health key``."""

from __future__ import annotations

import json
import os
import re
from typing import Any, TypeAlias

import pytest

from tests.fault_proxy import FaultProxy
from tests.management.calls import failing_health, health
from tests.servers import Server

Upstash: TypeAlias = dict[str, dict[str, Any]]


@pytest.fixture
def two(upstash: Upstash) -> Upstash:
    """One connection per route, and none that fails."""
    del upstash["embedded"]
    return upstash


@pytest.fixture
def filled(two: Upstash, valkey: Server) -> Upstash:
    for number in range(30):
        valkey.call("SET", f"session:{number}", "x", "EX", "100000")
    for number in range(1500):
        valkey.call("SET", f":1:{number}", "x" * 200)
    valkey.call("SET", "evil\x1b[2J:a\nb", "x")
    return two


@pytest.mark.parametrize("alias", ["native", "rest"])
def test_keys__shows_a_line_per_prefix(filled: Upstash, alias: str) -> None:
    lines = health("keys", alias, sample=2000).splitlines()
    assert re.fullmatch(r"Scanned 1,531 of 1,531 keys \(1\d requests, 4,59\d commands; ~ marks estimates\)", lines[0])
    assert lines[1].split() == ["PREFIX", "TYPE", "KEYS", "BYTES", "NO", "TTL", "SHORTEST", "TTL"]
    assert re.fullmatch(r"  :1: +string +1,500 +\d+ K +100% +-", lines[2])
    assert re.fullmatch(r"  session: +string +30 +[\d.]+ K +0% +1 d 3 h", lines[3])
    assert lines[4].startswith("  evil\\x1b[2J: ")


def test_keys__marks_estimates_and_says_how_to_continue(filled: Upstash) -> None:
    lines = health("keys", "native", limit=1000, sample=10).splitlines()
    assert re.fullmatch(r"  :1: +string +~1,[45]\d\d +~\d+ K( to \d+ K)? +~100% +-", lines[2])
    match = re.fullmatch(r"Continue with: python manage\.py redis_health (keys native .*--cursor \d+)", lines[-1])
    assert match is not None
    rest = health(*match[1].split())
    assert "Continue with" not in rest
    assert rest.startswith(f"Scanned {1531 - int(lines[0].split()[1].replace(',', '')):,} of 1,531 keys")


def test_keys__keeps_filters_when_it_continues(filled: Upstash) -> None:
    said = health("keys", "native", match="session:*", type="string", limit=1000)
    assert "redis_health keys native --match 'session:*' --type string --limit 1000 --cursor " in said
    assert said.startswith("Found ")


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"sort": "keys"}, ":1:"),
        ({"sort": "bytes"}, ":1:"),
        ({"sort": "ttl"}, "session:"),
        ({"sort": "no-ttl"}, ":1:"),
        ({"sort": "prefix"}, ":1:"),
        ({"ttl": "all"}, "session:"),
        ({"ttl": "none", "sort": "prefix"}, ":1:"),
        ({"match": "session:*"}, "session:"),
    ],
)
def test_keys__sorts_and_selects(filled: Upstash, options: dict[str, Any], first: str) -> None:
    assert health("keys", "native", **options).splitlines()[2].split()[0] == first


def test_keys__json(filled: Upstash) -> None:
    document = json.loads(health("keys", "rest", "--json"))
    assert (document["status"], document["keys"], document["scanned"], document["cursor"]) == ("ok", 1531, 1531, "0")
    assert document["is_complete"] is True
    group = document["groups"][0]
    assert (group["prefix"], group["keys"], group["estimate"]["keys"]) == (":1:", 1500, 1500)
    assert 0 < group["measured"] < 100


@pytest.fixture
def lopsided(two: Upstash, valkey: Server) -> Upstash:
    """Two hundred keys of one prefix, one of them as large as all others of the database together."""
    for number in range(1500):
        valkey.call("SET", f"session:{number}", "x" * 100)
    for number in range(200):
        valkey.call("SET", f"example:1:{number}", "x" * (400_000 if number == 177 else 60))
    return two


@pytest.mark.parametrize("alias", ["native", "rest"])
@pytest.mark.parametrize("options", [["--largest"], ["--sort", "bytes"], ["--largest", "3"]])
def test_keys__finds_the_largest(lopsided: Upstash, valkey: Server, alias: str, options: list[str]) -> None:
    with valkey.counting() as counted:
        lines = health("keys", alias, *options).splitlines()
    assert counted.by_command["memory|usage"] == 1700
    (line,) = (line for line in lines if line.startswith("  example: "))
    assert re.match(r"  example: +string +200 +4\d\d K +", line)
    assert any(re.search(r"example:1:177(, | +)\d{3} K", line) for line in lines)
    assert not any("not measured" in line for line in lines)
    if "--sort" in options:
        assert lines[2] == line


def test_keys__gives_a_range_where_it_did_not_look_at_all(lopsided: Upstash, valkey: Server) -> None:
    valkey.call("DEL", "session:0")
    said = health("keys", "native", "--match", "example:*", sample=199)
    assert re.search(r"Largest of 199 keys measured: example:1:\d+, \d+ (B|K)", said)
    assert "a larger one may be among the others: --largest looks for it" in said
    valkey.call("SET", "mixed:1", "x" * 100)
    valkey.call("SET", "mixed:2", "x" * 50_000)
    valkey.call("SET", "mixed:3", "x" * 50_000)
    (line,) = (line for line in health("keys", "native", match="mixed:*", sample=2).splitlines() if "mixed" in line[:9])
    assert re.match(r"  mixed: +string +3 +~\d+ K( to \d+ K)? ", line)


def test_keys__weighs_a_bounded_number(two: Upstash, valkey: Server) -> None:
    valkey.call("MSET", *(part for number in range(4000) for part in (f"k:{number}", "x")))
    with valkey.counting() as counted:
        said = health("keys", "native", "--largest", sample=10)
    assert counted.by_command["memory|usage"] == 2010
    assert re.search(r"\d,\d\d\d keys were not measured, and may be larger\.", said)
    _, message, _ = failing_health("keys", "native", "--largest", "0")
    assert "--largest must be from 1 to 2,000 keys" in message


@pytest.mark.parametrize("alias", ["native", "rest"])
def test_keys__names_the_largest_in_json(lopsided: Upstash, alias: str) -> None:
    document = json.loads(health("keys", alias, "--json", "--largest", "2", "--sort", "bytes"))
    group, largest = document["groups"][0], document["largest"]
    assert (document["measured"], largest[0]["name"], len(largest)) == (1700, "example:1:177", 2)
    assert (group["prefix"], group["largest"], group["sized"]) == ("example:", largest[0], 200)
    assert 400_000 < group["bytes_at_least"] == group["bytes_at_most"] < 500_000


def test_keys__never_sends_keys(filled: Upstash, valkey: Server) -> None:
    with valkey.counting() as counted:
        health("keys", "native")
    assert set(counted.by_command) == {"dbsize", "scan", "type", "pttl", "memory|usage"}
    assert counted.by_command["scan"] <= 3


def test_keys__many_prefixes(two: Upstash, valkey: Server) -> None:
    for number in range(60):
        valkey.call("SET", f"{chr(97 + number % 26)}{number}:x", "x")
    assert "  … and 10 more prefixes" in health("keys", "native").splitlines()


def test_keys__of_a_server_that_is_away(two: Upstash, valkey: Server) -> None:
    with FaultProxy(valkey.port) as proxy:
        proxy.refuse()
        two["native"]["URL"] = proxy.url
        code, message, said = failing_health("keys", "native", "--json")
    assert (code, json.loads(said)["status"]) == (1, "fail")
    assert message.startswith(f"native: Nothing listens at 127.0.0.1:{proxy.port}. Start")


def test_key__shows_one_key(two: Upstash, valkey: Server) -> None:
    valkey.call("HSET", "user:1", "name", "Ann", "password", "hunter2")
    valkey.call("EXPIRE", "user:1", "100000")
    lines = health("key", "user:1", "native").splitlines()
    assert lines[0] == "user:1"
    assert lines[1].split() == ["type", "hash"]
    assert lines[2].split() == ["TTL", "1", "d", "3", "h"]
    assert lines[5].split() == ["length", "2", "elements"]
    assert lines[6:8] == ["    name: Ann", "    password: •••• (masked), 7 B"]
    assert lines[8] == "  (2 requests, 6 commands)"


def test_key__hides_the_secrets_of_the_settings(two: Upstash, valkey: Server) -> None:
    valkey.call("SET", "note", f"the word is {two['rest']['TOKEN']}")
    for arguments in (["key", "note", "rest"], ["key", "note", "rest", "--json"]):
        assert two["rest"]["TOKEN"] not in health(*arguments)


def test_key__json(two: Upstash, valkey: Server) -> None:
    valkey.call("SET", "k", "v")
    document = json.loads(health("key", "k", "rest", "--json"))
    assert (document["type"], document["preview"], document["ttl_ms"], document["commands"]) == (
        "string",
        ["v"],
        None,
        6,
    )


def test_key__missing(two: Upstash) -> None:
    code, message, said = failing_health("key", "mis\x1bsing", "native")
    assert (code, said) == (1, "")
    assert message == "There is no key 'mis\\x1bsing' on native. `redis_health keys` shows what there is."


def test_key__whose_name_is_no_text(two: Upstash, valkey: Server) -> None:
    valkey.call(b"SET", b"\xff", b"v")
    assert health("key", os.fsdecode(b"\xff"), "native").startswith("\\xff\n")
    code, message, _ = failing_health("key", os.fsdecode(b"\xff"), "rest")
    assert code == 1
    assert "not UTF-8" in message


def test_connection_of_the_section__is_default_or_the_only_one(two: Upstash) -> None:
    two["default"] = two["rest"]
    assert json.loads(health("keys", "--json"))["alias"] == "default"
    del two["rest"], two["default"]
    assert json.loads(health("keys", "--json"))["alias"] == "native"
