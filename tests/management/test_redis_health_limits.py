"""``redis_health limits``."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

import pytest

from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.policy_registry import catalogue
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
def test_limits__resets_after_a_preview(alias: str, valkey: Server, settings: Any) -> None:
    settings.DEBUG = True
    keys = set(valkey.call("KEYS", "*"))
    said = health("limits", alias, "--reset", identity="user:1", scope="login")
    assert "Nothing was removed: add --yes" in said
    assert set(valkey.call("KEYS", "*")) == keys

    assert health("limits", alias, "--reset", "--yes", identity="user:1", scope="login").startswith(
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
        (["--yes", "--scope", "login"], "--yes goes with --reset"),
        (["--reset", "--force", "--scope", "login"], "--force goes with --yes"),
        (["--reset", "--confirm", "--scope", "login"], "--confirm is called --yes"),
        (["--limit", "0"], "--limit must be from 1"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_limits__says_what_makes_no_sense(arguments: list[str], sentence: str) -> None:
    _, message, _ = failing_health("limits", "native", *arguments)
    assert sentence in message


@aliases
@pytest.mark.usefixtures("filled")
def test_limits__are_reset_by_force_where_debug_is_off(alias: str, valkey: Server) -> None:
    keys = valkey.call("DBSIZE")
    code, message, _ = failing_health("limits", alias, "--reset", "--yes", identity="user:1")
    assert (code, "add --force" in message, valkey.call("DBSIZE")) == (2, True, keys)
    assert health("limits", alias, "--reset", "--yes", "--force", identity="user:1").startswith("Removed 5 counters")


@aliases
def test_limits__say_what_is_left_by_policy(alias: str, upstash: Upstash, settings: Any, valkey: Server) -> None:
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    limiter = RateLimiter(
        [
            SlidingWindow("60/h", scope="hour"),
            FixedWindow("2/min", scope="minute"),
            TokenBucket("9/h", scope="burst"),
            Concurrency(2, scope="at once"),
        ],
        alias="native",
    )
    limiter.hit("user:7")
    limiter.set_limit("burst", 5)
    valkey.call("COPY", "ratelimit:default:hour:user:7", "ratelimit:default:elsewhere:user:7")
    said = health("limits", alias, identity="user:7")
    rows = {row[1]: row[3:7] for line in said.splitlines()[2:] if len(row := re.split(r"  +", line.strip())) > 5}
    assert rows == {
        "hour": ["1 used, sliding", "60 in 1 h", "59", "below"],
        "minute": ["1 used in the window", "2 in 1 min", "1", "below"],
        "burst": ["1 token used", "5 in 1 h", "4", "below"],
        "at once": ["1 place held", "2 at once", "1", "below"],
        "elsewhere": ["1 used, sliding", "unknown", "-", "limit unknown"],
    }
    assert 'UPSTASH_ADMIN["LIMITERS"]' in said
    limiter.hit("user:7")
    (state,) = json.loads(health("limits", alias, "--json", identity="user:7", scope="minute"))["states"]
    assert (state["limit"], state["used"], state["remaining"], state["at_limit"]) == (2, 2, 0, True)
    assert (state["standing"], 0 < state["reset_after"] <= 60) == ("at limit", True)


@aliases
def test_limits__of_rates_and_named_limiters_are_known(
    alias: str, upstash: Upstash, settings: Any, valkey: Server
) -> None:
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"uploads": "7/day"}}
    RateLimiter(SlidingWindow("7/day", scope="uploads"), alias="native").hit("user:1")
    catalogue.clear()
    (state,) = json.loads(health("limits", alias, "--json", identity="user:1"))["states"]
    assert (state["limit"], state["used"], state["remaining"], state["window"]) == (7, 1, 6, 86400)
