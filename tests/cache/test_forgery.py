"""What others write into the shared database is a miss: no method loads it, none ends in an exception page."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from django_upstash import codecs
from django_upstash.codecs.text import marked
from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix


class Gadget:
    """What an attacker's pickle would do: run code while it is loaded."""

    ran = False

    def __reduce__(self) -> Any:
        return exec, ("from tests.cache.test_forgery import Gadget; Gadget.ran = True",)


@pytest.fixture(autouse=True)
def _gadget_never_runs() -> Iterator[None]:
    Gadget.ran = False
    yield
    assert not Gadget.ran


def forgeries(bystander: redis.Redis, cache: Any) -> dict[str, bytes]:
    """Return stored forms that others may leave under a key of the cache."""
    cache.set("source", Gadget())
    genuine: bytes = bystander.get("shop:1:source") or b""  # type: ignore[assignment]
    payload = pickle.dumps(Gadget())
    return {
        "pickle": payload,
        "pickle as text": marked(payload),
        "pickle as compressed": zlib.compress(payload),
        "made-up tag": b"\xf9\x01" + bytes(16) + payload,
        "tag of another payload": genuine[:18] + payload[:-1] + b"\x00.",
        "value of another key": genuine,
        "value of another key as text": marked(genuine),
        "truncated": genuine[:-1],
        "other secret": codecs.signed_codec(pickle, None, ["attacker's"], "shop").dumps(Gadget(), b"k"),
        "empty": b"",
        "text": b"hello",
        "noise": b"\xff\xfe\x00",
    }


def test_gadget__would_run(cache: Any) -> None:
    pickle.loads(pickle.dumps(Gadget()))
    assert Gadget.ran
    Gadget.ran = False


def test_value__forged_is_a_miss(cache: Any, bystander: redis.Redis) -> None:
    for name, forged in forgeries(bystander, cache).items():
        bystander.set("shop:1:k", forged)
        assert cache.get("k", "default") == "default", name
        assert cache.get_many(["k"]) == {}, name
        with pytest.raises(ValueError, match="not found"):
            cache.incr("k")
        with pytest.raises(ValueError, match="not found"):
            cache.decr("k", 0.5)
        assert cache.get_or_set("k", "mine") == "mine", name
        assert cache.get("k") == "mine"


def test_value__moved_by_others_is_a_miss(cache: Any, bystander: redis.Redis) -> None:
    cache.set("k", ["value"])
    bystander.copy("shop:1:k", "shop:1:other")
    bystander.copy("shop:1:k", "shop:2:k")
    bystander.copy("shop:1:k", "other:1:k")
    assert cache.get("other") is None
    # Versions of a key are one for signatures, so that incr_version is a RENAME.
    assert cache.get("k", version=2) == ["value"]


def test_value__of_another_prefix_is_a_miss(open_cache: OpenCache, bystander: redis.Redis) -> None:
    one, other = open_cache(KEY_PREFIX="one"), open_cache(KEY_PREFIX="other")
    one.set("k", ["value"])
    bystander.copy("one:1:k", "other:1:k")
    assert other.get("k") is None


def test_value__under_json_and_msgpack_no_pickle_is_loaded(open_cache: OpenCache, bystander: redis.Redis) -> None:
    for serializer in ("json.JSONSerializer", "msgpack.MSGPackSerializer"):
        cache = open_cache(KEY_PREFIX="shop", OPTIONS={"SERIALIZER": f"django_redis.serializers.{serializer}"})
        bystander.set("shop:1:k", pickle.dumps(Gadget()))
        assert cache.get("k", "default") == "default"


def test_value__of_another_type_raises_what_redis_says(cache: Any) -> None:
    cache.sadd("s", 1)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        cache.get("s")
    assert cache.get_many(["s"]) == {}


