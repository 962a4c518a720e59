"""What redis_health says of a database that evicts, and of what must not go from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from django_upstash.diagnostics import state
from tests.servers import Server

SECTIONS = ("sessions", "queues", "idempotency", "breakers", "limits", "tenants")
KEYS = {
    "queue:{mail}:ready": "queues",
    "lock:job": "locks",
    "breaker:stripe": "breakers",
    "idempotency:default:key": "idempotency keys",
    "ratelimit:default:x:y": "rate limits",
}


@pytest.fixture(params=["native", "rest"])
def alias(request: pytest.FixtureRequest, settings: Any, upstash: dict[str, dict[str, Any]]) -> str:
    settings.UPSTASH = {"default": upstash[request.param]}
    return "default"


@pytest.fixture(params=["allkeys-lru", "volatile-ttl", "noeviction"])
def policy(request: pytest.FixtureRequest, valkey: Server) -> Iterator[str]:
    valkey.call("CONFIG", "SET", "maxmemory-policy", request.param)
    yield str(request.param)
    valkey.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


def health(*arguments: str) -> str:
    out = StringIO()
    call_command("redis_health", *arguments, stdout=out)
    return out.getvalue()


def eviction_of(alias: str) -> dict[str, Any]:
    (report,) = json.loads(health(alias, "--json", "--timeout", "30"))["connections"]
    return next(check for check in report["checks"] if check["name"] == "eviction")


@pytest.mark.parametrize("key", KEYS)
def test_overview__warns_of_what_must_not_go_by_its_keys(alias: str, policy: str, valkey: Server, key: str) -> None:
    valkey.call("SET", "shop:1:cached", "x")
    assert eviction_of(alias)["status"] == "ok"
    valkey.call("SET", key, "x")
    told = eviction_of(alias)
    is_taken = bool(state.are_evicted([KEYS[key]], policy)) and policy != "noeviction"
    assert told["status"] == ("warn" if is_taken else "ok")
    assert (KEYS[key] in told["message"]) is is_taken
    assert ("two databases" in told["next_step"]) is is_taken


@pytest.mark.parametrize("policy", ["allkeys-lru"], indirect=True)
def test_overview__warns_of_what_must_not_go_by_the_settings(alias: str, policy: str, settings: Any) -> None:
    settings.UPSTASH_TENANTS = {}
    assert "tenants" in eviction_of(alias)["message"]


@pytest.mark.parametrize("section", SECTIONS)
def test_sections__warn_where_the_database_takes_their_keys(alias: str, policy: str, section: str) -> None:
    said = json.loads(health(section, "--json", "--timeout", "30"))
    is_taken = policy == "allkeys-lru" or (policy == "volatile-ttl" and section not in ("queues", "tenants"))
    assert (said["status"] == "warn") is is_taken
    assert any("evicts keys when it is full" in warning for warning in said.get("warnings", [])) is is_taken
    assert ("evicts keys when it is full" in health(section, "--timeout", "30")) is is_taken
