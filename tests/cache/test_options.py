"""Every wrong option is one sentence with the mend in it; right ones mean what they mean to django-redis."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix


@pytest.fixture(params=["native"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"SERIALIZER": "nowhere.Serializer"}, r'OPTIONS\["SERIALIZER"\] must be the dotted path .*No module'),
        ({"SERIALIZER": "django_redis.serializers.json.Nothing"}, r"must be the dotted path .*does not define"),
        ({"SERIALIZER": "serializer"}, r"must be the dotted path .*doesn't look like a module path"),
        ({"SERIALIZER": 7}, r"must be the dotted path"),
        ({"SERIALIZER": "django_redis.compressors.zlib.ZlibCompressor"}, "no methods dumps and loads"),
        ({"COMPRESSOR": "nowhere.Compressor"}, r'OPTIONS\["COMPRESSOR"\] must be the dotted path'),
        ({"COMPRESSOR": "django_redis.serializers.json.JSONSerializer"}, "no methods compress and decompress"),
        ({"SIGN": "yes"}, r'OPTIONS\["SIGN"\] must be True or False, not str'),
        ({"PICKLE_VERSION": 99}, "PICKLE_VERSION can't be higher"),
    ],
)
def test_options__mistake_is_named_at_first_use(make_cache: OpenCache, options: Any, sentence: str) -> None:
    cache = make_cache("native", OPTIONS=options)
    with pytest.raises(ImproperlyConfigured, match=sentence):
        cache.get("k")


def test_options__foreign_client_class(make_cache: OpenCache) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"HerdClient, which opens connections of its own; leave it out"):
        make_cache("native", OPTIONS={"CLIENT_CLASS": "django_redis.client.HerdClient"})


def test_options__the_client_class_that_django_redis_documents(make_cache: OpenCache) -> None:
    cache = make_cache("native", OPTIONS={"CLIENT_CLASS": "django_redis.client.DefaultClient"})
    cache.set("k", "v")
    assert cache.get("k") == "v"
    assert type(cache.client).__name__ == "UpstashClient"


@pytest.mark.parametrize("location", ["nothing", "", ["redis://a", "redis://b"], "redis://a,redis://b"])
def test_location__mistake_is_named_at_first_use(make_cache: OpenCache, location: Any) -> None:
    cache = make_cache(location)
    with pytest.raises(ImproperlyConfigured, match="LOCATION"):
        cache.get("k")


def test_location__url(make_cache: OpenCache, upstash: dict[str, Any]) -> None:
    by_url = make_cache(upstash["native"]["URL"], OPTIONS={"SOCKET_TIMEOUT": 3})
    by_url.set("k", ["value"])
    assert make_cache("native").get("k") == ["value"]
    assert by_url.connection.settings.timeout == 3
    again = make_cache([upstash["native"]["URL"]], OPTIONS={"SOCKET_TIMEOUT": 3})
    assert again.connection is by_url.connection
    kwargs = {"CONNECTION_POOL_KWARGS": {"max_connections": 3}}
    assert make_cache(upstash["native"]["URL"], OPTIONS=kwargs).connection.settings.max_connections == 3


def test_location__alias_shares_the_process_connection(make_cache: OpenCache) -> None:
    assert make_cache("native").connection is make_cache("native").connection


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle_version(make_cache: OpenCache, protocol: int) -> None:
    cache = make_cache("native", OPTIONS={"PICKLE_VERSION": protocol})
    cache.set("k", {"a": (1, b"x")})
    assert cache.get("k") == {"a": (1, b"x")}
    stored = cache.connection.redis.get(":1:k")
    assert stored[18:].startswith(b"\x80%c" % protocol) is (protocol > 1)


def test_unsigned__shares_its_values_with_django_redis(make_cache: OpenCache, upstash: dict[str, Any]) -> None:
    from django_redis.cache import RedisCache  # type: ignore[import-untyped]

    ours = make_cache("native", KEY_PREFIX="shop", OPTIONS={"SIGN": False})
    theirs = RedisCache(upstash["native"]["URL"], {"KEY_PREFIX": "shop"})
    values = {"a": ["A"], "n": 1, "big": 2**70, "none": None, "true": True, "text": "text"}
    theirs.set_many(values)
    assert ours.get_many(values) == values
    ours.set_many({f"{key}2": value for key, value in values.items()})
    assert theirs.get_many([f"{key}2" for key in values]) == {f"{key}2": value for key, value in values.items()}
    theirs.client.get_client().connection_pool.disconnect()


def test_compressor__applies_from_its_length_on(make_cache: OpenCache) -> None:
    cache = make_cache("native", OPTIONS={"COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor"})
    cache.set("short", "x")
    cache.set("long", "x" * 1000)
    assert cache.get_many(["short", "long"]) == {"short": "x", "long": "x" * 1000}
    assert len(cache.connection.redis.get(":1:long")) < 100