def test_members__forged_are_skipped(cache: Any, bystander: redis.Redis) -> None:
    written = list(forgeries(bystander, cache).values())
    cache.sadd("s", "mine")
    bystander.sadd("shop:1:s", *written)
    cache.sadd("s2", "mine")
    readers: dict[str, Any] = {
        "smembers": lambda: cache.smembers("s"),
        "sunion": lambda: cache.sunion("s", "s2"),
        "sdiff": lambda: cache.sdiff("s", "nothing"),
        "sinter": lambda: cache.sinter("s", "s"),
        "sscan": lambda: cache.sscan("s", count=1000),
        "sscan_iter": lambda: set(cache.sscan_iter("s")),
        "srandmember": lambda: set(cache.srandmember("s", 100)),
        "spop": lambda: cache.spop("s", 100),
    }
    for name, read in readers.items():
        assert read() == {"mine"}, name


def test_member__alone_and_forged_is_none(cache: Any, bystander: redis.Redis) -> None:
    bystander.sadd("shop:1:s", pickle.dumps(Gadget()))
    assert cache.srandmember("s") is None
    assert cache.spop("s") is None
    bystander.zadd("shop:1:z", {pickle.dumps(Gadget()): 1})
    assert cache.zpopmin("z") is None


def test_sorted_sets__forged_members_are_skipped(cache: Any, bystander: redis.Redis) -> None:
    cache.zadd("z", {"mine": 1})
    for score, forged in enumerate(forgeries(bystander, cache).values(), start=2):
        bystander.zadd("shop:1:z", {forged: score})
    assert cache.zrange("z", 0, -1) == cache.zrevrange("z", 0, -1) == ["mine"]
    assert cache.zrange("z", 0, -1, withscores=True) == [("mine", 1.0)]
    assert cache.zrangebyscore("z", 0, 99) == cache.zrevrangebyscore("z", 99, 0) == ["mine"]
    assert cache.zpopmax("z", 99) == [("mine", 1.0)]


def test_hash__forged_field_names_are_skipped(cache: Any, bystander: redis.Redis) -> None:
    cache.hset("h", "field", 1)
    bystander.hset("shop:1:h", b"\xff", "value")
    assert cache.hkeys("h") == ["field"]


def test_keys__of_others_that_are_no_text_are_left_out(cache: Any, bystander: redis.Redis) -> None:
    cache.set("k", 1)
    bystander.set(b"shop:1:\xff", "value")
    assert cache.keys("*") == list(cache.iter_keys("*")) == ["k"]


def test_member__that_json_has_not_is_a_type_error(cache: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: cache.sadd("s", b"bytes"),
        lambda: cache.hset("h", "field", b"bytes"),
        lambda: cache.zadd("z", {b"bytes": 1}),
        lambda: cache.sismember("s", b"bytes"),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="not bytes"):
            call()


def test_members__outlive_a_new_secret(cache: Any, settings: Any) -> None:
    cache.sadd("s", "member")
    settings.SECRET_KEY = "another"
    assert cache.sismember("s", "member") is True
    assert cache.sadd("s", "member") == 0


def test_secret__new_one_with_and_without_fallback(cache: Any, settings: Any) -> None:
    cache.set_many({"k": ["value"], "n": 1})
    settings.SECRET_KEY_FALLBACKS = [django_settings.SECRET_KEY]
    settings.SECRET_KEY = "new"
    assert cache.get_many(["k", "n"]) == {"k": ["value"], "n": 1}
    cache.set("new", ["value"])
    settings.SECRET_KEY_FALLBACKS = []
    assert cache.get_many(["k", "new", "n"]) == {"new": ["value"], "n": 1}


@pytest.mark.parametrize("key", ["\udc80", "a\ud800b"])
def test_key__lone_surrogate_is_an_error(cache: Any, key: str) -> None:
    for method, arguments in {
        **dict.fromkeys(("get", "delete", "has_key", "touch", "incr", "ttl", "incr_version", "sadd"), ()),
        **{"set": (1,), "add": (1,), "get_or_set": (1,), "expire": (1,)},
    }.items():
        with pytest.raises(redis.DataError, match="lone surrogate"):
            getattr(cache, method)(key, *arguments)
    calls: list[Callable[[], Any]] = [
        lambda: cache.get_many([key]),
        lambda: cache.set_many({key: 1}),
        lambda: cache.delete_many([key]),
        lambda: cache.keys(key),
        lambda: cache.delete_pattern(key),
        lambda: cache.sadd("s", key),
    ]
    for call in calls:
        with pytest.raises(redis.DataError, match="lone surrogate"):
            call()
