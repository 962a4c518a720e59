"""
Deleting by pattern beside django-redis at its defaults: ``python -m benchmarks.bulk [--keys N]`` prints JSON.

In each database one key of a hundred matches. Client and server are on one core; times are in seconds, on the clock.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from time import perf_counter
from typing import Any

import django
import redis
from django.conf import settings
from django.core.cache import caches

from benchmarks import machine
from django_upstash.connections import connections
from tests.servers import ServerMissing, start_valkey

OURS, DJANGO_REDIS = "ours", "django-redis"
GOAL = 10.0  # how many times as fast as django-redis it is meant to be
_KEYS, _ONE_IN, _PIECE = 1_000_000, 100, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__.splitlines()[1])
    parser.add_argument("--keys", type=int, default=_KEYS, metavar="N", help=f"keys of the database (default: {_KEYS})")
    arguments = parser.parse_args()
    if arguments.keys < _ONE_IN:
        parser.error(f"{arguments.keys} keys are too few: name {_ONE_IN} or more")
    if sys.platform != "linux":
        parser.exit(1, "The benchmark pins everything to one core: it needs Linux.\n")
    try:
        json.dump(_report(arguments.keys), sys.stdout, indent=2)
    except ServerMissing as error:
        parser.exit(1, f"{error}\n")
    print()


def _report(keys: int) -> dict[str, Any]:
    machine.pin_to_one_core()
    with ExitStack() as stack:
        server = stack.enter_context(start_valkey())
        _configure(server.tcp_url)
        stack.callback(connections.close_all)
        client = stack.enter_context(redis.Redis.from_url(server.tcp_url))
        seconds = {alias: _seconds(client, alias, keys) for alias in (OURS, DJANGO_REDIS)}
    ratio = seconds[DJANGO_REDIS] / seconds[OURS]
    found = {"seconds": seconds, "ratio": round(ratio, 1), "goal": GOAL, "reached": ratio >= GOAL}
    return {"machine": machine.facts(), "keys": keys, "matches": len(range(0, keys, _ONE_IN)), "delete_pattern": found}


def _configure(url: str) -> None:
    backends = {OURS: "django_upstash.cache.UpstashCache", DJANGO_REDIS: "django_redis.cache.RedisCache"}
    entries = {alias: {"BACKEND": backend, "LOCATION": url} for alias, backend in backends.items()}
    settings.configure(
        SECRET_KEY="only for the benchmarks",
        INSTALLED_APPS=["django_upstash"],
        CACHES={"default": entries[OURS], **entries},
    )
    django.setup()


def _seconds(client: redis.Redis, alias: str, keys: int) -> float:
    client.flushall()
    for start in range(0, keys, _PIECE):
        places = range(start, min(start + _PIECE, keys))
        client.mset({f":1:{'key' if place % _ONE_IN else 'match'}{place}": place for place in places})
    cache: Any = caches[alias]
    cache.get("open")
    started = perf_counter()
    removed = cache.delete_pattern("match*")
    taken = perf_counter() - started
    if removed != len(range(0, keys, _ONE_IN)):
        raise AssertionError(f"{alias} has removed {removed} keys")
    return taken


if __name__ == "__main__":
    main()
