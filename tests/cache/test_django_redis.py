"""What django-redis gives beyond Django's methods, as its documentation has it, on each route."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.core.cache import caches
from django_redis import get_redis_connection  # type: ignore[import-untyped]
from django_redis.util import CacheKey  # type: ignore[import-untyped]

from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix


def reverse(stored: str) -> str:
    return stored.rpartition("-")[2]


def test_set__nx_and_xx(cache: Any) -> None:
    assert cache.set("a", 1, xx=True) is False
    assert cache.set("a", 1, nx=True) is True
    assert cache.set("a", 2, nx=True) is False
    assert cache.set("a", 3, xx=True) is True
    assert cache.set("a", 3, 10, None, None, True) is False
    assert cache.get("a") == 3


def test_set__tells_whether_it_stored(cache: Any) -> None:
    assert cache.set("a", 1) is True
    assert cache.set("a", 1, 0) is True
    assert cache.set("a", 1, 0) is False


def test_delete_many__tells_how_many_there_were(cache: Any) -> None:
    cache.set_many({"a": 1, "b": 2})
    assert cache.delete_many(["a", "b", "c"]) == 2


def test_incr__ignoring_the_key_check(cache: Any) -> None:
    assert cache.incr("n", 5, ignore_key_check=True) == 5
    assert cache.incr("n", 5, ignore_key_check=True) == 10
    assert cache.incr("f", 0.5, ignore_key_check=True) == 0.5
    assert cache.get("f") == 0.5


def test_ttl(cache: Any) -> None:
    cache.set("a", 1, 10)
    assert cache.ttl("a") in range(1, 11)
    assert 9000 < cache.pttl("a") <= 10000
    cache.set("a", 1, None)
    assert (cache.ttl("a"), cache.pttl("a")) == (None, None)
    assert (cache.ttl("nothing"), cache.pttl("nothing")) == (0, 0)


def test_persist(cache: Any) -> None:
    cache.set("a", 1, 10)
    assert cache.persist("a") is True
    assert cache.persist("a") is False
    assert cache.ttl("a") is None
    assert cache.persist("nothing") is False


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        *(("expire", 100), ("expire", timedelta(seconds=100)), ("expire", 99.9995)),
        *(("pexpire", 100_000), ("pexpire", timedelta(seconds=100))),
        *(("expire_at", lambda: time.time() + 100), ("expire_at", lambda: datetime.now(UTC) + timedelta(seconds=100))),
        *(
            ("pexpire_at", lambda: (time.time() + 100) * 1000),
            ("pexpire_at", lambda: datetime.now() + timedelta(0, 100)),
        ),
    ],
)
def test_expire(cache: Any, method: str, argument: Any) -> None:
    argument = argument() if callable(argument) else argument
    cache.set("a", 1, None)
    assert getattr(cache, method)("a", argument) is True
    assert 98_000 < cache.pttl("a") <= 100_000
    assert getattr(cache, method)("nothing", argument) is False


def test_expire__default_timeout(cache: Any) -> None:
    cache.set("a", 1, None)
    assert cache.expire("a") is True
    assert cache.ttl("a") in range(291, 301)
    cache.persist("a")
    assert cache.pexpire("a") is True
    assert cache.ttl("a") in range(291, 301)


@pytest.mark.parametrize("method", ["expire", "pexpire", "expire_at", "pexpire_at"])
def test_expire__none_is_a_type_error(cache: Any, method: str) -> None:
    with pytest.raises(TypeError, match=r"persist\(\) removes an expiry"):
        getattr(cache, method)("a", None)


def test_expire__in_the_past_removes(cache: Any) -> None:
    cache.set("a", 1)
    assert cache.expire("a", -1) is True
    assert cache.has_key("a") is False
    cache.set("a", 1)
    assert cache.expire_at("a", datetime(2001, 1, 1, tzinfo=UTC)) is True
    assert cache.has_key("a") is False


def test_keys__of_one_version_and_prefix(open_cache: OpenCache) -> None:
    cache, other = open_cache(KEY_PREFIX="shop"), open_cache(KEY_PREFIX="shop:eu")
    cache.set_many({"foo1": 1, "foo2": 2, "a:b": 3})
    cache.set("foo3", 3, version=2)
    other.set("foo4", 4)
    assert sorted(cache.keys("foo*")) == sorted(cache.iter_keys("foo*")) == ["foo1", "foo2"]
    assert cache.keys("foo*", version=2) == ["foo3"]
    assert cache.keys("a:*") == ["a:b"]
    assert other.keys("*") == list(other.iter_keys("*")) == ["foo4"]
    assert cache.keys("nothing*") == list(cache.iter_keys("nothing*")) == []


def test_keys__special_characters_of_the_prefix_are_literal(open_cache: OpenCache) -> None:
    cache, other = open_cache(KEY_PREFIX="[ab]*?\\"), open_cache(KEY_PREFIX="axx")
    cache.set("key", 1)
    other.set("key", 1)
    assert cache.keys("*") == ["key"]
    assert cache.delete_pattern("*") == 1
    assert other.has_key("key")


def test_keys__more_than_a_page(open_cache: OpenCache, bystander: redis.Redis) -> None:
    cache = open_cache(KEY_PREFIX="shop")
    names = {f"key{number}": number for number in range(2500)}
    cache.set_many(names)
    bystander.set(b"shop:1:\xff", "no key of a cache")
    assert sorted(cache.keys("*")) == sorted(set(cache.iter_keys("*", itersize=100))) == sorted(names)


def test_keys__reversed_by_a_function_of_its_own(open_cache: OpenCache) -> None:
    cache = open_cache(
        KEY_FUNCTION="tests.cache.test_django.custom_key",
        REVERSE_KEY_FUNCTION="tests.cache.test_django_redis.reverse",
    )
    cache.set("key", 1)
    assert cache.keys("*") == ["key"]


def test_delete_pattern(cache: Any) -> None:
    cache.set_many({"a1": 1, "a2": 2, "b1": 3})
    cache.set("a3", 1, version=2)
    assert cache.delete_pattern("a*") == 2
    assert cache.keys("*") == ["b1"]
    assert cache.has_key("a3", version=2)
    assert cache.delete_pattern("a*", itersize=2) == 0
    assert cache.delete_pattern("a*", prefix="other") == 0
    assert cache.delete_pattern("a*", version=2, itersize=1) == 1


def test_delete__under_another_prefix(open_cache: OpenCache) -> None:
    open_cache(KEY_PREFIX="other").set("a", 1)
    cache = open_cache(KEY_PREFIX="shop")
    assert cache.delete("a") is False
    assert cache.delete("a", prefix="other") is True


@pytest.mark.parametrize("value", ["text", 7, ["list"]])
def test_cache_key__is_taken_as_it_is(cache: Any, value: Any) -> None:
    stored = cache.client.make_key("a:b", version=3)
    assert (stored, stored.original_key()) == ("shop:3:a:b", "a:b")
    for key in (stored, CacheKey("shop:3:a:b")):
        cache.set(key, value)
        assert cache.get("a:b", version=3) == cache.get(key) == value
        assert cache.get_many([key]) == {key: value}
        assert cache.incr_version(key, version=3) == 4
        assert cache.get("a:b", version=4) == value
        assert cache.decr_version("a:b", version=4) == 3
        assert cache.ttl(key) in range(291, 301)
        assert cache.delete(key) is True


def test_cache_key__that_names_no_key_of_this_cache(cache: Any) -> None:
    key = CacheKey("elsewhere")
    cache.set(key, ["value"])
    assert cache.get(key) == ["value"]


def test_client_argument__runs_there(cache: Any, bystander: redis.Redis) -> None:
    cache.set_many({"a": "A", "n": 1})
    requests = cache.connection.meter.requests
    assert cache.get("a", client=bystander) == cache.get("a", None, None, bystander) == "A"
    assert cache.set("b", ["B"], 10, client=bystander) is True
    assert cache.set("b", "x", client=bystander, nx=True) is False
    assert cache.get_many(["a", "b"], client=bystander) == {"a": "A", "b": ["B"]}
    assert cache.set_many({"c": 1, "d": "D"}, client=bystander) == []
    assert cache.has_key("d", None, bystander) is True
    assert cache.incr("n", client=bystander) == 2
    assert 5 < cache.ttl("b", client=bystander) <= 10
    assert cache.touch("b", None, client=bystander) is True
    assert cache.ttl("b", client=bystander) is None
    assert sorted(cache.keys("*", client=bystander)) == ["a", "b", "c", "d", "n"]
    assert cache.incr_version("a", client=bystander) == 2
    assert cache.delete_many(["c", "d"], client=bystander) == 2
    assert cache.delete_pattern("*", client=bystander) == 2
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("a", client=bystander)
    assert cache.connection.meter.requests == requests


def test_client_argument__pipeline_queues(cache: Any, bystander: redis.Redis) -> None:
    with bystander.pipeline() as pipeline:
        assert cache.set("a", ["A"], client=pipeline)
        cache.delete("b", client=pipeline)
        assert cache.has_key("a") is False
        assert pipeline.execute() == [True, 0]
    assert cache.get("a") == ["A"]


def test_client_argument__server_without_the_commands(cache: Any, bystander: redis.Redis) -> None:
    class Old(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            if args[0] in ("MSETEX", "GETEX"):
                raise redis.ResponseError(f"unknown command '{args[0]}', with args beginning with: 'x'")
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    old = Old(connection_pool=bystander.connection_pool)
    assert cache.set_many({"a": 1, "b": 2}, client=old) == []
    assert cache.touch("a", None, client=old) is True
    assert cache.get_many(["a", "b"]) == {"a": 1, "b": 2}


def test_sets(cache: Any) -> None:
    assert cache.sadd("s", "a", 1, ("t", 2), None, 1.5) == 5
    assert cache.sadd("s", "a") == 0
    assert cache.smembers("s") == {"a", 1, ("t", 2), None, 1.5}
    assert cache.sismember("s", ("t", 2)) is True
    assert cache.smismember("s", "a", "b") == [True, False]
    assert cache.scard("s") == 5
    cache.sadd("s2", "a", 1)
    assert cache.sinter("s", "s2") == {"a", 1}
    assert cache.sdiff("s2", "s") == set()
    assert cache.sunion("s2", "nothing") == {"a", 1}
    assert cache.sinterstore("s3", "s", "s2") == 2
    assert cache.srandmember("s3") in {"a", 1}
    assert sorted(cache.srandmember("s3", 5), key=str) == [1, "a"]
    assert cache.smove("s3", "s4", "a") is True
    assert cache.spop("s3") == 1
    assert cache.spop("s4", 5) == {"a"}
    assert cache.spop("nothing") is None
    assert cache.srem("s2", "a", "x") == 1
    assert cache.sscan("s2") == set(cache.sscan_iter("s2")) == {1}
    assert cache.sscan("s", match="a*") == {"a"}


def test_hashes(cache: Any) -> None:
    assert cache.hset("h", "field", {"a": [1]}) == 1
    assert cache.hset("h", mapping={"x": 1, "y": None}) == 2
    assert cache.hlen("h") == 3
    assert sorted(cache.hkeys("h")) == ["field", "x", "y"]
    assert cache.hexists("h", "x") is True
    assert cache.hdel("h", "x") == 1
    assert cache.client.get_client().hget("shop:1:h", "field") == b'{"a":[1]}'


def test_hashes__read(cache: Any, bystander: redis.Redis) -> None:
    cache.hset("h", mapping={"a": {"b": [1]}, "n": 5, "nothing": None})
    bystander.hset("shop:1:h", mapping={"theirs": b"\x80no JSON", b"\xff": "1"})
    assert (cache.hget("h", "a"), cache.hget("h", "none"), cache.hget("h", "theirs")) == ({"b": [1]}, None, None)
    assert cache.hgetall("h") == {"a": {"b": [1]}, "n": 5, "nothing": None}
    assert cache.hmget("h", "n", "none", "theirs", "a") == [5, None, None, {"b": [1]}]
    assert (cache.hmget("h"), cache.hmget("none", "a"), cache.hgetall("none"), cache.hvals("none")) == (
        [],
        [None],
        {},
        [],
    )
    assert sorted(map(str, cache.hvals("h"))) == ["1", "5", "None", "{'b': [1]}"]
    assert (cache.hincrby("h", "n", 2), cache.hincrby("h", "new"), cache.hget("h", "n")) == (7, 1, 7)
    with pytest.raises(redis.ResponseError, match="not an integer"):
        cache.hincrby("h", "a")
    assert cache.hget("h", "a", version=2) is None


def test_lists(cache: Any, bystander: redis.Redis) -> None:
    assert cache.rpush("l", {"a": [1]}, "b", None) == 3
    assert cache.lpush("l", 1, 2) == 5
    bystander.rpush("shop:1:l", b"\x80no JSON")
    assert cache.lrange("l") == [2, 1, {"a": [1]}, "b", None]
    assert (cache.lrange("l", 0, 1), cache.llen("l")) == ([2, 1], 6)
    assert (cache.rpop("l"), cache.rpop("l", 2), cache.lpop("l"), cache.lpop("l", 1)) == (None, [None, "b"], 2, [1])
    assert cache.ltrim("l", 1, 0) is True
    assert (cache.llen("l"), cache.lpop("l"), cache.rpop("l", 3), cache.lrange("l", version=2)) == (0, None, [], [])


def test_collections__cost_one_command_either_way(open_cache: OpenCache) -> None:
    cache = open_cache(KEY_PREFIX="shop")
    cache.sadd("s", "a")
    requests = cache.connection.meter.requests
    cache.sadd("s", *range(100))
    assert cache.zpopmin("nothing") is None
    assert len(cache.smembers("s")) == 101
    assert cache.connection.meter.requests - requests == 3
    assert set(cache.sscan_iter("s", count=5)) == {"a", *range(100)}


def test_sorted_sets(cache: Any) -> None:
    assert cache.zadd("z", {"a": 1, 2: 2.5, ("t",): 3}) == 3
    assert cache.zrange("z", 0, -1) == ["a", 2, ("t",)]
    assert cache.zrange("z", 0, 0, withscores=True) == [("a", 1.0)]
    assert cache.zrevrange("z", 0, 0) == [("t",)]
    assert cache.zscore("z", 2) == 2.5
    assert cache.zrank("z", ("t",)) == 2
    assert cache.zincrby("z", 10, "a") == 11.0
    assert (cache.zcard("z"), cache.zcount("z", 2, 3)) == (3, 2)
    assert cache.zrangebyscore("z", 2, 3) == [2, ("t",)]
    assert cache.zrevrangebyscore("z", 3, 2) == [("t",), 2]
    assert cache.zpopmin("z") == (2, 2.5)
    assert cache.zpopmax("z", 1) == [("a", 11.0)]
    assert cache.zrem("z", ("t",)) == 1
    assert cache.zpopmin("z") is None
    assert cache.zremrangebyscore("z", 0, 1) == 0


def test_collections__are_apart_from_versions(cache: Any) -> None:
    cache.sadd("s", 1, version=2)
    assert cache.smembers("s") == set()
    assert cache.smembers("s", version=2) == {1}
    assert cache.delete("s", version=2) is True


def test_lock(cache: Any) -> None:
    with cache.lock("l", timeout=10):
        assert cache.lock("l", blocking=False).acquire() is False
    assert cache.lock("l", blocking=False, timeout=10).acquire() is True


def test_get_redis_connection(upstash: Any, route: str, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django_upstash.cache.UpstashCache", "LOCATION": route}}
    caches["default"].set("a", 1)
    assert get_redis_connection("default").get(":1:a") == b"1"


def test_client__has_the_cache_methods(cache: Any) -> None:
    client = cache.client
    client.set("a", ["A"])
    assert client.get("a") == ["A"]
    assert "a" in client
    assert client.get_many(["a"]) == {"a": ["A"]}
    assert client.make_pattern("x*") == "shop:1:x*"
    client.close()
    assert client.delete("a")
