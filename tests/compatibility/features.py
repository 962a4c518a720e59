"""
What each feature stores, written and read by its public interface alone, so that every version of the package can.

Run as a program it uses the ``django_upstash`` that it finds: ``python -P -m tests.compatibility.features write URL``
fills a server, and ``read URL`` prints as JSON what is read there. Names and SECRET_KEY are fixed.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

SECRET_KEY = "the secret of the compatibility fixtures"
ENCRYPTION_KEY = "00112233445566778899aabbccddeeff" * 2
CENTURY = 100 * 365 * 86_400
DECADE = 10 * 365 * 86_400
YEAR = 366 * 86_400
WHO = "user:7"
SESSION = "0123456789abcdefghijklmnopqrstuv"
INDEXED = {"INDEX": True, "PREFIX": "session"}
ENCRYPTED = {"INDEX": True, "PREFIX": "hidden", "ENCRYPTION_KEYS": [ENCRYPTION_KEY]}

VALUES: dict[str, Any] = {
    "text": "caf\u00e9 \U0001f600",
    "number": 42,
    "fraction": 1.5,
    "nothing": None,
    "truth": True,
    "structure": {"list": [1, "two", None], "nested": {"key": "value"}},
    "large": "x" * 3000,
}
CODECS: dict[str, dict[str, Any]] = {
    "pickle": {},
    "plain": {"SIGN": False},
    "json": {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"},
    "msgpack": {"SERIALIZER": "django_redis.serializers.msgpack.MSGPackSerializer"},
    "zlib": {"COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor", "COMPRESS_FROM": 1024},
    "tags": {"TAGS": True},
    "short": {"MAX_KEY_LENGTH": 64},
}


def settings_for(upstash: dict[str, Any]) -> dict[str, Any]:
    """Return the settings under which everything is written and read, with this connection as the only one."""
    return {
        "SECRET_KEY": SECRET_KEY,
        "UPSTASH": {"default": upstash},
        "UPSTASH_SESSIONS": INDEXED,
        "UPSTASH_TENANTS": {"KEEP_USAGE": None},
        "CACHES": {name: _cache(name, options) for name, options in CODECS.items()} | {"default": _cache("tenant", {})},
    }


def _cache(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "BACKEND": "django_upstash.cache.UpstashCache",
        "LOCATION": "default",
        "KEY_PREFIX": f"cache-{name}",
        "TIMEOUT": None,
        "OPTIONS": options,
    }


def write_cache() -> None:
    from django.core.cache import caches

    for name in CODECS:
        cache = caches[name]
        for key, value in VALUES.items():
            cache.set(key, value)
        cache.set_many({"one": 1, "many": [1, 2]}, timeout=CENTURY)
        cache.set("versioned", "second", version=2)
        cache.incr("number")
        cache.get_or_set("computed", lambda: {"answer": 42}, timeout=CENTURY)
    caches["short"].set("a-long-key-" * 20, "long")


def read_cache() -> dict[str, Any]:
    from django.core.cache import caches

    keys = [*VALUES, "one", "many", "computed"]
    found = {name: {key: caches[name].get(key, "a miss") for key in keys} for name in CODECS}
    found["versions"] = {name: caches[name].get("versioned", version=2) for name in CODECS}
    for values in (found[name] for name in CODECS):
        values["large"] = values["large"] == VALUES["large"]
    found["short"]["long"] = caches["short"].get("a-long-key-" * 20)
    return found


def write_structures() -> None:
    from django.core.cache import caches

    cache: Any = caches["pickle"]
    cache.sadd("set", "a", 1, None)
    cache.hset("hash", "field", {"a": 1})
    cache.zadd("sorted", {"low": 1, "high": 2.5})


def read_structures() -> dict[str, Any]:
    from django.core.cache import caches

    cache: Any = caches["pickle"]
    return {
        "set": sorted(map(str, cache.smembers("set"))),
        "hash": cache.hget("hash", "field"),
        "sorted": [list(pair) for pair in cache.zrange("sorted", 0, -1, withscores=True)],
    }


def write_protected() -> None:
    from django.core.cache import caches

    caches["tags"].set("tagged", "value", tags=["one", "two"])  # type: ignore[call-arg]
    caches["tags"].set("invalid", "value", tags=["gone"])  # type: ignore[call-arg]
    caches["tags"].invalidate_tags("gone")  # type: ignore[attr-defined]
    caches["tags"].get_or_set("both", lambda: "value", CENTURY, tags=["one"], early=1)  # type: ignore[call-arg]
    protection: Any = {"early": 0.5, "grace": 3600.0, "cross_process": True}
    caches["pickle"].get_or_set("protected", lambda: {"answer": 42}, CENTURY, **protection)


def read_protected() -> dict[str, Any]:
    from django.core.cache import caches

    found = {key: caches["tags"].get(key, "a miss") for key in ("tagged", "invalid", "both")}
    found["protected"] = caches["pickle"].get("protected")
    found["again"] = caches["pickle"].get_or_set("protected", lambda: "computed again", CENTURY)
    return found


def write_sessions() -> None:
    _with_session_settings(ENCRYPTED, _write_session)
    _with_session_settings(INDEXED, _write_session)


def _write_session() -> None:
    from django_upstash.sessions import SessionStore

    session = SessionStore()
    session._get_new_session_key = lambda: SESSION  # type: ignore[method-assign]
    session.update({"_auth_user_id": "7", "basket": ["apple", 3]})
    session.set_expiry(CENTURY)
    session.save(must_create=True)


def read_sessions() -> dict[str, Any]:
    return {
        "encrypted": _with_session_settings(ENCRYPTED, _read_session),
        "signed": _with_session_settings(INDEXED, _read_session),
    }


def _read_session() -> dict[str, Any]:
    from django_upstash.sessions import SessionStore, count_sessions, sessions_for

    session = SessionStore(SESSION)
    found = {"data": dict(session.items()), "count": count_sessions("7")}
    found["is_session"] = [device.is_session(SESSION) for device in sessions_for("7")]
    return found


def _with_session_settings(given: dict[str, Any], function: Callable[[], Any]) -> Any:
    from django.test import override_settings

    with override_settings(UPSTASH_SESSIONS=given):
        return function()


def write_limits() -> None:
    limiters = _limiters()
    for name in ("window", "sliding", "bucket", "together"):
        for _ in range(3):
            limiters[name].hit(WHO)
    limiters["places"].hit(WHO)
    limiters["window"].block("203.0.113.0/24")
    limiters["window"].block("user:8")
    limiters["window"].allow("user:9")
    limiters["window"].set_limit("window", 50, identity="user:10")
    limiters["counted"].hit(WHO)
    limiters["counted"].write_statistics()


def read_limits() -> dict[str, Any]:
    limiters = _limiters()
    found: dict[str, Any] = {name: limiter.peek(WHO).remaining for name, limiter in limiters.items()}
    window = limiters["window"]
    found["rules"] = [window.hit(who).allowed for who in ("203.0.113.9", "user:8", "user:9")]
    found["ruled"] = window.peek("user:10").remaining
    found["statistics"] = [part.allowed for part in limiters["counted"].statistics()]
    return found


def _limiters() -> dict[str, Any]:
    from django_upstash.ratelimit import Concurrency, FixedWindow, RateLimiter, SlidingWindow, TokenBucket

    window = FixedWindow("10/366d", scope="window")
    sliding = SlidingWindow("10/366d", scope="sliding")
    return {
        "window": RateLimiter(window, rules=True),
        "sliding": RateLimiter(sliding),
        "bucket": RateLimiter(TokenBucket("10/366d", scope="bucket")),
        "places": RateLimiter(Concurrency(2, lease=YEAR, scope="places")),
        "together": RateLimiter([FixedWindow("10/366d", scope="both 1"), SlidingWindow("20/366d", scope="both 2")]),
        "counted": RateLimiter(FixedWindow("10/366d", scope="counted"), statistics=True),
    }


def write_breakers() -> None:
    from django_upstash.breaker import CircuitOpen

    for name, breaker in _breakers().items():
        for _ in range(2):
            with contextlib.suppress(TimeoutError, CircuitOpen):
                breaker.call(_fail)
        if name == "forced":
            breaker.force_open()


def _fail() -> None:
    raise TimeoutError


def read_breakers() -> dict[str, Any]:
    return {name: breaker.read().state.value for name, breaker in _breakers().items()}


def _breakers() -> dict[str, Any]:
    from django_upstash.breaker import CircuitBreaker

    options = {"redis_timeout": 5.0}  # the server answers late where a machine is busy
    return {
        "counting": CircuitBreaker("counting", failure_threshold=5, **options),  # type: ignore[arg-type]
        "opened": CircuitBreaker("opened", failure_threshold=1, timeout=YEAR, **options),  # type: ignore[arg-type]
        "forced": CircuitBreaker("forced", failure_threshold=5, **options),  # type: ignore[arg-type]
    }


def write_idempotency() -> None:
    store = _idempotency()
    store.complete(store.begin("done", {"amount": 1}), {"charged": True})
    store.begin("in progress", {"amount": 1})


def read_idempotency() -> dict[str, Any]:
    store = _idempotency()
    asked = {"done": ("done", 1), "in progress": ("in progress", 1), "other payload": ("done", 2)}
    results = {name: store.begin(key, {"amount": amount}) for name, (key, amount) in asked.items()}
    return {name: [result.state.value, result.value] for name, result in results.items()}


def _idempotency() -> Any:
    from django_upstash.idempotency import IdempotencyStore

    return IdempotencyStore(tenant="shop", ttl=CENTURY, in_progress_ttl=CENTURY)


def write_locks() -> None:
    from django_upstash.locks import Lock

    Lock("held", lease=CENTURY).acquire()
    with Lock("fenced", fencing=True):
        pass
    Lock("held and fenced", lease=CENTURY, fencing=True).acquire()


def read_locks() -> dict[str, Any]:
    from django_upstash.locks import Lock

    found = {name: Lock(name, wait=0).acquire() for name in ("held", "held and fenced")}
    with Lock("fenced", fencing=True, wait=0) as lock:
        return found | {"number": lock.fencing_number}


def write_queues() -> None:
    from django_upstash.queues import Message, Queue

    for queue in _queues():
        queue.enqueue_many([Message({"to": "ann"}), Message("urgent", priority=100)])
        queue.enqueue("once", id="order-17")
        queue.enqueue("later", delay=DECADE)
        queue.reserve()
    deadly = Queue("deadly", max_attempts=1)
    deadly.enqueue("poison")
    deadly.retry(deadly.reserve()[0], reason="no such address")


def read_queues() -> dict[str, Any]:
    from django_upstash.queues import Queue

    found: dict[str, Any] = {}
    for queue in _queues():
        reserved = queue.reserve(n=10)
        found[queue.name] = [[job.payload, job.priority, job.attempts] for job in reserved]
        found[f"{queue.name} again"] = queue.enqueue("once", id="order-17")[1]
        found[f"{queue.name} delayed"] = queue.stats().delayed
    found["dead"] = [[letter.payload, letter.reason] for letter in Queue("deadly").dead_letters()]
    return found


def _queues() -> list[Any]:
    from django_upstash.queues import Queue, SignedJSONCodec

    options = {"visibility": 0.001, "remember": DECADE}
    return [Queue("plain jobs", **options), Queue("signed jobs", codec=SignedJSONCodec(), **options)]  # type: ignore[arg-type]


def write_tenants() -> None:
    from django_upstash.tenants import Tenant

    tenant = Tenant("acme")
    tenant.configure(plan="pro", seats=5, options={"beta": True})
    tenant.flags.set("new-editor", percent=25, staff=True)
    tenant.flags.set("off", everyone=False)
    tenant.flags.set_switch("dark-mode", True)
    tenant.flags.set_sample("trace", 100)
    tenant.usage.add("tokens", 12, id="request 8c1f", at=_moment())
    tenant.usage.add("tokens", 3, at=_moment())
    tenant.usage.flush()
    tenant.cache.set("greeting", "hello")


def read_tenants() -> dict[str, Any]:
    from django_upstash.tenants import Tenant, stored_tenants

    tenant = Tenant("acme")
    tenant.usage.add("tokens", 12, id="request 8c1f", at=_moment())
    tenant.usage.flush()
    return {
        "config": dict(tenant.config),
        "flags": {name: str(flag) for name, flag in sorted(tenant.flags.all().items())},
        "off": tenant.flags.is_active("off"),
        "switch": tenant.flags.switch_is_active("dark-mode"),
        "sample": tenant.flags.sample_is_active("trace"),
        "usage": tenant.usage.read(_moment()),
        "cache": tenant.cache.get("greeting"),
        "stored": stored_tenants(),
    }


def _moment() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 11, 15, 12, tzinfo=UTC)


FEATURES: dict[str, tuple[Callable[[], None], Callable[[], dict[str, Any]]]] = {
    "cache": (write_cache, read_cache),
    "structures": (write_structures, read_structures),
    "protected": (write_protected, read_protected),
    "sessions": (write_sessions, read_sessions),
    "limits": (write_limits, read_limits),
    "breakers": (write_breakers, read_breakers),
    "idempotency": (write_idempotency, read_idempotency),
    "locks": (write_locks, read_locks),
    "queues": (write_queues, read_queues),
    "tenants": (write_tenants, read_tenants),
}


def write(features: list[str] | None = None) -> None:
    """Let features write what they store: all of them, or those named."""
    for name in features or FEATURES:
        FEATURES[name][0]()


def read(features: list[str] | None = None) -> dict[str, Any]:
    """Return what features read, as JSON carries it."""
    found: dict[str, Any] = json.loads(json.dumps({name: FEATURES[name][1]() for name in features or FEATURES}))
    return found


def main(verb: str, url: str, token: str = "") -> None:
    """Do what the command line says."""
    import django
    from django.conf import settings

    settings.configure(
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_upstash"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        **settings_for({"URL": url, "TOKEN": token} if token else {"URL": url}),
    )
    django.setup()
    if verb == "write":
        write()
    else:
        print(json.dumps(read()))


if __name__ == "__main__":
    main(*sys.argv[1:])
