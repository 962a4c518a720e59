"""How long values live, as Django has it, on each route, both ways of calling it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix

SHORT = 0.05


def test_expiry__of_set_add_and_set_many(cache: Any) -> None:
    cache.set("a", 1, SHORT)
    cache.add("b", 1, SHORT)
    cache.set_many({"c": 1, "d": 1}, SHORT)
    assert cache.get_many("abcd") == dict.fromkeys("abcd", 1)
    time.sleep(2 * SHORT)
    assert cache.get_many("abcd") == {}
    assert cache.add("a", "new") is True


@pytest.mark.parametrize("timeout", [0, -1, -0.5, float("-inf")])
def test_expiry__zero_or_less_stores_nothing(cache: Any, timeout: float) -> None:
    cache.set("there", 1)
    cache.set("there", 2, timeout)
    assert cache.get("there") is None
    assert cache.add("absent", 1, timeout) is True
    assert cache.get("absent") is None
    cache.set("there", 1)
    assert cache.add("there", 2, timeout) is False
    assert cache.get("there") == 1
    assert cache.set_many({"there": 2, "absent": 2}, timeout) == []
    assert cache.get_many(["there", "absent"]) == {}
    cache.set("there", 1)
    assert cache.touch("there", timeout) is True
    assert cache.get("there") is None
    assert cache.touch("there", timeout) is False


def test_expiry__default_timeout(open_cache: OpenCache) -> None:
    cache = open_cache()
    cache.set("a", 1)
    cache.add("b", 1)
    cache.set_many({"c": 1})
    assert {cache.ttl(key) for key in "abc"} <= {*range(295, 301)}  # a loaded machine takes its time
    assert cache.touch("a", 10) is True
    assert 5 < cache.ttl("a") <= 10
    assert cache.touch("a") is True
    assert 295 <= cache.ttl("a") <= 300


@pytest.mark.parametrize("timeout", [None, 0, 60])
def test_expiry__default_timeout_of_the_cache(open_cache: OpenCache, timeout: int | None) -> None:
    cache = open_cache(TIMEOUT=timeout)
    cache.set("a", 1)
    assert cache.ttl("a") in ([*range(55, 61)] if timeout else [timeout])


def test_expiry__none_is_forever(cache: Any) -> None:
    cache.set("a", 1, None)
    assert cache.ttl("a") is None
    assert cache.add("b", 1, None) is True
    assert cache.ttl("b") is None
    cache.set("c", 1, 10)
    assert cache.touch("c", None) is True
    assert cache.ttl("c") is None
    # There is a key, though no expiry is left to remove.
    assert cache.touch("c", None) is True
    assert cache.touch("nothing", None) is False


@pytest.mark.parametrize("timeout", [100.2, 60 * 60 * 24 * 30 + 1, 10**30, float("inf"), True])
def test_expiry__unusual_numbers(cache: Any, timeout: float) -> None:
    cache.set("a", 1, timeout)
    cache.add("b", 1, timeout)
    cache.set_many({"c": 1, "d": 1}, timeout)
    assert cache.get_many("abcd") == dict.fromkeys("abcd", 1)
    assert cache.touch("a", timeout) is True
    assert cache.ttl("a") > 0


@pytest.mark.parametrize(("timeout", "error"), [(float("nan"), ValueError), ("60", TypeError), (1j, TypeError)])
def test_expiry__no_number(cache: Any, timeout: Any, error: type[Exception]) -> None:
    for method, arguments in {"set": ("k", 1), "add": ("k", 1), "touch": ("k",), "set_many": ({"k": 1},)}.items():
        with pytest.raises(error, match="A timeout must be a number"):
            getattr(cache, method)(*arguments, timeout)


def test_touch__of_something_that_is_no_value(cache: Any) -> None:
    cache.sadd("set", "member")
    assert cache.touch("set", None) is True
    assert cache.touch("set", 100) is True
    assert cache.touch("set", None) is True
    assert cache.ttl("set") is None
