"""Counting and versions, as Django has them, on each route, both ways of calling them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix


def test_incr(cache: Any) -> None:
    cache.set("n", 41)
    assert cache.incr("n") == 42
    assert cache.incr("n", 10) == 52
    assert cache.incr("n", -100) == -48
    assert cache.get("n") == -48
    assert type(cache.get("n")) is int


def test_decr(cache: Any) -> None:
    cache.set("n", 43)
    assert cache.decr("n") == 42
    assert cache.decr("n", 10) == 32
    assert cache.decr("n", -10) == 42


@pytest.mark.parametrize("method", ["incr", "decr", "incr_version", "decr_version"])
def test_counting__missing_key(cache: Any, method: str) -> None:
    with pytest.raises(ValueError, match="Key 'nothing' not found"):
        getattr(cache, method)("nothing")
    assert cache.has_key("nothing") is False


def test_incr__keeps_the_expiry(cache: Any) -> None:
    for value in (1, 1.5, 2**70):
        cache.set("n", value, 100)
        cache.incr("n")
        assert 0 < cache.ttl("n") <= 100
        cache.set("n", value, None)
        cache.incr("n")
        assert cache.ttl("n") is None


@pytest.mark.parametrize(
    ("value", "delta", "total"),
    [
        (1.5, 1, 2.5),
        (1, 0.5, 1.5),
        (2**63 - 1, 1, 2**63),
        (-(2**63), -1, -(2**63) - 1),
        (2**70, -(2**70), 0),
        (1, 2**70, 2**70 + 1),
        ("a", "b", "ab"),
        (1, True, 2),
    ],
)
def test_incr__what_is_no_64_bit_integer(cache: Any, value: Any, delta: Any, total: Any) -> None:
    cache.set("n", value)
    assert cache.incr("n", delta) == total
    assert cache.get("n") == total
    assert type(cache.get("n")) is type(total)


def test_incr__of_what_cannot_be_added_to(cache: Any) -> None:
    cache.set("none", None)
    for method in ("incr", "decr"):
        with pytest.raises(TypeError):
            getattr(cache, method)("none")
    assert cache.get("none", "default") is None


def test_version__separates_values(open_cache: OpenCache) -> None:
    first, second = open_cache(), open_cache(VERSION=2)
    first.set("a", [37])
    second.set("a", [42])
    assert (first.get("a"), first.get("a", version=2), second.get("a"), second.get("a", version=1)) == (
        *([37], [42]),
        *([42], [37]),
    )
    assert first.add("b", 1, version=2) is True
    assert second.add("b", 2) is False
    assert (first.has_key("b"), first.has_key("b", version=2)) == (False, True)
    assert first.incr("b", version=2) == 2
    assert second.decr("b") == 1
    assert first.delete("a", version=2) is True
    assert (first.get("a"), second.get("a")) == ([37], None)


def test_version__of_many(open_cache: OpenCache) -> None:
    first, second = open_cache(), open_cache(VERSION=2)
    first.set_many({"a": "A", "b": 2}, version=2)
    assert first.get_many(["a", "b"]) == {}
    assert second.get_many(["a", "b"]) == first.get_many(["a", "b"], version=2) == {"a": "A", "b": 2}
    first.delete_many(["a"], version=2)
    assert second.get_many(["a", "b"]) == {"b": 2}
    assert first.touch("b", 10) is False
    assert first.touch("b", 10, version=2) is True


@pytest.mark.parametrize("value", [42, None, ["signed"], 2**70])
def test_incr_version__moves_the_value(cache: Any, value: Any) -> None:
    cache.set("a", value, 100, version=2)
    assert cache.incr_version("a", version=2) == 3
    assert cache.has_key("a", version=2) is False
    assert cache.get("a", "default", version=3) == value
    assert cache.decr_version("a", 2, version=3) == 1
    assert cache.get("a", "default") == value
    assert cache.ttl("a") in range(91, 101)
