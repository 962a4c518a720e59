"""Sizes: what is too large is refused, told or skipped; what is long is compressed, and digested as a key."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured

from django_upstash.exceptions import OversizedValueError
from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix

LARGE = "x" * 2000
LONG_KEY = "articles-" + "é" * 200
ZLIB = "django_redis.compressors.zlib.ZlibCompressor"


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def limited(open_cache: OpenCache, on_oversize: str, **options: Any) -> Any:
    return open_cache(KEY_PREFIX="shop", OPTIONS={"MAX_VALUE_SIZE": 1000, "ON_OVERSIZE": on_oversize, **options})


@pytest.mark.parametrize("options", [{}, {"IGNORE_EXCEPTIONS": True}])
def test_refuse__says_how_large_it_is(open_cache: OpenCache, options: dict[str, Any]) -> None:
    cache = limited(open_cache, "refuse", **options)
    cache.set("k", "old")
    asked = cache.connection.meter.requests
    for method, arguments in (("set", ("k", LARGE)), ("add", ("new", LARGE)), ("set_many", ({"l": 1, "k": LARGE},))):
        with pytest.raises(ValueError, match=r"'shop:1:\w+' takes 20\d\d bytes, and MAX_VALUE_SIZE is 1000") as caught:
            getattr(cache, method)(*arguments)
        assert isinstance(caught.value, OversizedValueError)
        assert "xxx" not in str(caught.value)
    assert cache.connection.meter.requests == asked
    assert cache.get_many(["k", "l", "new"]) == {"k": "old"}
    with pytest.raises(OversizedValueError):
        cache.get_or_set("new", LARGE)


def test_warn__stores_and_says_so(open_cache: OpenCache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "django_upstash.cache")
    cache = limited(open_cache, "warn")
    assert cache.set("k", LARGE) is True
    assert cache.get("k") == LARGE
    (said,) = [record.getMessage() for record in caplog.records]
    assert "it is stored" in said
    assert "xxx" not in said


def test_skip__leaves_nothing_older(open_cache: OpenCache, caplog: pytest.LogCaptureFixture) -> None:
    cache = limited(open_cache, "skip")
    cache.set_many({"k": "old", "l": "old", "m": "old"})
    assert cache.set("k", LARGE) is False
    assert cache.set_many({"l": LARGE, "n": 1}) == ["l"]
    assert cache.add("m", LARGE) is False
    assert cache.add("new", LARGE) is False
    assert cache.get_or_set("computed", lambda: LARGE) == LARGE
    assert cache.get_many(["k", "l", "m", "n", "new", "computed"]) == {"m": "old", "n": 1}
    assert "it is not stored" in caplog.text


def test_skip__with_tags(open_cache: OpenCache) -> None:
    cache = limited(open_cache, "skip", TAGS=True)
    cache.set("k", "old", tags=["t"])
    assert cache.set("k", LARGE, tags=["t"]) is False
    assert cache.get_or_set("l", lambda: LARGE, grace=5, tags=["t"]) == LARGE
    assert cache.get_many(["k", "l"]) == {}


def test_size__is_that_of_what_is_stored(open_cache: OpenCache) -> None:
    cache = limited(open_cache, "refuse", COMPRESSOR=ZLIB)
    cache.set("k", LARGE)
    assert cache.get("k") == LARGE


@pytest.mark.parametrize("sign", [True, False])
def test_compress_from__leaves_smaller_values_as_they_are(
    open_cache: OpenCache, bystander: redis.Redis, sign: bool
) -> None:
    cache = open_cache(KEY_PREFIX="shop", OPTIONS={"COMPRESSOR": ZLIB, "COMPRESS_FROM": 500, "SIGN": sign})
    cache.set_many({"small": "x" * 400, "large": LARGE})
    assert bystander.strlen("shop:1:small") > 400
    assert bystander.strlen("shop:1:large") < 100
    assert cache.get_many(["small", "large"]) == {"small": "x" * 400, "large": LARGE}
    later = open_cache(KEY_PREFIX="shop", OPTIONS={"COMPRESSOR": ZLIB, "SIGN": sign})
    assert later.get_many(["small", "large"]) == {"small": "x" * 400, "large": LARGE}


@pytest.fixture
def short(open_cache: OpenCache) -> Any:
    return open_cache(KEY_PREFIX="shop", OPTIONS={"MAX_KEY_LENGTH": 64})


def test_long_key__is_its_beginning_and_a_digest(short: Any, bystander: redis.Redis) -> None:
    short.set(LONG_KEY, "v")
    short.set_many({LONG_KEY + "2": 2, "short": 3})
    assert (short.get(LONG_KEY), LONG_KEY in short, short.ttl(LONG_KEY)) == ("v", True, 300)
    assert short.get_many([LONG_KEY, LONG_KEY + "2", LONG_KEY + "3", "short"]) == {
        LONG_KEY: "v",
        LONG_KEY + "2": 2,
        "short": 3,
    }
    assert short.incr(LONG_KEY + "2") == 3
    stored = [str(key, "utf-8") for key in cast("list[bytes]", bystander.keys("*"))]
    assert {len(key) for key in stored} == {len("shop:1:") + 64, len("shop:1:short")}
    assert all(key.startswith(("shop:1:articles-éé", "shop:1:short")) for key in stored)


def test_long_key__is_found_by_its_beginning(short: Any) -> None:
    short.set(LONG_KEY, "v")
    (listed,) = short.keys("articles-*")
    assert (len(listed), short.get(listed)) == (64, "v")
    assert short.incr_version(LONG_KEY) == 2
    assert short.get(LONG_KEY, version=2) == "v"
    assert short.delete_pattern("articles-*", version=2) == 1


def test_long_key__that_cannot_be_sent(short: Any) -> None:
    with pytest.raises(redis.DataError, match="surrogate"):
        short.get("\udc80" * 100)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"MAX_VALUE_SIZE": "1 MB"}, r'OPTIONS\["MAX_VALUE_SIZE"\] must be a whole number, 1 or more\. Write'),
        ({"ON_FAILURE": "ignore"}, r'OPTIONS\["ON_FAILURE"\] must be "raise", "default" or "memory"\. Write'),
        (
            {"NEAR_CACHE": {"TTL": -1}},
            r'OPTIONS\["NEAR_CACHE"\]\["TTL"\] must be a positive number of seconds, at most an hour',
        ),
        ({"COMPRESS_FROM": 10}, r'OPTIONS\["COMPRESS_FROM"\] needs a COMPRESSOR\. Name one'),
    ],
)
def test_mistake__is_named_at_first_use(make_cache: OpenCache, options: dict[str, Any], sentence: str) -> None:
    cache = make_cache("native", OPTIONS=options)
    with pytest.raises(ImproperlyConfigured, match=sentence):
        cache.get("k")


@pytest.mark.parametrize(("old", "new"), [({"LOCAL": {"TTL": 1}}, {"NEAR_CACHE": {"TTL": 1}})])
@pytest.mark.parametrize("policy", ["local", "memory"])
def test_options__old_names_mean_the_present_ones(old: Any, new: Any, policy: str) -> None:
    from django_upstash.cache import settings as cache_options

    assert cache_options.read({**old, "ON_FAILURE": policy}) == cache_options.read({**new, "ON_FAILURE": "memory"})
