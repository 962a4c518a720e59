"""clear() removes a cache's own keys, of every version, and nothing else in the shared database."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured

from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix


def custom(key: str, prefix: str, version: int) -> str:
    return f"CUSTOM-{prefix}-{version:d}-{key}"


def hashed_after_prefix(key: str, prefix: str, version: int) -> str:
    return f"{prefix}:{version}:{md5(key.encode(), usedforsecurity=False).hexdigest()}"


def hashed(key: str, prefix: str, version: int) -> str:
    return md5(f"{prefix}{version}{key}".encode(), usedforsecurity=False).hexdigest()


def only_the_key(key: str, prefix: str, version: int) -> str:
    return key


def key_first(key: str, prefix: str, version: int) -> str:
    return f"{key}:{version}:{prefix}"


def names(bystander: redis.Redis) -> set[bytes]:
    return set(bystander.keys("*"))  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["shop", "", "[a-z]*", "a\\b", "with:colon"])
def test_clear__leaves_the_neighbours(open_cache: OpenCache, bystander: redis.Redis, prefix: str) -> None:
    cache = open_cache(KEY_PREFIX=prefix)
    neighbours = {
        *(b"session:abc", b"shopping:1:k", b"x1:k", b"axb:1:k", b"\xff", b"plain", b"ab"),
        *(f"{prefix}{more}".encode() for more in (":eu:1:k", ":v:k", "", ":1", "x:1:k", ":-:k")),
    }
    for neighbour in neighbours - {b""}:
        bystander.set(neighbour, "theirs")
    cache.set_many({"a": 1, "b:c": ["B"], "d\u00e9": 3})
    cache.set("a", 1, version=2)
    cache.set("a", 1, version=-7)
    cache.sadd("members", 1)
    assert cache.clear() is None
    assert names(bystander) == neighbours - {b""}


def test_clear__own_version_that_is_no_number(open_cache: OpenCache, bystander: redis.Redis) -> None:
    cache = open_cache(KEY_PREFIX="shop", VERSION="v.1")
    bystander.set("shop:vx1:k", "theirs")
    cache.set("k", 1)
    cache.set("k", 1, version=2)
    cache.clear()
    assert names(bystander) == {b"shop:vx1:k"}


def test_clear__many_pages(open_cache: OpenCache, bystander: redis.Redis) -> None:
    cache, other = open_cache(KEY_PREFIX="shop"), open_cache(KEY_PREFIX="other")
    other.set_many({f"k{number}": number for number in range(1500)})
    cache.set_many({f"k{number}": number for number in range(3500)})
    cache.clear()
    assert (cache.keys("*"), bystander.dbsize()) == ([], 1500)


@pytest.mark.parametrize("function", [custom, hashed_after_prefix])
def test_clear__custom_key_function(open_cache: OpenCache, bystander: redis.Redis, function: Any) -> None:
    cache = open_cache(KEY_PREFIX="shop", KEY_FUNCTION=function)
    neighbours = {b"CUSTOM-other-1-k", b"CUSTOM-shop", b"other:1:k", b"shopping:1:k"}
    bystander.mset(dict.fromkeys(neighbours, "theirs"))
    cache.set("k", 1)
    cache.set("k", 1, version=2)
    cache.clear()
    assert names(bystander) == neighbours


@pytest.mark.parametrize("function", [hashed, only_the_key, key_first])
def test_clear__refuses_where_it_would_take_others(
    open_cache: OpenCache, bystander: redis.Redis, function: Any
) -> None:
    cache = open_cache(KEY_FUNCTION=function)
    cache.set("k", 1)
    with pytest.raises(ImproperlyConfigured, match=r"clear\(\) cannot tell this cache's keys.*KEY_FUNCTION"):
        cache.clear()
    assert len(names(bystander)) == 1
