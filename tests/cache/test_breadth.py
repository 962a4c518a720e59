"""Every public method of django-redis' cache and client is there, and says what it says there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django_redis.cache import RedisCache  # type: ignore[import-untyped]
from django_redis.client import DefaultClient  # type: ignore[import-untyped]

from tests.cache.conftest import OpenCache
from tests.cache.test_failures import CALLS, COLLECTION_CALLS
from tests.servers import Server

pytestmark = pytest.mark.matrix

ARGUMENTS = {
    **{name: arguments for name, (arguments, _) in {**CALLS, **COLLECTION_CALLS}.items()},
    "close": (),
    "connect": (),
    "decode": (b"1",),
    "disconnect": (),
    "do_close_clients": (),
    "encode": (1,),
    "get_backend_timeout": (10,),
    "get_client": (),
    "get_client_with_index": (),
    "get_next_client_index": (),
    "lock": ("l",),
    "make_and_validate_key": ("k",),
    "make_key": ("k",),
    "make_pattern": ("k*",),
    "reverse_key": ("shop:1:k",),
    "validate_key": ("k",),
}
BUILT_IN = (bool, int, float, bytes, tuple, list, set, dict, type)
RANDOM = {"spop", "srandmember"}
WITHOUT_TWIN = {"get_backend_timeout", "lock", "make_and_validate_key", "make_key", "validate_key"}
# Django's own caches return something else than django-redis, or it says what differs from one call to the next, or
# how values are written.
DIFFERENT = {"delete_many", "encode", "get_backend_timeout", "get_client_with_index", "pttl", "set_many", "touch"}
OF_THE_CACHE = {
    *(name for name in dir(RedisCache) if name[0] != "_" and callable(getattr(RedisCache, name))),
} - {"client"}
SYNCHRONOUS = sorted(
    name for name in OF_THE_CACHE if name == "add" or name.removeprefix("a") not in OF_THE_CACHE - {name}
)
OF_THE_CLIENT = [name for name in dir(DefaultClient) if name[0] != "_" and callable(getattr(DefaultClient, name))]


@pytest.fixture
def theirs(upstash: dict[str, Any], valkey: Server) -> Iterator[RedisCache]:
    """django-redis' cache on the same server."""
    cache = RedisCache(valkey.url, {"KEY_PREFIX": "theirs"})
    fill(cache)
    yield cache
    cache.client.do_close_clients()


def fill(cache: Any) -> None:
    cache.set_many({"k": 1, "other": 2})
    cache.sadd("s", "m", "n")
    cache.sadd("t", "m")
    cache.hset("h", "field", 1)
    cache.zadd("z", {"m": 1, "n": 2})


def outcome(owner: Any, name: str) -> Any:
    try:
        found = getattr(owner, name)(*ARGUMENTS[name])
    except ValueError:
        return ValueError
    found = list(found) if isinstance(found, Iterator) else found
    if isinstance(found, str):
        return found.replace("theirs", "shop")
    if isinstance(found, list | set) and all(isinstance(item, str) for item in found):
        return type(found), sorted(found)
    return found if found is None or isinstance(found, BUILT_IN) else True


def assert_equal(name: str, ours: Any, theirs: Any) -> None:
    found, expected = outcome(ours, name), outcome(theirs, name)
    if name in RANDOM:
        found, expected = len(found), len(expected)
    if name not in DIFFERENT:
        assert found == expected


@pytest.mark.default_cases(131)
@pytest.mark.parametrize("name", SYNCHRONOUS)
def test_cache__has_every_method(open_cache: OpenCache, theirs: RedisCache, name: str) -> None:
    ours = open_cache(KEY_PREFIX="shop")
    fill(ours)
    assert_equal(name, ours, theirs)


@pytest.mark.parametrize("name", OF_THE_CLIENT)
def test_client__has_every_method(make_cache: OpenCache, route: str, theirs: RedisCache, name: str) -> None:
    ours = make_cache(route, KEY_PREFIX="shop")
    fill(ours)
    assert_equal(name, ours.client, theirs.client)


@pytest.mark.parametrize("name", SYNCHRONOUS)
def test_cache__every_method_that_asks_the_server_has_a_twin(make_cache: OpenCache, name: str) -> None:
    if name not in WITHOUT_TWIN:
        assert callable(getattr(make_cache("native"), f"a{name}"))
