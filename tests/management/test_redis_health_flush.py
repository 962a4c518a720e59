"""``redis_health flush``."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

import pytest
from django.core.cache import caches

from django_upstash.dev_server import LocalServer
from django_upstash.ratelimit import FixedWindow, RateLimiter
from tests.management.calls import failing_health, health
from tests.servers import Server

Upstash: TypeAlias = dict[str, dict[str, Any]]
BACKEND = "django_upstash.cache.UpstashCache"
OTHERS = (
    *("session:abc", "session-of:1", "ratelimit-rules:shop", "ratelimit-stats:shop:1", "idempotency:a:b"),
    *("breaker:stripe", "breakers", "breaker-forced", "queue:{mail}:ready", "queue:{mail}:dead"),
    *("tenant:{acme}", "usage:{acme}:202611", "usage:{acme}:202611:ids"),
)
FOREIGN = (
    *("shop2:1:a", "shop:{acme}:1:key", "shopping", "session", "xsession:1", "ratelimits:a", "other"),
    *("tenant:a", "queues", "breakers2"),
)


@pytest.fixture(params=["native", "rest"])
def alias(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def filled(upstash: Upstash, settings: Any, valkey: Server, alias: str) -> None:
    settings.UPSTASH = {"default": upstash[alias], "other": upstash["native"]}
    settings.CACHES = {
        "default": {"BACKEND": BACKEND, "LOCATION": "default", "KEY_PREFIX": "shop"},
        "pages": {"BACKEND": BACKEND, "LOCATION": upstash["native"]["URL"], "KEY_PREFIX": "pages"},
    }
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    settings.UPSTASH_IDEMPOTENCY = {"ALIAS": "other"}
    settings.DEBUG = True
    caches["default"].set_many({f"key{number}": number for number in range(30)})
    caches["default"].set("old", 1, version=7)
    caches["pages"].set("home", 1)
    RateLimiter(FixedWindow("9/h", scope="login"), alias="other", tenant="shop").hit("user:1")
    for name in (*OTHERS, *FOREIGN):
        valkey.call("SET", name, "x")


def keys(valkey: Server) -> set[str]:
    return {key.decode() for key in valkey.call("KEYS", "*")}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("feature", "count", "pattern"),
    [
        ("cache", 31, r"shop:"),
        ("cache:default", 31, r"shop:"),
        ("cache:pages", 1, r"pages:"),
        ("sessions", 2, r"session:|session-of:"),
        ("limits", 3, r"ratelimit(-rules|-stats)?:"),
        ("idempotency", 1, r"idempotency:"),
        ("breakers", 3, r"breaker:|breakers$|breaker-forced$"),
        ("queues", 2, r"queue:\{"),
        ("tenants", 3, r"(tenant|usage):\{"),
        ("health", 0, r"django_upstash:health:"),
    ],
)
def test_flush__shows_and_then_removes_its_own_keys_alone(
    valkey: Server, feature: str, count: int, pattern: str
) -> None:
    before = keys(valkey)
    said = health("flush", feature)
    assert re.match(rf"{count} keys? of {feature}", said)
    assert keys(valkey) == before
    assert ("Nothing was removed: add --yes" in said) is (count > 0)

    said = health("flush", feature, "--yes")
    assert said.startswith(f"Removed {count} key")
    removed = before - keys(valkey)
    assert len(removed) == count
    assert all(re.match(pattern, key) for key in removed)
    assert keys(valkey) >= set(FOREIGN)


@pytest.mark.usefixtures("filled")
def test_flush__sends_no_flushdb_and_no_keys(valkey: Server) -> None:
    with valkey.counting() as counted:
        health("flush", "cache", "--yes")
    assert not {"flushdb", "flushall", "keys"} & set(counted.by_command)


@pytest.mark.usefixtures("filled")
def test_flush__refuses_where_debug_is_off(settings: Any, valkey: Server) -> None:
    settings.DEBUG = False
    before = keys(valkey)
    code, message, _ = failing_health("flush", "cache", "--yes")
    assert (code, keys(valkey)) == (2, before)
    assert "add --force" in message
    assert health("flush", "cache").startswith("31 keys")  # looking does no harm

    assert health("flush", "cache", "--yes", "--force").startswith("Removed 31 keys")


@pytest.mark.usefixtures("filled")
def test_flush__stops_counting_at_the_limit(valkey: Server) -> None:
    for number in range(3000):
        valkey.call("SET", f"session:{number}", "x")
    said = health("flush", "sessions", limit=500)
    assert re.match(r"[\d,]+ keys or more of sessions", said)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("alias", ["rest"], indirect=True)
def test_flush__says_how_to_go_on_where_it_was_interrupted(valkey: Server, local_server: LocalServer) -> None:
    valkey.call("MSET", *(part for number in range(4000) for part in (f"shop:1:many{number}", "x")))
    local_server.inject("reset", path="/pipeline")  # of the first request that removes
    code, message, said = failing_health("flush", "cache", "--yes")
    assert (code, message[:9]) == (1, "default: ")
    found = re.search(r" so far\. Continue with: python manage\.py redis_health (.+ --cursor \S+)\n", said)
    assert found is not None
    assert found[1].startswith("flush cache --yes")
    assert health(*found[1].split()).startswith("Removed 4,031 keys of cache:default on default (")


@pytest.mark.usefixtures("filled")
def test_flush__speaks_json() -> None:
    said = json.loads(health("flush", "cache", "--json"))
    assert (said["keys"], said["is_complete"], said["removed"], said["patterns"]) == (31, True, None, ["shop:*"])
    said = json.loads(health("flush", "cache", "--json", "--yes"))
    assert (said["status"], said["feature"], said["removed"], said["keys"]) == ("ok", "cache:default", 31, None)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["everything"], "'everything' is nothing that can be flushed; there is cache:default, cache:pages, sessions"),
        (["cache:missing"], "'cache:missing' is nothing that can be flushed"),
        (["cache", "--force"], "--force and --cursor go with --yes"),
        (["cache", "--cursor", "5"], "--force and --cursor go with --yes"),
        (["cache", "--yes", "--cursor", "x"], "--cursor must be what an earlier run has printed"),
        (["cache", "--limit", "0"], "--limit must be from 1"),
        (["limits", "--alias", "missing"], "UPSTASH has no connection 'missing'"),
    ],
)
def test_flush__says_what_makes_no_sense(arguments: list[str], sentence: str) -> None:
    code, message, _ = failing_health("flush", *arguments)
    assert (code, sentence in message) == (2, True), message


def test_flush__an_away_server_is_unhealthy(settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "redis://127.0.0.1:1"}}
    settings.DEBUG = True
    code, message, _ = failing_health("flush", "limits", "--yes")
    assert (code, message.startswith("default: Nothing listens at 127.0.0.1:1.")) == (1, True)
