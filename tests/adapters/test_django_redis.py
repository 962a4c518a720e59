"""django-redis' own client on the adapter, through its CONNECTION_FACTORY."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import caches
from django_redis import get_redis_connection  # type: ignore[import-untyped]
from django_redis.pool import ConnectionFactory  # type: ignore[import-untyped]

from django_upstash.adapters.redis import RouteRedis
from django_upstash.connections import connections

pytestmark = pytest.mark.matrix


class RouteFactory(ConnectionFactory):  # type: ignore[misc]
    """Takes the alias of a connection for the URL."""

    def connect(self, url: str) -> RouteRedis:
        return RouteRedis(connections[url])


@pytest.fixture
def cache(upstash: dict[str, Any], route: str, settings: Any) -> Any:
    entry = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": route,
        # In a pipeline over REST only text can be sent, which pickles are not.
        "OPTIONS": {"CLOSE_CONNECTION": True, "SERIALIZER": "django_redis.serializers.json.JSONSerializer"},
    }
    settings.DJANGO_REDIS_CONNECTION_FACTORY = f"{__name__}.RouteFactory"
    settings.CACHES = {"default": entry}
    yield caches["default"]
    connections.close_all()


def test_cache__values_locks_and_patterns(cache: Any) -> None:
    assert cache.set("k", 5, timeout=60)
    assert cache.incr("k", 2) == 7
    assert (cache.ttl("k"), cache.has_key("k"), cache.add("k", 1)) == (60, True, False)
    cache.set_many({"text:a": "x", "text:b": "y"})
    assert cache.get_many(["text:a", "none", "text:b"]) == {"text:a": "x", "text:b": "y"}
    assert sorted(cache.iter_keys("text:*")) == ["text:a", "text:b"]
    assert cache.delete_pattern("text:*") == 2
    with cache.lock("job", timeout=5):
        assert not cache.lock("job").acquire(blocking=False)
    assert cache.sadd("s", "a", "b") == 2
    assert cache.hset("h", "f", "text") == 1
    assert cache.hkeys("h") == ["f"]


def test_get_redis_connection__is_the_adapter(cache: Any) -> None:
    client = get_redis_connection("default")
    assert isinstance(client, RouteRedis)
    cache.close()
    assert client.ping()
