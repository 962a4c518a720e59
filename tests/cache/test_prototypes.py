"""Caches of equal settings share what they make of them, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import caches

from django_upstash.cache import UpstashCache
from django_upstash.connections import connections

OpenCache = Callable[..., Any]
SHARED = ("keyspace", "runner", "options", "connection")


class Pickles:
    """A serializer of a project's own, which may keep state."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.seen: list[Any] = []

    def dumps(self, value: Any) -> bytes:
        self.seen.append(value)
        return b'"text"'

    def loads(self, value: bytes) -> Any:
        return "text"


class OwnCache(UpstashCache):
    """A cache of a project's own."""


def parts(cache: Any) -> list[Any]:
    cache.get("k")
    return [getattr(cache, name) for name in SHARED]


def python_calls(function: Callable[[], object]) -> int:
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def test_equal_settings__share(make_cache: OpenCache, route: str) -> None:
    first, second = (parts(make_cache(route, KEY_PREFIX="shop", OPTIONS={"NEAR_CACHE": {"TTL": 2}})) for _ in range(2))
    assert all(ours is theirs for ours, theirs in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "others",
    [
        {"KEY_PREFIX": "other"},
        {"VERSION": True},
        {"TIMEOUT": 1},
        {"KEY_FUNCTION": lambda key, prefix, version: f"{prefix}:{version}:{key}"},
        {"OPTIONS": {"TAGS": True}},
        {"OPTIONS": {"NEAR_CACHE": {"TTL": 1}}},
    ],
    ids=lambda others: next(iter(others)),
)
def test_other_settings__share_no_keyspace(make_cache: OpenCache, route: str, others: dict[str, Any]) -> None:
    assert make_cache(route).keyspace is not make_cache(route, **others).keyspace


@pytest.mark.parametrize("options", [{"SERIALIZER": Pickles}, {"SERIALIZER": f"{__name__}.Pickles"}])
def test_serializer_of_a_projects_own__is_made_for_each_cache(make_cache: OpenCache, options: dict[str, Any]) -> None:
    first, second = (make_cache("native", OPTIONS=options) for _ in range(2))
    assert first.keyspace is not second.keyspace
    assert first.connection is second.connection


def test_subclass__shares_nothing(make_cache: OpenCache) -> None:
    make_cache("native")
    assert OwnCache("native", {}).keyspace is not OwnCache("native", {}).keyspace


@pytest.mark.parametrize("name", ["key_prefix", "version"])
def test_attribute_that_changes__changes_one_cache(make_cache: OpenCache, route: str, name: str) -> None:
    first, second = make_cache(route), make_cache(route)
    parts(first)
    setattr(first, name, "7")
    first.set("k", 1)
    assert [first.get("k"), second.get("k"), make_cache(route).get("k")] == [1, None, None]
    assert second.keyspace is make_cache(route).keyspace


def test_settings_that_change__are_read_again(upstash: Any, settings: Any) -> None:
    def key(prefix: str) -> Any:
        settings.CACHES = {
            "default": {
                "BACKEND": "django_upstash.cache.UpstashCache",
                "LOCATION": "native",
                "KEY_PREFIX": prefix,
            }
        }
        return parts(caches.create_connection("default"))[0].name("k")[0]

    assert [key("a"), key("b"), key("a")] == ["a:1:k", "b:1:k", "a:1:k"]


def test_closed_connections__are_not_shared_any_more(make_cache: OpenCache, route: str) -> None:
    before = make_cache(route).connection
    connections.close_all()
    assert make_cache(route).connection is connections[route] is not before


def test_cache_made_for_a_request__costs_little_more_than_its_get(make_cache: OpenCache, route: str) -> None:
    warm = make_cache(route)
    for _ in range(3):
        parts(make_cache(route))
    of_get = python_calls(lambda: warm.get("k"))
    assert python_calls(lambda: make_cache(route).get("k")) <= of_get + 20
