"""What each method costs: round trips and billed commands, counted by the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from tests.cache.conftest import OpenCache
from tests.servers import Server, ServerMissing, start_redis

pytestmark = pytest.mark.matrix

VALUES = {f"k{number}": ["value", number] for number in range(10)}
GONE = {f"gone{number}": number for number in range(10)}


@dataclass
class Cost:
    """Round trips and billed commands of a block; known when it has ended."""

    requests: int = 0
    commands: int = 0

    def __eq__(self, other: object) -> bool:
        return (self.requests, self.commands) == other


Counting = Callable[[Any], Any]


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Counting:
    """Return ``counting(cache)``, which counts what the block costs."""

    @contextmanager
    def count(cache: Any) -> Iterator[Cost]:
        cost = Cost()
        requests = cache.connection.meter.requests
        local_server.reset_meter()
        with valkey.counting() as counted:
            yield cost
        billed = local_server.meter()
        if route == "rest":
            cost.requests, cost.commands = billed["requests"], billed["commands"]
        else:
            cost.requests, cost.commands = cache.connection.meter.requests - requests, counted.commands

    return count


@pytest.fixture
def warm(open_cache: OpenCache) -> Any:
    """A cache with values, whose connection is open and which has tried every command once."""
    cache = open_cache(KEY_PREFIX="shop")
    cache.set_many({**VALUES, "n": 1, "f": 1.5, "forever": 1})
    cache.incr("n")
    cache.incr("f")
    cache.touch("forever", None)
    return cache


@pytest.mark.parametrize(
    ("method", "arguments", "cost"),
    [
        *(("get", ("k1",), (1, 1)), ("get", ("nothing",), (1, 1)), ("has_key", ("k1",), (1, 1))),
        *(("set", ("k1", ["v"]), (1, 1)), ("set", ("k1", 1, None), (1, 1)), ("set", ("k1", 1, 0), (1, 1))),
        *(("add", ("new", ["v"]), (1, 1)), ("add", ("k1", 1), (1, 1)), ("add", ("new", 1, 0), (1, 1))),
        *(("touch", ("k1",), (1, 1)), ("touch", ("k1", None), (1, 1)), ("touch", ("k1", 0), (1, 1))),
        *(("touch", ("forever", None), (1, 1)), ("touch", ("nothing", None), (1, 1))),
        *(("delete", ("k1",), (1, 1)), ("delete", ("nothing",), (1, 1))),
        *(("get_many", (list(VALUES),), (1, 1)), ("get_many", (list(GONE),), (1, 1)), ("get_many", ([],), (0, 0))),
        *(("set_many", (VALUES,), (1, 1)), ("set_many", (VALUES, None), (1, 1)), ("set_many", (VALUES, 0), (1, 1))),
        *(("set_many", ({},), (0, 0)), ("set_many", ({"one": 1},), (1, 1))),
        *(("delete_many", (list(VALUES),), (1, 1)), ("delete_many", ([],), (0, 0))),
        *(("incr", ("n",), (1, 3)), ("decr", ("n", 2), (1, 3)), ("incr", ("f",), (2, 7))),
        *(("incr_version", ("k1",), (1, 1)), ("decr_version", ("k1",), (1, 1))),
        *(("get_or_set", ("k1", 1), (1, 1)), ("get_or_set", ("new", 1), (2, 2))),
        *(("ttl", ("k1",), (1, 1)), ("pttl", ("nothing",), (1, 1)), ("persist", ("k1",), (1, 1))),
        *(("expire", ("k1", 5), (1, 1)), ("pexpire", ("k1", 5), (1, 1)), ("expire_at", ("k1", 5), (1, 1))),
        *(("keys", ("*",), (1, 1)), ("iter_keys", ("*",), (1, 1))),
        *(("delete_pattern", ("nothing*",), (1, 1)), ("delete_pattern", ("k*",), (2, 2)), ("clear", (), (2, 2))),
        ("close", (), (0, 0)),
    ],
)
def test_budget(warm: Any, counting: Counting, method: str, arguments: tuple[Any, ...], cost: tuple[int, int]) -> None:
    with counting(warm) as counted:
        result = getattr(warm, method)(*arguments)
        if method == "iter_keys":
            list(result)
    assert counted == cost


def test_budget__missing_key_of_incr(warm: Any, counting: Counting) -> None:
    with counting(warm) as counted, pytest.raises(ValueError, match="not found"):
        warm.incr("nothing")
    assert counted == (1, 2)


def test_budget__sweep_of_many_pages(warm: Any, counting: Counting) -> None:
    warm.set_many({f"page{number}": number for number in range(3000)})
    with counting(warm) as counted:
        assert warm.delete_pattern("page*") == 3000
    # One SCAN for about a thousand keys, each but the last in one round trip with the UNLINK of what was found before.
    assert counted.requests <= 6
    assert counted.commands <= 2 * counted.requests - 2


def test_budget__no_command_is_forbidden(warm: Any, valkey: Server) -> None:
    with valkey.counting() as counted:
        warm.keys("*")
        list(warm.iter_keys("*"))
        warm.delete_pattern("*")
        warm.clear()
    assert not {"keys", "flushdb", "flushall"} & set(counted.by_command)


def test_budget__building_a_cache_costs_nothing(open_cache: OpenCache, warm: Any, counting: Counting) -> None:
    with counting(warm) as counted:
        other = open_cache(KEY_PREFIX="other")
        assert other.keyspace.prefix == "other"
        other.close()
    assert counted == (0, 0)


@pytest.fixture(scope="module")
def old_server() -> Iterator[Server]:
    """A Redis 7.0, which has no MSETEX."""
    try:
        with start_redis() as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def old_cache(old_server: Server, settings: Any, make_cache: OpenCache) -> Any:
    old_server.call("FLUSHALL")
    settings.UPSTASH = {"old": {"URL": old_server.url}}
    return make_cache("old", KEY_PREFIX="shop")


def test_old_server__set_many_is_one_pipeline(old_cache: Any, old_server: Server) -> None:
    old_cache.set_many(VALUES)
    requests = old_cache.connection.meter.requests
    with old_server.counting() as counted:
        assert old_cache.set_many(VALUES, 50) == []
    assert (old_cache.connection.meter.requests - requests, counted.commands) == (1, len(VALUES))
    assert counted.by_command == {"set": len(VALUES)}
    assert old_cache.get_many(VALUES) == VALUES
    assert old_cache.ttl("k1") in range(41, 51)


def test_old_server__unknown_command_is_tried_once(old_cache: Any, old_server: Server) -> None:
    requests = old_cache.connection.meter.requests
    old_cache.set_many(VALUES)
    assert old_cache.connection.meter.requests - requests == 2
    assert not old_cache.connection.capabilities.has("MSETEX")
    assert old_cache.get_many(VALUES) == VALUES


def test_old_server__the_rest_is_the_same(old_cache: Any) -> None:
    old_cache.set("n", 1, None)
    old_cache.set("f", 1.5)
    assert (old_cache.incr("n"), old_cache.incr("f")) == (2, 2.5)
    assert old_cache.touch("n", None) is True
    assert old_cache.incr_version("n") == 2
    old_cache.clear()
    assert old_cache.keys("*") == []
