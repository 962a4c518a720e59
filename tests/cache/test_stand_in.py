"""What this process answers in an outage is what the server would have answered."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis

from django_upstash.cache.failover_state import outages
from django_upstash.cache.memory_store import StandIn
from django_upstash.exceptions import ServerAwayError
from django_upstash.operations.key_scan import glob
from tests.cache.conftest import OpenCache
from tests.servers import Server

pytestmark = pytest.mark.matrix

OPTIONS = {"ON_FAILURE": "memory", "TAGS": True}
KEYS = ("a", "b", "c")
VALUES = (0, 7, -5, 1.5, "text", None, ["list"], 2**62, 2**70)
TIMEOUTS = (None, 1000, 0, -1)

Call = Callable[[Any], Any]


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def on_server(open_cache: OpenCache) -> Any:
    return open_cache(KEY_PREFIX="server", OPTIONS=OPTIONS)


@pytest.fixture
def on_its_own(open_cache: OpenCache) -> Any:
    """A cache that believes its server away."""
    cache = open_cache(KEY_PREFIX="local", OPTIONS=OPTIONS)
    cache.connection.availability.pause = 1e9
    outages.of(cache.connection, "local").begin(redis.ConnectionError("away"), time.perf_counter())
    return cache


def a_call(chance: random.Random) -> Call:
    key, other, value = chance.choice(KEYS), chance.choice(KEYS), chance.choice(VALUES)
    timeout, tags = chance.choice(TIMEOUTS), chance.choice(((), ("t",), ("t", "u")))
    calls: list[Call] = [
        lambda cache: cache.get(key, "default"),
        lambda cache: cache.get_many(KEYS),
        lambda cache: cache.set(key, value, timeout, tags=tags),
        lambda cache: cache.set(key, value, timeout, nx=True),
        lambda cache: cache.set(key, value, timeout, xx=True),
        lambda cache: cache.set_many({key: value, other: 1}, timeout, tags=tags),
        lambda cache: cache.add(key, value, timeout, tags=tags),
        lambda cache: cache.delete(key),
        lambda cache: cache.delete_many([key, other]),
        lambda cache: cache.has_key(key),
        lambda cache: cache.touch(key, timeout),
        lambda cache: cache.expire(key, timedelta(seconds=500)),
        lambda cache: cache.expire_at(key, 4_000_000_000),
        lambda cache: cache.persist(key),
        lambda cache: cache.ttl(key) is None,
        lambda cache: cache.pttl(key) == 0,
        lambda cache: cache.incr(key, 3),
        lambda cache: cache.decr(key),
        lambda cache: cache.incr(key, 2**63),
        lambda cache: cache.incr_version(key),
        lambda cache: cache.decr_version(key, version=2),
        lambda cache: cache.get_or_set(key, lambda: value, timeout, grace=5, early=1, cross_process=True, tags=tags),
        lambda cache: sorted(cache.keys("*")),
        lambda cache: sorted(cache.iter_keys("[ab]")),
        lambda cache: cache.delete_pattern("[^ab]"),
        lambda cache: cache.invalidate_tags("t"),
    ]
    return chance.choice(calls)


def outcome(call: Call, cache: Any) -> Any:
    try:
        return call(cache)
    except (ValueError, TypeError) as error:
        return type(error), str(error)


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("seed", range(4))
def test_stand_in__says_what_the_server_says(on_server: Any, on_its_own: Any, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(400):
        call = a_call(chance)
        found = outcome(call, on_server), outcome(call, on_its_own)
        assert found[0] == found[1], (number, seed)
    assert on_its_own.backend_in_use == "memory"


def test_stand_in__answers_nothing_it_does_not_know() -> None:
    for command in (("LPUSH", "k", "v"), ("EVALSHA", "0" * 40, 1, "k")):
        with pytest.raises(ServerAwayError):
            StandIn().execute([command])


def test_stand_in__is_bounded_and_forgets_what_was_used_longest_ago() -> None:
    held = StandIn(most=3)
    for number in range(5):
        held.execute([("SET", f"k{number}", b"v"), ("GET", "k0")])
    assert held.execute([("MGET", "k0", "k2", "k3", "k4")]) == [[b"v", None, b"v", b"v"]]
    assert len(held) == 3


@pytest.mark.parametrize("step", [86_400, -86_400])
def test_stand_in__goes_by_a_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    held, wall = StandIn(), time.time
    held.execute([("SET", "k", b"v", "PX", 60_000), ("SET", "moved", b"v"), ("PEXPIRE", "moved", 60_000)])
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    left = held.execute([("PTTL", "k"), ("PTTL", "moved")])
    assert all(isinstance(one, int) and 0 < one <= 60_000 for one in left)


PATTERNS = (
    "*",
    "k?",
    "k[12]",
    "k[^12]",
    "k[1-3]",
    r"k\*",
    "k[]",
    "[",
    "k[12",
    r"k[\]x]",
    "k1*1",
    "K1",
    "",
    "k.",
    "(k1)",
    "k[a^]",
)
NAMES = ("k1", "k2", "k3", "k11", "k*", "k]", "kx", "[", "k", "(k1)", "k.", "k^", "other")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_glob__matches_what_scan_does(valkey: Server, pattern: str) -> None:
    valkey.call("FLUSHALL")
    valkey.call("MSET", *(argument for name in NAMES for argument in (name, "v")))
    _, found = valkey.call("SCAN", "0", "MATCH", pattern, "COUNT", "1000")
    assert sorted(name for name in NAMES if glob(pattern).fullmatch(name)) == sorted(name.decode() for name in found)
