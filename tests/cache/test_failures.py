"""An outage: raised as it is, or answered as an empty cache would where IGNORE_EXCEPTIONS is set."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from django_upstash.dev_server import LocalServer
from tests.cache.conftest import OpenCache
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.matrix

CALLS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "get": (("k", "default"), "default"),
    "get_or_set": (("k", lambda: "computed"), "computed"),
    "get_many": ((["k"],), {}),
    "set_many": (({"k": 1, "l": 2},), ["k", "l"]),
    "keys": (("*",), []),
    "iter_keys": (("*",), []),
    "delete_many": ((["k"],), 0),
    "delete_pattern": (("*",), 0),
    "clear": ((), None),
    "warm": (({"k": 1},), 0),
    "touch_many": ((["k"],), 0),
    "invalidate_tags": (("tag",), None),
    **dict.fromkeys(("set", "add", "touch", "expire", "pexpire", "expire_at", "pexpire_at"), (("k", 1), False)),
    **dict.fromkeys(("delete", "has_key", "persist"), (("k",), False)),
    **dict.fromkeys(("incr", "decr", "incr_version", "decr_version"), (("k",), None)),
    **dict.fromkeys(("ttl", "pttl"), (("k",), 0)),
}
COLLECTION_CALLS: dict[str, tuple[tuple[Any, ...], Any]] = {
    **{name: (("s", "t"), set()) for name in ("sdiff", "sinter", "sunion")},
    **{name: (("s",), set()) for name in ("smembers", "sscan")},
    "sscan_iter": (("s",), []),
    **dict.fromkeys(("sadd", "srem", "sdiffstore", "sinterstore", "sunionstore"), (("s", "m"), 0)),
    "scard": (("s",), 0),
    "sismember": (("s", "m"), False),
    "smismember": (("s", "m", "n"), [False, False]),
    "smove": (("s", "t", "m"), False),
    "hget": (("h", "field"), None),
    "hgetall": (("h",), {}),
    "hmget": (("h", "field", "other"), [None, None]),
    "hvals": (("h",), []),
    "hincrby": (("h", "count"), None),
    **dict.fromkeys(("lpush", "rpush"), (("l", "item"), 0)),
    **dict.fromkeys(("lpop", "rpop"), (("l",), None)),
    "lrange": (("l",), []),
    "llen": (("l",), 0),
    "ltrim": (("l", 0, 1), False),
    "spop": (("s",), None),
    "srandmember": (("s",), None),
    "hset": (("h", "field", 1), 0),
    "hdel": (("h", "field"), 0),
    "hlen": (("h",), 0),
    "hkeys": (("h",), []),
    "hexists": (("h", "field"), False),
    "zadd": (("z", {"m": 1}), 0),
    "zcard": (("z",), 0),
    "zcount": (("z", 0, 1), 0),
    "zincrby": (("z", 1, "m"), None),
    **dict.fromkeys(("zpopmax", "zpopmin"), (("z",), None)),
    **{name: (("z", 0, 1), []) for name in ("zrange", "zrangebyscore", "zrevrange", "zrevrangebyscore")},
    **dict.fromkeys(("zrank", "zscore"), (("z", "m"), None)),
    "zrem": (("z", "m"), 0),
    "zremrangebyscore": (("z", 0, 1), 0),
}


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dead_server() -> Iterator[Server]:
    """A server that has been stopped; nothing listens at its address."""
    with start_valkey() as server:
        server.stop()
        yield server
        server.start()


@pytest.fixture
def upstash(upstash: dict[str, Any], dead_server: Server, settings: Any) -> dict[str, Any]:
    addresses = {
        "native": {"URL": dead_server.url},
        "rest": {"URL": f"http://127.0.0.1:{dead_server.port}", "TOKEN": "secret"},
    }
    settings.UPSTASH = {alias: {**entry, "RETRIES": 0} for alias, entry in addresses.items()}
    return addresses


@pytest.fixture
def ignoring(open_cache: OpenCache) -> Any:
    return open_cache(OPTIONS={"IGNORE_EXCEPTIONS": True, "TAGS": True})


def call(cache: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    found = getattr(cache, name)(*arguments)
    return list(found) if isinstance(found, Iterator) else found


@pytest.mark.parametrize("name", CALLS)
def test_outage__is_raised(open_cache: OpenCache, name: str) -> None:
    with pytest.raises(redis.ConnectionError):
        call(open_cache(OPTIONS={"TAGS": True}), name, CALLS[name][0])


@pytest.mark.parametrize("name", CALLS)
def test_outage__ignored(ignoring: Any, name: str) -> None:
    arguments, expected = CALLS[name]
    assert call(ignoring, name, arguments) == expected
    found = call(ignoring, name, arguments)
    assert found == expected
    if isinstance(found, dict | list):
        assert found is not call(ignoring, name, arguments)


@pytest.mark.parametrize("name", COLLECTION_CALLS)
def test_outage__of_collections(open_cache: OpenCache, name: str) -> None:
    arguments, expected = COLLECTION_CALLS[name]
    with pytest.raises(redis.ConnectionError):
        call(open_cache(), name, arguments)
    assert call(open_cache(OPTIONS={"IGNORE_EXCEPTIONS": True}), name, arguments) == expected


def test_outage__every_method_of_the_cache_is_covered(make_cache: OpenCache, route: str) -> None:
    ignored_elsewhere = {"close", "local_stats", "lock", "make_key", "make_and_validate_key", "stats", "validate_key"}
    ignored_elsewhere |= {"get_backend_timeout"}
    of_the_cache = {name for name in dir(make_cache(route)) if not name.startswith("_") and name[0] != "a"} | {"add"}
    methods = {name for name in of_the_cache if callable(getattr(make_cache(route), name))}
    assert methods - ignored_elsewhere - {"client", "connection", "keyspace", "fall_back", "key_func"} == {
        *CALLS,
        *COLLECTION_CALLS,
    }


def test_outage__default_is_computed_once(ignoring: Any) -> None:
    calls: list[None] = []
    assert ignoring.get_or_set("k", lambda: calls.append(None)) is None
    assert len(calls) == 1


def test_outage__that_begins_after_the_default_was_computed(
    make_cache: OpenCache, local_server: LocalServer, settings: Any
) -> None:
    settings.UPSTASH = {"rest": {"URL": local_server.url, "TOKEN": local_server.token, "RETRIES": 0}}
    cache = make_cache("rest", OPTIONS={"IGNORE_EXCEPTIONS": True})
    calls: list[None] = []

    def default() -> str:
        calls.append(None)
        local_server.inject("drop_before")
        return "computed"

    assert cache.get_or_set("k", default) == "computed"
    assert len(calls) == 1
    assert cache.get("k") is None


def test_outage__error_of_the_default_is_raised(ignoring: Any) -> None:
    def default() -> None:
        raise redis.ConnectionError("of another server")

    with pytest.raises(redis.ConnectionError, match="of another server"):
        ignoring.get_or_set("k", default)


def test_outage__mistakes_are_raised(ignoring: Any) -> None:
    with pytest.raises(redis.DataError):
        ignoring.get("\udc80")
    with pytest.raises(TypeError):
        ignoring.set("k", 1, "60")


def test_outage__logged(make_cache: OpenCache, route: str, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True
    settings.DJANGO_REDIS_IGNORE_EXCEPTIONS = True
    caplog.set_level(logging.ERROR)
    assert make_cache(route).set("k", "private value") is False
    (record,) = caplog.records
    assert record.getMessage() == "Exception ignored"
    assert record.exc_info is not None
    assert "private value" not in caplog.text
    assert "secret" not in caplog.text
