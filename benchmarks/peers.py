"""The contenders, with their default options, and their tasks: the same values, lifetimes and lengths of keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import django
import redis
from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from benchmarks.servers import RestAddress
from django_upstash.operations import Command

SIGNED, UNSIGNED = "signed", "unsigned"  # ours, as by default and with OPTIONS["SIGN"] = False
DJANGO_REDIS, DJANGO, REDIS_PY = "django-redis", "RedisCache", "redis-py"
BARE_SOCKET = "bare socket"  # bytes made beforehand, and a reply nobody reads: what no client can undercut
OURS_REST, SDK = "rest", "SDK"

CACHES_TO_COMPARE = (SIGNED, UNSIGNED, DJANGO_REDIS, DJANGO)
THREADS = 16
LIFETIME = 86_400  # seconds: nothing expires while it is read
VALUE = b"0123456789" * 10
TEXT = VALUE.decode()
KEY = "user:0123456789:profile"
COUNTER = "user:0123456789:counter"
ABSENT = "user:0123456789:missing"
MANY = {f"user:{number:010}:profile": VALUE for number in range(100)}


def configure(native_url: str, rest: RestAddress) -> None:
    """Set Django up with a cache for each contender. Their key prefixes differ, and are equally long."""
    ours = "django_upstash.cache.UpstashCache"
    backends: dict[str, dict[str, Any]] = {
        SIGNED: {"BACKEND": ours, "LOCATION": "native"},
        UNSIGNED: {"BACKEND": ours, "LOCATION": "native", "OPTIONS": {"SIGN": False}},
        DJANGO_REDIS: {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": native_url},
        DJANGO: {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": native_url},
        OURS_REST: {"BACKEND": ours, "LOCATION": "rest"},
    }
    settings.configure(
        SECRET_KEY="only for the benchmarks",
        INSTALLED_APPS=["django_upstash"],
        UPSTASH={
            "native": {"URL": native_url, "MAX_CONNECTIONS": THREADS},
            "rest": {"URL": rest.url, "TOKEN": rest.token},
        },
        CACHES={
            "default": backends[SIGNED],
            **{
                alias: {**backends[alias], "TIMEOUT": LIFETIME, "KEY_PREFIX": f"prefix{place}"}
                for place, alias in enumerate(backends)
            },
        },
    )
    django.setup()


def full_key(key: str) -> str:
    """Return the key as redis-py alone has to write it, as long as the caches make theirs."""
    return f"prefix9:1:{key}"


@dataclass(frozen=True)
class Task:
    """One thing to do: as a bare command, with a Django cache, with redis-py alone, and what must come of it."""

    name: str
    command: Command
    with_cache: Callable[[BaseCache], Callable[[], object]]
    with_redis: Callable[[redis.Redis], Callable[[], object]]
    is_right: Callable[[Any], bool]


def _redis_set_many(client: redis.Redis) -> object:
    pipeline = client.pipeline(transaction=False)
    for key, value in _FULL_MANY.items():
        pipeline.set(key, value, ex=LIFETIME)
    return pipeline.execute()


_FULL_MANY = {full_key(key): value for key, value in MANY.items()}
_FULL_KEY = full_key(KEY)

TASKS = (
    Task(
        "get 100 B",
        ("GET", _FULL_KEY),
        lambda cache: partial(cache.get, KEY),
        lambda client: partial(client.get, _FULL_KEY),
        lambda found: bool(found == VALUE),
    ),
    Task(
        "set 100 B",
        ("SET", _FULL_KEY, VALUE, "EX", LIFETIME),
        lambda cache: partial(cache.set, KEY, VALUE),
        lambda client: partial(client.set, _FULL_KEY, VALUE, ex=LIFETIME),
        lambda done: done in (True, None),
    ),
    Task(
        "add 100 B",  # to a key that is taken
        ("SET", _FULL_KEY, VALUE, "EX", LIFETIME, "NX"),
        lambda cache: partial(cache.add, KEY, VALUE),
        lambda client: partial(client.set, _FULL_KEY, VALUE, ex=LIFETIME, nx=True),
        lambda added: not added,
    ),
    Task(
        "touch",
        ("EXPIRE", _FULL_KEY, LIFETIME),
        lambda cache: partial(cache.touch, KEY, LIFETIME),
        lambda client: partial(client.expire, _FULL_KEY, LIFETIME),
        lambda touched: touched is True,
    ),
    Task(
        "delete",  # of a key that is missing
        ("DEL", full_key(ABSENT)),
        lambda cache: partial(cache.delete, ABSENT),
        lambda client: partial(client.delete, full_key(ABSENT)),
        lambda deleted: not deleted,
    ),
    Task(
        "incr",
        ("INCR", full_key(COUNTER)),
        lambda cache: partial(cache.incr, COUNTER),
        lambda client: partial(client.incr, full_key(COUNTER)),
        lambda total: type(total) is int,
    ),
    Task(
        "get_many(100) 100 B",
        ("MGET", *_FULL_MANY),
        lambda cache: partial(cache.get_many, list(MANY)),
        lambda client: partial(client.mget, list(_FULL_MANY)),
        lambda found: list(found.values() if isinstance(found, dict) else found) == list(MANY.values()),
    ),
    Task(
        "set_many(100) 100 B",
        ("MSETEX", len(_FULL_MANY), *[part for pair in _FULL_MANY.items() for part in pair], "EX", LIFETIME),
        lambda cache: partial(cache.set_many, MANY),
        lambda client: partial(_redis_set_many, client),
        lambda _: True,
    ),
)


def fill(client: redis.Redis) -> None:
    """Write what the tasks read, in every contender's own form."""
    for alias in (*CACHES_TO_COMPARE, OURS_REST):
        cache = caches[alias]
        cache.set_many(MANY)
        cache.set(KEY, VALUE)
        cache.set(COUNTER, 1, timeout=None)
    client.mset({**_FULL_MANY, _FULL_KEY: VALUE, full_key(COUNTER): 1})
