"""Environments of one project on one database, kept apart by ``UPSTASH_KEY_PREFIX``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import django
import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_upstash import pubsub
from django_upstash.breaker import State
from django_upstash.breaker.report import force_breaker, read_breakers
from django_upstash.cache import UpstashCache
from django_upstash.connections import connections
from django_upstash.diagnostics import selftest
from django_upstash.diagnostics.sections.keys import _families
from django_upstash.idempotency.keys import name_of
from django_upstash.locks import Lock
from django_upstash.operations.keys import root
from django_upstash.queues import Queue
from django_upstash.ratelimit import FixedWindow, RateLimiter
from django_upstash.sessions import SessionStore, count_sessions, log_out_everywhere, sessions_for
from django_upstash.settings.key_prefix import environment
from django_upstash.tasks.settings import TaskSettings
from django_upstash.tenants import Tenant, stored_tenants
from tests.management.calls import health
from tests.servers import Server

BACKEND = "django_upstash.cache.UpstashCache"
PREFIXES = ("", "preview-a", "preview-b")
FEATURES = ("cache:default", "cache:plain", "cache:own", "sessions", "limits", "idempotency", "breakers", "queues")
# Made before any environment is known, as modules do.
QUEUE = Queue("mail")
LIMITER = RateLimiter(FixedWindow("9/h", scope="login"))


def own_keys(key: str, prefix: str, version: Any) -> str:
    return f"{prefix}/{key}/{version}"


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(upstash: dict[str, dict[str, Any]], route: str, settings: Any) -> None:
    settings.UPSTASH = {"default": upstash[route]}
    settings.CACHES = {
        "default": {"BACKEND": BACKEND, "LOCATION": "default", "KEY_PREFIX": "shop", "OPTIONS": {"TAGS": True}},
        "plain": {"BACKEND": BACKEND, "LOCATION": "default", "OPTIONS": {"NEAR_CACHE": {"TTL": 60}}},
        "own": {
            "BACKEND": BACKEND,
            "LOCATION": "default",
            "KEY_PREFIX": "own",
            "KEY_FUNCTION": own_keys,
            "REVERSE_KEY_FUNCTION": lambda stored: stored.split("/")[1],
        },
    }
    settings.SESSION_ENGINE = "django_upstash.sessions"
    settings.UPSTASH_SESSIONS = {"INDEX": True}
    settings.UPSTASH_TENANTS = {"REFRESH": 0}
    settings.UPSTASH_IDEMPOTENCY = {}
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    settings.DEBUG = True


@contextmanager
def within(prefix: str) -> Iterator[None]:
    with override_settings(UPSTASH_KEY_PREFIX=prefix):
        yield


def fill(value: str) -> None:
    """Let every feature store something."""
    caches["default"].set("key", value, tags=["tag"])  # type: ignore[call-arg]
    caches["plain"].set("key", value)
    caches["own"].set("key", value)
    caches["default"].stats(all_processes=True)  # type: ignore[attr-defined]
    LIMITER.hit("user:1")
    LIMITER.block("user:7", timedelta(hours=1).total_seconds())
    LIMITER.write_statistics()
    QUEUE.enqueue({"to": value})
    force_breaker(connections["default"], "stripe", State.FORCED_OPEN)
    assert Lock("report", lease=600, fencing=True).acquire()
    connections["default"].redis.set(name_of("shop", "order-1"), value)
    session = SessionStore()
    session.update({"_auth_user_id": "1", "value": value})
    session.save()
    tenant = Tenant("acme")
    tenant.configure(name=value)
    tenant.cache.set("key", value)
    tenant.limiter(FixedWindow("9/h", scope="login")).hit("user:1")


def stored(valkey: Server) -> dict[str, bytes]:
    return {key.decode(): valkey.call("DUMP", key) for key in valkey.call("KEYS", "*")}


def of(prefix: str, found: dict[str, bytes]) -> dict[str, bytes]:
    """Return what belongs to an environment; each key begins with the one prefix or with none."""
    others = tuple(f"{one}:" for one in PREFIXES if one and one != prefix)
    own = f"{prefix}:" if prefix else ""
    return {key: value for key, value in found.items() if key.startswith(own) and not key.startswith(others)}


def shapes(found: dict[str, bytes], prefix: str) -> list[str]:
    """Return the keys without prefix, and without what is random in them."""
    own = f"{prefix}:" if prefix else ""
    return sorted(re.sub(r"[0-9a-f]{64}|stats:.*:\d+$", "#", key.removeprefix(own)) for key in found)


@pytest.fixture
def filled(site: None, valkey: Server) -> None:
    for prefix in PREFIXES:
        with within(prefix):
            fill(prefix)


@pytest.mark.usefixtures("filled")
def test_keys__are_those_without_prefix_after_it(valkey: Server) -> None:
    found = stored(valkey)
    parts = {prefix: of(prefix, found) for prefix in PREFIXES}
    assert sum(map(len, parts.values())) == len(found)
    plain = shapes(parts[""], "")
    assert len(plain) >= 20
    assert not any(key.startswith("preview") for key in plain)
    for prefix in PREFIXES[1:]:
        assert shapes(parts[prefix], prefix) == plain


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_readers__see_their_own_environment(prefix: str) -> None:
    with within(prefix):
        assert [caches[alias].get("key") for alias in ("default", "plain", "own")] == [prefix] * 3
        assert [caches[alias].keys("*") for alias in ("default", "plain", "own")] == [["key"]] * 3  # type: ignore[attr-defined]
        assert LIMITER.peek("user:1").remaining == 8
        assert [job.payload for job in QUEUE.reserve(5)] == [{"to": prefix}]
        assert [found.name for found in read_breakers(connections["default"])] == ["stripe"]
        assert (len(sessions_for(1)), count_sessions()) == (1, 1)
        assert stored_tenants() == ["acme"]
        assert Tenant("acme").config["name"] == prefix
        assert Tenant("acme").cache.get("key") == prefix
        assert caches["default"].stats(all_processes=True).processes == 1  # type: ignore[attr-defined]
        assert re.search(r"^1 session\b", health("sessions"))
        assert re.search(r"^1 queue\b", health("queues"))
        assert re.search(r"^1 idempotency key\b|^1 key\b", health("idempotency"))
        assert re.search(r"acme", health("tenants"))
        assert len(re.findall(r"user:1\b", health("limits"))) <= 2
    with within("preview-c"):
        assert [caches[alias].get("key") for alias in ("default", "plain", "own")] == [None] * 3
        assert LIMITER.peek("user:1").remaining == 9
        assert LIMITER.hit("user:7").allowed
        assert QUEUE.reserve(5) == []
        assert read_breakers(connections["default"]) == []
        assert (sessions_for(1), count_sessions(), stored_tenants()) == ([], 0, [])
        assert Lock("report").acquire()
        assert re.search(r"^0 sessions\b", health("sessions"))
        assert re.search(r"^0 queues\b", health("queues"))


def changes(what: str) -> None:
    if what == "clear":
        for cache in caches.all(initialized_only=False):
            cache.clear()
    elif what == "patterns":
        for cache in caches.all(initialized_only=False):
            cache.delete_pattern("*")  # type: ignore[attr-defined]
    elif what == "sessions":
        assert log_out_everywhere(1) == 1
    elif what == "tags":
        caches["default"].invalidate_tags("tag")  # type: ignore[attr-defined]
    elif what == "tenant":
        Tenant("acme").erase()
    else:
        health("flush", what, "--yes")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("what", ["clear", "patterns", "tags", "sessions", "tenant", *FEATURES, "tenants", "health"])
@pytest.mark.parametrize("prefix", [pytest.param("", marks=pytest.mark.slow), "preview-a"])
def test_removal__leaves_other_environments_alone(valkey: Server, prefix: str, what: str) -> None:
    before = stored(valkey)
    with within(prefix):
        changes(what)
    after = stored(valkey)
    for other in PREFIXES:
        if other != prefix:
            assert of(other, after) == of(other, before)
    assert (of(prefix, after) != of(prefix, before)) is (what != "health")


@pytest.mark.usefixtures("site")
def test_equal_prefixes__share() -> None:
    with within("preview-a"):
        fill("first")
    with within("preview-a"):
        assert UpstashCache("default", {"KEY_PREFIX": "shop", "OPTIONS": {"TAGS": True}}).get("key") == "first"
        assert caches["default"].get("key") == "first"
        assert LIMITER.hit("user:1").remaining == 7
        assert Lock("report").locked()


@pytest.mark.usefixtures("site")
def test_cache_object__follows_the_setting() -> None:
    cache = caches["plain"]
    cache.set("key", 1)
    with within("preview-a"):
        assert cache.get("key") is None
        assert cache.make_key("key") == "preview-a::1:key"
        cache.set("key", 2, version=3)
        assert cache.get("key", version=3) == 2
    assert (cache.get("key"), cache.make_key("key")) == (1, ":1:key")


@pytest.mark.usefixtures("site")
def test_clear__refuses_keys_that_have_the_prefix_of_the_environment_alone(settings: Any) -> None:
    settings.CACHES = {
        "default": {"BACKEND": BACKEND, "LOCATION": "default", "KEY_FUNCTION": lambda k, p, v: str(hash(k))}
    }
    with within("preview-a"), pytest.raises(ImproperlyConfigured, match="clear"):
        caches["default"].clear()


@pytest.mark.usefixtures("site")
def test_channels__are_of_their_environment() -> None:
    with within("preview-a"), pubsub.subscribe("news", patterns=["ne*"]) as subscriber:
        with within("preview-b"):
            assert pubsub.publish("news", "of b") == 0
        with within("preview-a"):
            assert pubsub.publish("news", "of a") == 2
        found = [subscriber.get(timeout=30) for _ in range(2)]
    seen = {(message.channel, message.text, message.pattern) for message in found if message}
    assert seen == {("news", "of a", None), ("news", "of a", "ne*")}


@pytest.mark.usefixtures("site")
def test_channels__awaited() -> None:
    async def talk() -> None:
        async with pubsub.subscribe("news") as subscriber:
            assert await pubsub.apublish("news", "of a") == 1
            message = await subscriber.aget(timeout=30)
            assert message is not None
            assert message.channel == "news"

    with within("preview-a"):
        asyncio.run(talk())


def test_names__that_no_server_is_asked_for() -> None:
    with within("preview-a"):
        assert selftest.new_name().startswith("preview-a:django_upstash:health:{")
        families = _families()
        assert families(b"preview-a:ratelimit:shop:login:1") == "preview-a:ratelimit:"
        assert families(b"preview-a:shop:1:key") == "preview-a:shop:"
        assert families(b"preview-b:ratelimit:shop") == "preview-b:"
        assert root("lock:") == "preview-a:lock:"
    assert environment() == ""


@pytest.mark.skipif(django.VERSION < (6, 0), reason="django.tasks is of Django 6.0")
def test_results_of_tasks__are_of_their_environment() -> None:
    from django_upstash.tasks.queues import result_key

    with within("preview-a"):
        assert result_key(TaskSettings(), "1") == "preview-a:task-result:tasks:1"


@pytest.mark.parametrize("prefix", ["a:b", "a b", "é", "*", "{a}", "x" * 65, 7, None, "ratelimit", "lock", "a\n"])
def test_environment__refuses(prefix: Any) -> None:
    with within(prefix), pytest.raises(ImproperlyConfigured, match="UPSTASH_KEY_PREFIX"):
        environment()
