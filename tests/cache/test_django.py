"""What Django asks of a cache, of every method, on each route, both ways of calling it."""

from __future__ import annotations

import pickle
import warnings
import zlib
from typing import Any

import pytest
import redis
from django.core.cache import CacheKeyWarning
from django.http import HttpResponse

from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix

KEYS_OF_ONE = {"add": ("k", 1), "get": ("k",), "set": ("k", 1), "touch": ("k",), "delete": ("k",), "has_key": ("k",)}


class Unpicklable:
    def __reduce__(self) -> Any:
        raise pickle.PicklingError("not me")


def custom_key(key: str, prefix: str, version: int) -> str:
    return f"CUSTOM-{prefix}-{version}-{key}"


def verbatim_key(key: str, prefix: str, version: int) -> str:
    return key


def test_get__returns_what_was_set(cache: Any) -> None:
    cache.set("key", "value")
    assert cache.get("key") == "value"


def test_get__missing_key(cache: Any) -> None:
    assert cache.get("nothing") is None
    assert cache.get("nothing", "default") == "default"


def test_get__cached_none_is_no_miss(cache: Any) -> None:
    cache.set("none", None)
    assert cache.get("none", "default") is None
    assert cache.has_key("none")


@pytest.mark.parametrize(
    "value",
    [
        *("text", "清 ünï", "", "5", b"", b"5", b"\xff\x00", zlib.compress(b"value")),
        *(0, 42, -5, 2**63 - 1, -(2**63), 2**63, -(10**40), True, False, 1.5, float("inf"), None),
        *([1, "a", None], (1, 2), {"A": {"b": [b"c"]}}, {1, 2}, frozenset("ab"), 3 + 4j, OpenCache),
    ],
    ids=lambda value: type(value).__name__,
)
def test_get__keeps_value_and_type(cache: Any, value: Any) -> None:
    cache.set("key", value)
    assert cache.get("key", "default") == value
    assert type(cache.get("key")) is type(value)


def test_get__response(cache: Any) -> None:
    response = HttpResponse("page", headers={"X-A": "b"})
    response.set_cookie("c", "d")
    cache.set("page", response)
    cached = cache.get("page")
    assert (cached.content, cached.headers["X-A"], cached.cookies["c"].value) == (b"page", "b", "d")


@pytest.mark.parametrize("key", ["Iñtërnâtiônàlizætiøn", "a:b:c", "*?[x]", "x" * 180, "k/%2F&a=b#", "\U0001f600"])
def test_keys__of_every_kind(cache: Any, key: str) -> None:
    cache.set(key, 1)
    assert cache.get(key) == 1
    assert cache.get_many([key]) == {key: 1}
    assert cache.delete(key) is True


def test_key__of_another_type_is_its_text(cache: Any) -> None:
    cache.set(7, "seven")
    assert cache.get("7") == "seven"
    assert cache.get_many([7]) == {7: "seven"}


def test_add__only_where_there_is_none(cache: Any) -> None:
    assert cache.add("key", "first") is True
    assert cache.add("key", "second") is False
    assert cache.get("key") == "first"


@pytest.mark.parametrize("method", ["set", "add"])
def test_store__unpicklable_value_raises(cache: Any, method: str) -> None:
    with pytest.raises(pickle.PicklingError, match="not me"):
        getattr(cache, method)("key", Unpicklable())


def test_prefix__keeps_caches_apart(open_cache: OpenCache) -> None:
    one, other = open_cache(KEY_PREFIX="one"), open_cache(KEY_PREFIX="other")
    one.set("key", 1)
    assert other.has_key("key") is False
    other.set("key", 2)
    assert (one.get("key"), other.get("key")) == (1, 2)


def test_key_function__keeps_caches_apart(open_cache: OpenCache) -> None:
    plain = open_cache()
    custom = open_cache(KEY_FUNCTION=custom_key)
    same = open_cache(KEY_FUNCTION="tests.cache.test_django.custom_key")
    plain.set("a", "plain")
    custom.set("b", ["custom"])
    assert (custom.get("a"), plain.get("b"), same.get("b")) == (None, None, ["custom"])


def test_attributes__may_change_later(cache: Any) -> None:
    cache.set("key", "of shop")
    cache.key_prefix = "other"
    assert cache.get("key") is None
    cache.set("key", "of other")
    cache.version = 2
    assert cache.get("key") is None
    assert cache.get("key", version=1) == "of other"
    cache.key_prefix, cache.version = "shop", 1
    assert cache.get("key") == "of shop"


def test_delete__tells_whether_there_was_a_key(cache: Any) -> None:
    cache.set("key", "value")
    assert cache.delete("key") is True
    assert cache.delete("key") is False
    assert cache.get("key") is None


def test_has_key(cache: Any) -> None:
    cache.set("here", 1, None)
    assert cache.has_key("here") is True
    assert cache.has_key("nowhere") is False
    assert "here" in cache
    assert "nowhere" not in cache


