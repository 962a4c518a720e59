"""Tags: what is invalidated is missing to every method, on each route, whoever computed it when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured

from django_upstash.cache.single_flight import flights
from django_upstash.exceptions import DataError
from tests.cache.conftest import OpenCache
from tests.cache.test_budget import Counting, counting
from tests.servers import Server

pytestmark = pytest.mark.matrix

__all__ = ["counting"]

ODD_TAGS = ["news", "a b\n,=:", "é\x00", "x" * 10_000, "~e1:"]


@pytest.fixture
def cache(open_cache: OpenCache) -> Any:
    return open_cache(KEY_PREFIX="shop", OPTIONS={"TAGS": True})


def records(bystander: redis.Redis) -> list[bytes]:
    found: Any = bystander.keys("shop:-0:~tag:*")
    return list(found)


def tag_with_set(cache: Any) -> None:
    cache.set("k", 5, tags=["news"])


def tag_with_set_many(cache: Any) -> None:
    assert cache.set_many({"k": 5, "l": ["v"]}, tags=["news", "sport"]) == []


def tag_with_add(cache: Any) -> None:
    assert cache.add("k", 5, tags=["news", "sport"]) is True


def tag_with_get_or_set(cache: Any) -> None:
    assert cache.get_or_set("k", lambda: 5, tags=["news"]) == 5


ways = pytest.mark.parametrize("tag", [tag_with_set, tag_with_set_many, tag_with_add, tag_with_get_or_set])


@ways
def test_valid__is_there(cache: Any, tag: Callable[[Any], None]) -> None:
    tag(cache)
    assert cache.get("k") == 5
    assert cache.get_many(["k", "nothing"]) == {"k": 5}
    assert cache.has_key("k")
    assert "k" in cache
    assert cache.add("k", "other") is False
    assert cache.set("k", "other", nx=True) is False
    assert cache.incr("k") == 6
    assert cache.touch("k", 50) is True
    assert cache.ttl("k") in range(41, 51)
    assert cache.touch("k", None) is True
    assert cache.ttl("k") is None
    assert cache.expire("k", 60) is True
    assert cache.persist("k") is True
    assert cache.incr_version("k") == 2
    assert cache.get("k", version=2) == 6
    assert cache.get_or_set("k", "other", version=2) == 6
    assert cache.delete("k", version=2) is True


@pytest.mark.default_cases(151)
@pytest.mark.parametrize("loss", ["invalidated", "evicted"])
@ways
@pytest.mark.parametrize(
    ("method", "arguments", "result"),
    [
        ("get", ("k", "missing"), "missing"),
        ("get_many", (["k"],), {}),
        ("has_key", ("k",), False),
        ("__contains__", ("k",), False),
        ("add", ("k", "new"), True),
        ("get_or_set", ("k", "new"), "new"),
        ("touch", ("k",), False),
        ("touch", ("k", None), False),
        ("touch", ("k", 0), False),
        ("ttl", ("k",), 0),
        ("pttl", ("k",), 0),
        ("expire", ("k", 5), False),
        ("expire_at", ("k", 5), False),
        ("persist", ("k",), False),
        ("delete", ("k",), False),
        ("incr", ("k",), ValueError),
        ("decr", ("k",), ValueError),
        ("incr_version", ("k",), ValueError),
        ("decr_version", ("k",), ValueError),
    ],
)
def test_invalidated__is_missing(
    cache: Any,
    bystander: redis.Redis,
    tag: Callable[[Any], None],
    loss: str,
    method: str,
    arguments: tuple[Any, ...],
    result: Any,
) -> None:
    tag(cache)
    if loss == "invalidated":
        cache.invalidate_tags("news")
    else:
        bystander.delete(*records(bystander))
    if result is ValueError:
        with pytest.raises(ValueError, match="not found"):
            getattr(cache, method)(*arguments)
    else:
        assert getattr(cache, method)(*arguments) == result
    if result in ("new", True):
        assert cache.get("k") == "new"


@pytest.mark.parametrize("condition", [{"nx": True}, {"xx": True}])
def test_set__conditions(cache: Any, condition: dict[str, bool]) -> None:
    cache.set("k", "old", tags=["news"])
    assert cache.set("k", "newer", **condition) is ("xx" in condition)
    cache.set("k", "old", tags=["news"])
    cache.invalidate_tags("news")
    assert cache.set("k", "new", tags=["news"], **condition) is ("nx" in condition)
    assert cache.get("k") == ("new" if "nx" in condition else None)


def test_incr__begins_where_the_value_is_invalidated(cache: Any) -> None:
    cache.set("n", 5, tags=["news"])
    cache.invalidate_tags("news")
    assert cache.incr("n", 2, ignore_key_check=True) == 2
    assert cache.incr("n", 2, ignore_key_check=True) == 4


def test_incr__keeps_the_tags(cache: Any) -> None:
    cache.set("n", 5, 50, tags=["news"])
    assert cache.incr("n") == 6
    assert cache.ttl("n") in range(41, 51)
    cache.invalidate_tags("news")
    assert cache.get("n") is None


def test_tags__any_of_them_invalidates(cache: Any) -> None:
    for index, tag in enumerate(ODD_TAGS):
        cache.set("k", index, tags=ODD_TAGS)
        cache.set("l", index, tags=[tag])
        cache.invalidate_tags(*(other for other in ODD_TAGS if other != tag))
        assert (cache.get("k"), cache.get("l")) == (None, index)
        cache.invalidate_tags(tag)
        assert cache.get("l") is None


def test_tags__reach_every_version_and_survive_a_new_value_without(cache: Any) -> None:
    cache.set("k", 1, tags=["news"], version=7)
    cache.invalidate_tags("news")
    assert cache.get("k", version=7) is None
    cache.set("k", 1, tags=["news"])
    cache.set("k", 2)
    cache.invalidate_tags("news")
    assert cache.get("k") == 2


def test_tags__of_another_prefix_are_others(open_cache: OpenCache, cache: Any) -> None:
    other = open_cache(KEY_PREFIX="shop:eu", OPTIONS={"TAGS": True})
    cache.set("k", 1, tags=["news"])
    other.invalidate_tags("news")
    assert cache.get("k") == 1


def test_set__takes_the_versions_before_it_stores(cache: Any) -> None:
    cache.set("k", "old", tags=["news"])
    cache.invalidate_tags("news")
    cache.set("k", "new", tags=["news"])
    assert cache.get("k") == "new"


def test_computed_before_and_stored_after__does_not_revive(cache: Any) -> None:
    plain = getattr(cache, "cache", cache)

    def default() -> str:
        plain.invalidate_tags("news")
        return "old"

    assert cache.get_or_set("k", default, tags=["news"]) == "old"
    assert cache.get("k") is None
    assert cache.get_or_set("k", lambda: "new", tags=["news"]) == "new"
    assert cache.get("k") == "new"


def test_joined_after_the_invalidation__is_computed_anew(cache: Any) -> None:
    plain = getattr(cache, "cache", cache)
    began, let_go = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        assert let_go.wait(20)
        return "old"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(plain.get_or_set, "k", slow, tags=["news"])
        assert began.wait(20)
        plain.invalidate_tags("news")
        second = pool.submit(plain.get_or_set, "k", lambda: "new", tags=["news"])
        flight = flights._flights[plain.connection, "shop:1:k"]
        while not flight.waiting:
            time.sleep(0.001)
        let_go.set()
        assert (first.result(20), second.result(20)) == ("old", "new")
    assert cache.get("k") == "new"


def test_grace__does_not_serve_what_was_invalidated(cache: Any, bystander: redis.Redis) -> None:
    def failing() -> None:
        raise LookupError

    cache.get_or_set("k", "old", timeout=0.01, grace=60, tags=["news"])
    while cache.has_key("k"):
        time.sleep(0.002)
    assert cache.get_or_set("k", failing, grace=60, tags=["news"]) == "old"
    cache.invalidate_tags("news")
    with pytest.raises(LookupError):
        cache.get_or_set("k", failing, grace=60, tags=["news"])


def test_collections__are_not_touched(cache: Any) -> None:
    plain = getattr(cache, "cache", cache)
    plain.sadd("s", "member")
    assert cache.has_key("s")
    assert cache.expire("s", 50) is True
    assert cache.delete("s") is True


def test_clear__takes_the_records_and_delete_pattern_does_not(cache: Any, bystander: redis.Redis) -> None:
    cache.set_many({"k": 1, "l": 2}, tags=["news"])
    assert cache.keys("*") in (["k", "l"], ["l", "k"])
    assert cache.delete_pattern("k*") == 1
    assert cache.get("l") == 2
    cache.clear()
    assert bystander.keys("*") == []


def test_values_of_a_cache_without_tags(open_cache: OpenCache, cache: Any) -> None:
    plain = open_cache(KEY_PREFIX="shop")
    cache.set_many({"k": 5, "l": 6}, tags=["news"])
    assert (plain.get("k"), plain.get_many(["k", "l"]), plain.incr("k")) == (5, {"k": 5, "l": 6}, 6)
    cache.invalidate_tags("news")
    assert (plain.get("k"), plain.get_many(["k", "l"])) == (None, {})
    with pytest.raises(ImproperlyConfigured, match=r'OPTIONS\["TAGS"\] = True'):
        plain.set("k", 1, tags=["news"])
    with pytest.raises(ImproperlyConfigured, match=r'OPTIONS\["TAGS"\] = True'):
        plain.invalidate_tags("news")


@pytest.mark.parametrize(
    ("tags", "error", "text"),
    [
        ("news", TypeError, "list or tuple"),
        ([1], TypeError, "must be text"),
        ([""], ValueError, "must not be empty"),
        (["\udc80"], DataError, "lone surrogate"),
        ([str(number) for number in range(65)], ValueError, "up to 64"),
    ],
)
def test_tags__mistakes(cache: Any, tags: Any, error: type[Exception], text: str) -> None:
    for store in (cache.set, cache.add, cache.get_or_set):
        with pytest.raises(error, match=text):
            store("k", 1, tags=tags)
    with pytest.raises(error, match=text):
        cache.set_many({"k": 1}, tags=tags)


def test_tags__as_many_as_there_may_be(cache: Any) -> None:
    tags = [str(number) for number in range(64)]
    cache.set("k", 1, tags=iter(tags))
    assert cache.has_key("k")
    cache.invalidate_tags("63")
    assert cache.get("k") is None
    assert not cache.has_key("k")


@pytest.fixture
def tagged(open_cache: OpenCache) -> Any:
    """A cache that has run every script, with values: k carries two tags, u none, and stale is invalidated."""
    cache = open_cache(KEY_PREFIX="shop", OPTIONS={"TAGS": True})
    cache.set("stale", 1, tags=["old"])
    cache.invalidate_tags("old")
    cache.set_many({f"k{number}": number for number in range(10)}, tags=["news", "sport"])
    cache.set("k", ["v"], tags=["news", "sport"])
    cache.set("n", 1, tags=["news"])
    cache.set("u", 1)
    cache.incr("n")
    cache.has_key("u")
    return cache


@pytest.mark.parametrize("route", ["native", "rest"])
@pytest.mark.parametrize(
    ("method", "arguments", "options", "cost"),
    [
        ("get", ("u",), {}, (1, 1)),
        ("get", ("k",), {}, (2, 2)),
        ("get", ("stale",), {}, (2, 2)),
        ("get_many", ([f"k{number}" for number in range(10)],), {}, (2, 2)),
        ("get_or_set", ("u", 1), {}, (1, 1)),
        ("get_or_set", ("k", 1), {}, (2, 2)),
        ("get_or_set", ("k", 1), {"tags": ["news", "sport"]}, (1, 2)),
        ("get_or_set", ("new", 1), {"tags": ["news", "sport"]}, (2, 3)),
        ("set", ("u", 1), {}, (1, 1)),
        ("set", ("k", 1), {"tags": ["news", "sport"]}, (2, 2)),
        ("set_many", ({"k": 1, "l": 2},), {"tags": ["news"]}, (2, 2)),
        ("has_key", ("u",), {}, (1, 3)),
        ("has_key", ("k",), {}, (2, 6)),
        ("add", ("new", 1), {}, (1, 3)),
        ("incr", ("u",), {}, (1, 3)),
        ("invalidate_tags", ("news",), {}, (1, 1)),
        ("invalidate_tags", ("news", "sport"), {}, (1, 1)),
        ("invalidate_tags", (), {}, (0, 0)),
    ],
)
def test_budget(
    tagged: Any, counting: Counting, method: str, arguments: tuple[Any, ...], options: dict[str, Any], cost: Any
) -> None:
    with counting(tagged) as counted:
        getattr(tagged, method)(*arguments, **options)
    assert counted == cost


@pytest.mark.parametrize("route", ["native"])
def test_budget__invalidating_is_one_command_however_many_carry_the_tag(tagged: Any, valkey: Server) -> None:
    tagged.set_many({f"many{number}": number for number in range(2000)}, tags=["many"])
    with valkey.counting() as counted:
        tagged.invalidate_tags("many")
    assert counted.commands == 1
    assert tagged.get_many([f"many{number}" for number in range(2000)]) == {}
