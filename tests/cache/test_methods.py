"""The methods are written out, and a subclass may end each of its own in the client's of the same name."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache
from django_redis.cache import RedisCache  # type: ignore[import-untyped]
from django_redis.client import DefaultClient  # type: ignore[import-untyped]

import django_upstash
from django_upstash.cache import UpstashCache
from django_upstash.cache.client import UpstashClient
from tests.cache.test_failures import COLLECTION_CALLS

PACKAGE = Path(django_upstash.__file__).parent
# What each is called with, on a cache with "k" → 1, and what it returns.
CALLS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "add": (("k", 2), False),
    "clear": ((), None),
    "decr": (("k",), 0),
    "delete": (("k",), True),
    "delete_many": ((["k"],), 1),
    "delete_pattern": (("*",), 1),
    "expire": (("k", 60), True),
    "expire_at": (("k", 4102444800), True),
    "get": (("k",), 1),
    "get_many": ((["k"],), {"k": 1}),
    "has_key": (("k",), True),
    "incr": (("k",), 2),
    "incr_version": (("k",), 2),
    "keys": (("*",), ["k"]),
    "persist": (("k",), True),
    "pexpire": (("k", 60_000), True),
    "pexpire_at": (("k", 4102444800000), True),
    "pttl": (("missing",), 0),
    "set": (("k", 3), True),
    "set_many": (({"k": 3},), []),
    "touch": (("k",), True),
    "ttl": (("missing",), 0),
}


class OverDjangoRedis(RedisCache):  # type: ignore[misc]
    """As packages for monitoring are written: over django-redis, whose client does the work."""

    seen: list[str]


def _ending_in_the_client(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(name)
        return getattr(self.client, name)(*args, **kwargs)

    return method


for _name in (*CALLS, "iter_keys", *COLLECTION_CALLS):
    setattr(OverDjangoRedis, _name, _ending_in_the_client(_name))


class Monitored(OverDjangoRedis, UpstashCache):
    pass


@pytest.fixture
def monitored(route: str, upstash: Any) -> Monitored:
    cache = Monitored(route, {"KEY_PREFIX": "monitored"})
    cache.seen = []
    return cache


def read(found: Any) -> Any:
    return list(found) if isinstance(found, Iterator) else found


def results(cache: UpstashCache, call: Callable[[str, tuple[Any, ...]], Any]) -> dict[str, Any]:
    """Return what each method of ``CALLS`` returns, with nothing but "k" → 1 in the cache."""
    found = {}
    for name, (arguments, _) in CALLS.items():
        UpstashCache.clear(cache)
        UpstashCache.set(cache, "k", 1)
        found[name] = call(name, arguments)
    return found


EXPECTED = {name: expected for name, (_, expected) in CALLS.items()}


def test_subclass__ends_in_the_client(monitored: Monitored) -> None:
    assert results(monitored, lambda name, arguments: getattr(monitored, name)(*arguments)) == EXPECTED
    assert monitored.seen == list(CALLS)


def test_subclass__is_not_asked_by_the_asynchronous_methods(monitored: Monitored) -> None:
    with asyncio.Runner() as runner:
        found = results(monitored, lambda name, arguments: runner.run(getattr(monitored, f"a{name}")(*arguments)))
    assert found == EXPECTED
    assert monitored.seen == []


def test_subclass__iterates_over_the_client(monitored: Monitored) -> None:
    UpstashCache.set(monitored, "k", 1)
    assert list(monitored.iter_keys("*")) == ["k"]
    assert monitored.seen == ["iter_keys"]


def test_subclass__ends_in_the_client_for_members(
    monitored: Monitored, make_cache: Callable[..., UpstashCache], route: str
) -> None:
    plain = make_cache(route, KEY_PREFIX="plain")
    for name, (arguments, _) in COLLECTION_CALLS.items():
        assert read(getattr(monitored, name)(*arguments)) == read(getattr(plain, name)(*arguments)), name
    assert monitored.seen == list(COLLECTION_CALLS)


def test_subclass__awaits_what_ends_in_the_client(
    monitored: Monitored, make_cache: Callable[..., UpstashCache], route: str
) -> None:
    plain = make_cache(route, KEY_PREFIX="plain")
    with asyncio.Runner() as runner:
        for name, (arguments, _) in COLLECTION_CALLS.items():
            if name != "sscan_iter":
                found = runner.run(getattr(monitored, f"a{name}")(*arguments))
                assert found == getattr(plain, name)(*arguments), name


def own_methods(owner: type, base: type) -> dict[str, Any]:
    """Return the public functions of a class that are not those of the foreign base."""
    return {
        name: found
        for name, found in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and found is not getattr(base, name, None)
    }


METHODS = [
    *own_methods(UpstashCache, RedisCache).items(),
    *own_methods(UpstashClient, DefaultClient).items(),
]


def test_methods__are_written_out() -> None:
    """Tracebacks and profiles show the code's own name; signatures are those users see."""
    for name, method in METHODS:
        if method is not getattr(BaseCache, name, None):
            assert method.__code__.co_name == method.__name__ == name
            assert method.__qualname__.endswith(f".{name}")
            assert not hasattr(method, "__wrapped__")
            assert list(inspect.signature(method).parameters)[1:3] != ["args", "kwargs"]
            assert Path(method.__code__.co_filename).is_relative_to(PACKAGE)


def test_methods__have_an_asynchronous_version_each() -> None:
    names = own_methods(UpstashCache, RedisCache)
    members = {name for name in {*CALLS, *COLLECTION_CALLS} if name != "sscan_iter"}
    assert {name for name in members if not inspect.iscoroutinefunction(names.get(f"a{name}"))} == set()
    for name in members:
        ours, awaited = (inspect.signature(names[one]) for one in (name, f"a{name}"))
        assert ours == awaited


def test_methods__are_not_set_in_loops() -> None:
    loops = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.For) and "setattr(" in ast.unparse(node)
    ]
    assert loops == []


def test_aclose__takes_no_thread(make_cache: Callable[..., UpstashCache], route: str) -> None:
    closing = make_cache(route).aclose()
    with pytest.raises(StopIteration):  # it never waits, so it needs no loop either
        closing.send(None)
