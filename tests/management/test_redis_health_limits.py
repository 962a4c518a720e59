"""``redis_health limits``."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

import pytest

from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from tests.management.calls import failing_health, health
from tests.servers import Server

Upstash: TypeAlias = dict[str, dict[str, Any]]

aliases = pytest.mark.parametrize("alias", ["native", "rest"])


@pytest.fixture
def filled(upstash: Upstash, settings: Any, valkey: Server) -> None:
    del upstash["embedded"]
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    policies = [
        FixedWindow("9/h", scope="login"),
        SlidingWindow("9/h", scope="api:v1"),
        TokenBucket("9/h", scope="burst"),
        Concurrency(9, scope="at once"),
    ]
    limiter = RateLimiter(policies, alias="native", tenant="shop")
    for identity in ("user:1", "user:1", "user:2", "ann@example.com"):
        limiter.hit(identity)
    RateLimiter(policies[0], alias="native").hit("user:1")
    valkey.call("SET", "ratelimit:strange", "x")
    valkey.call("SET", "other:1", "x")


@aliases
@pytest.mark.usefixtures("filled")
def test_limits__lists_scopes(alias: str) -> None:
    lines = health("limits", alias).splitlines()
    assert re.match(rf"13 counters on {alias} \(\d+ requests?, ", lines[0])
    rows = {tuple(re.split(r"  +", line.strip())) for line in lines[2:]}
    assert rows == {
        *(("shop", scope, "3") for scope in ("login", "api:v1", "burst", "at once")),
        ("default", "login", "1"),
    }


@aliases
@pytest.mark.usefixtures("filled")
def test_limits__shows_one_client(alias: str) -> None:
    said = health("limits", alias, identity="user:1", tenant="shop")
    rows = {row[1]: row[3] for line in said.splitlines()[2:] if (row := re.split(r"  +", line.strip()))}
    assert rows == {
        "login": "2 used in the window",
        "api:v1": "2 used, sliding",
        "burst": "2 tokens used",
        "at once": "2 places held",
    }


@aliases
@pytest.mark.usefixtures("filled")
def test_limits__finds_a_digest_by_exact_search_and_does_not_show_it_plain(alias: str) -> None:
    said = health("limits", alias, identity="ann@example.com")
    assert said.startswith("4 counters")
    assert "ann" not in said


@aliases
@pytest.mark.usefixtures("filled")
def test_limits__resets_after_a_preview(alias: str, valkey: Server) -> None:
    keys = set(valkey.call("KEYS", "*"))
    said = health("limits", alias, "--reset", identity="user:1", scope="login")
    assert "Nothing was removed: add --confirm" in said
    assert set(valkey.call("KEYS", "*")) == keys

    assert health("limits", alias, "--reset", "--confirm", identity="user:1", scope="login").startswith(
        "Removed 2 counters"
    )
    assert keys - set(valkey.call("KEYS", "*")) == {b"ratelimit:shop:login:user:1", b"ratelimit:default:login:user:1"}


@pytest.mark.usefixtures("filled")
def test_limits__speaks_json() -> None:
    said = json.loads(health("limits", "native", "--json", identity="user:1", scope="login", tenant="shop"))
    assert (said["counters"], said["removed"], said["states"][0]["state"]) == (1, None, "2 used in the window")
    assert 0 < said["states"][0]["ttl_ms"] <= 3_700_000


@pytest.mark.usefixtures("filled")
def test_limits__a_pattern_is_no_identity() -> None:
    assert health("limits", "native", scope="*").startswith("0 counters")
    assert health("limits", "native", identity="user:*").startswith("0 counters")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--reset"], "--reset needs --identity"),
        (["--confirm", "--scope", "login"], "--confirm goes with --reset"),
        (["--limit", "0"], "--limit must be from 1"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_limits__says_what_makes_no_sense(arguments: list[str], sentence: str) -> None:
    _, message, _ = failing_health("limits", "native", *arguments)
    assert sentence in message
