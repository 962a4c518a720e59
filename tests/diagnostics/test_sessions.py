"""``redis_health sessions``."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_upstash.sessions import SessionStore
from tests.servers import Server

Health = Callable[..., str]


@pytest.fixture
def health(settings: Any, route: str, upstash: dict[str, dict[str, Any]]) -> Health:
    """Return ``health(…)``, which runs the command and returns what it prints."""
    settings.UPSTASH_SESSIONS = {"ALIAS": route}

    def health(*arguments: str) -> str:
        out = StringIO()
        call_command("redis_health", "sessions", *arguments, stdout=out)
        return out.getvalue()

    return health


def store(count: int, lifetime: int = 1000) -> None:
    for _ in range(count):
        session = SessionStore()
        session["_auth_user_id"] = "secret"
        session.set_expiry(lifetime)
        session.save()


def test_sessions__tells_count_lifetimes_and_sizes(health: Health) -> None:
    store(3)
    store(2, 5000)
    found = json.loads(health("--json"))
    assert (found["status"], found["sessions"], found["measured"], found["is_complete"]) == ("ok", 5, 5, True)
    assert 990 < found["ttl_seconds"]["min"] <= found["ttl_seconds"]["median"] <= 1000
    assert 4990 < found["ttl_seconds"]["max"] <= 5000
    assert 0 < found["bytes"]["min"] <= found["bytes"]["max"] < 300
    assert (found["without_ttl"], found["eviction"], found["warnings"]) == (0, "noeviction", [])

    text = health()
    assert text.startswith("5 sessions session:* on ")
    assert "secret" not in text


def test_sessions__of_none(health: Health) -> None:
    found = json.loads(health("--json"))
    assert (found["sessions"], found["ttl_seconds"], found["bytes"]) == (0, None, None)
    assert health().startswith("0 sessions ")


@pytest.mark.parametrize("route", ["native", "rest"])
def test_sessions__warns_where_the_database_evicts(health: Health, valkey: Server) -> None:
    valkey.call("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    try:
        found = json.loads(health("--json"))
        assert found["status"] == "warn"
        assert "evicts keys when it is full (volatile-lru)" in found["warnings"][0]
        assert "evicts keys" in health()
    finally:
        valkey.call("CONFIG", "SET", "maxmemory-policy", "noeviction")


@pytest.mark.parametrize("route", ["native"])
def test_sessions__warns_of_those_that_stay(health: Health, valkey: Server) -> None:
    store(2)
    valkey.call("SET", "session:forever", "x")
    found = json.loads(health("--json"))
    assert (found["status"], found["without_ttl"], found["sessions"]) == ("warn", 1, 3)
    assert "1 session of 3 measured" in found["warnings"][0]


@pytest.mark.parametrize("route", ["native"])
def test_sessions__counts_no_index_and_no_other_prefix(health: Health, settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"ALIAS": "native", "INDEX": True}
    store(1)
    settings.UPSTASH_SESSIONS = {"ALIAS": "native", "PREFIX": "shop-session"}
    store(2)
    assert json.loads(health("--json"))["sessions"] == 2
    assert json.loads(health("--json", "--prefix", "session"))["sessions"] == 1


@pytest.mark.parametrize("route", ["native"])
def test_sessions__is_bounded(health: Health) -> None:
    store(1)
    assert json.loads(health("--json", "--sample", "0"))["measured"] == 0
    for wrong in (("--limit", "0"), ("--sample", "-1")):
        with pytest.raises(CommandError, match="--limit must be from 1"):
            health(*wrong)


@pytest.mark.parametrize("route", ["native"])
def test_sessions__with_settings_that_are_wrong(health: Health, settings: Any) -> None:
    settings.UPSTASH_SESSIONS = {"TTL": 5}
    with pytest.raises(CommandError, match="unknown key 'TTL'") as refused:
        health()
    assert refused.value.returncode == 2