def test_get_many__leaves_out_what_is_missing(cache: Any) -> None:
    cache.set_many({"a": "A", "b": None, "c": 3})
    assert cache.get_many(["a", "b", "c", "d"]) == {"a": "A", "b": None, "c": 3}
    assert cache.get_many(iter(["a", "d"])) == {"a": "A"}
    assert cache.get_many([]) == {}


def test_set_many__returns_the_keys_that_failed(cache: Any) -> None:
    assert cache.set_many({"a": 1, "b": "2"}) == []
    assert cache.set_many({}) == []
    assert cache.get_many(["a", "b"]) == {"a": 1, "b": "2"}


def test_set_many__replaces_expiry(cache: Any) -> None:
    cache.set("a", 1, 10)
    cache.set_many({"a": 2, "b": 3}, None)
    assert (cache.ttl("a"), cache.ttl("b")) == (None, None)
    cache.set_many({"a": 2, "b": 3}, 100)
    assert (cache.ttl("a"), cache.ttl("b")) == (100, 100)


def test_delete_many(cache: Any) -> None:
    cache.set_many({"a": 1, "b": 2, "c": 3})
    cache.delete_many(["a", "b", "nothing"])
    assert cache.get_many(["a", "b", "c"]) == {"c": 3}
    assert cache.delete_many([]) is None


def test_get_or_set(cache: Any) -> None:
    assert cache.get_or_set("a", 42) == 42
    assert cache.get("a") == 42
    assert cache.get_or_set("a", 43) == 42
    assert cache.get_or_set("n", None) is None
    assert cache.get("n", "default") is None
    assert cache.get_or_set("t", "x", 100) == "x"
    assert cache.ttl("t") in range(91, 101)
    assert cache.get_or_set("a", 1979, version=2) == 1979
    assert cache.get("a") == 42


def test_get_or_set__callable_is_called_once_and_only_for_a_miss(cache: Any) -> None:
    calls: list[None] = []

    def default() -> None:
        calls.append(None)

    assert cache.get_or_set("a", default) is None
    assert cache.get("a", "default") is None
    assert cache.get_or_set("a", default) is None
    assert len(calls) == 1


def test_get_or_set__the_first_value_wins(cache: Any, bystander: redis.Redis) -> None:
    def slow() -> str:
        bystander.set("shop:1:a", "7")
        return "mine"

    assert cache.get_or_set("a", slow) == 7
    assert cache.get("a") == 7


def test_get_or_set__the_first_value_may_be_gone_again(cache: Any, bystander: redis.Redis) -> None:
    def slow() -> str:
        bystander.set("shop:1:a", "not ours")
        return "mine"

    assert cache.get_or_set("a", slow) == "mine"


def test_get_or_set__replaces_what_cannot_be_read(cache: Any, bystander: redis.Redis) -> None:
    bystander.set("shop:1:a", "not ours")
    assert cache.get_or_set("a", "mine") == "mine"
    assert cache.get("a") == "mine"


def test_get_or_set__stores_nothing_without_a_lifetime(cache: Any) -> None:
    assert cache.get_or_set("a", "x", 0) == "x"
    assert cache.has_key("a") is False


def test_get_or_set__errors_of_the_callable_are_raised(cache: Any) -> None:
    def default() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        cache.get_or_set("a", default)


def test_get_or_set__needs_a_default(cache: Any) -> None:
    with pytest.raises(TypeError, match=r"get_or_set\(\) missing 1 required positional argument: 'default'"):
        cache.get_or_set("a")


def test_clear(cache: Any) -> None:
    cache.set_many({"a": 1, "b": 2})
    cache.clear()
    assert cache.get_many(["a", "b"]) == {}


@pytest.mark.parametrize("entry", [{}, {"KEY_FUNCTION": verbatim_key}], ids=["default function", "function"])
@pytest.mark.parametrize("key", ["with spaces and 清", "tab\t", "\x7f", "a" * 251])
def test_key__that_memcached_would_refuse_warns(open_cache: OpenCache, key: str, entry: dict[str, Any]) -> None:
    cache = open_cache(**entry)
    calls: dict[str, tuple[Any, ...]] = {
        **{name: (key, *arguments[1:]) for name, arguments in KEYS_OF_ONE.items()},
        "get_many": ([key, "b"],),
        "set_many": ({key: 1, "b": 2},),
        "incr": (key,),
        "decr": (key,),
        "delete_many": ([key, "b"],),
    }
    for name, arguments in calls.items():
        with pytest.warns(CacheKeyWarning, match="will cause errors if used with memcached"):
            getattr(cache, name)(*arguments)


def test_key__that_warns_still_works(cache: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheKeyWarning)
        cache.set("a b\n", ["value"])
        assert cache.get("a b\n") == ["value"]


def test_close__leaves_the_cache_usable(cache: Any) -> None:
    cache.set("a", 1)
    cache.close()
    assert cache.get("a") == 1
