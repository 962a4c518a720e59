"""
What a cache has from django-redis' ``RedisCache``: its attributes, its client, and its place among the bases.

``isinstance(cache, django_redis.cache.RedisCache)`` holds in every process that has imported that class. One that uses
REST alone need not: importing redis-py takes longer than all of this package.
"""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import BaseCache
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_upstash.cache.after_import import after_import
from django_upstash.log import get_logger
from django_upstash.settings import cache_location, conf

if TYPE_CHECKING:
    from django_redis.cache import RedisCache as _Base  # type: ignore[import-untyped]
    from redis.lock import Lock
else:
    _Base = BaseCache

_CLIENT = "django_upstash.cache.client.UpstashClient"
_LOGGER = "django_redis.cache"  # as django-redis names it where DJANGO_REDIS_LOGGER does not


class RedisCacheBase(_Base):  # type: ignore[misc]
    """The base of the cache, of which django-redis' ``RedisCache`` becomes the base when that is imported."""

    _parent: Any

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super(self._parent, self).__init__(params)
        options = params.get("OPTIONS", {})
        self._server = server
        self._params = {**params, "OPTIONS": options}
        self._default_scan_itersize: int = conf.setting("DJANGO_REDIS_SCAN_ITERSIZE", 10)
        self._ignore_exceptions: bool = options.get(
            "IGNORE_EXCEPTIONS", conf.setting("DJANGO_REDIS_IGNORE_EXCEPTIONS", False)
        )
        self._log_ignored_exceptions: bool = conf.setting("DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS", False)
        self.logger: Any = None
        if self._log_ignored_exceptions:
            self.logger = get_logger(conf.setting("DJANGO_REDIS_LOGGER", _LOGGER))
        if options.get("CLIENT_CLASS", _CLIENT) not in (_CLIENT, *cache_location.DEFAULT_CLIENTS):
            self._require_own_client()

    @cached_property
    def client(self) -> Any:
        """django-redis' client, over the connection of this cache."""
        return self._client_cls(self._server, self._params, self)

    def lock(
        self,
        key: Any,
        version: int | None = None,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        client: Any = None,
        thread_local: bool = True,
    ) -> Lock:
        """Return redis-py's lock on a key of this cache; times are in seconds."""
        lock: Lock = self.client.lock(
            key, version, timeout, sleep, blocking, blocking_timeout, client=client, thread_local=thread_local
        )
        return lock

    @cached_property
    def _client_cls(self) -> Any:
        path = self._params["OPTIONS"].get("CLIENT_CLASS", _CLIENT)
        return import_string(_CLIENT if path in cache_location.DEFAULT_CLIENTS else path)

    def _require_own_client(self) -> None:
        if not issubclass(self._client_cls, import_string(_CLIENT)):
            raise ImproperlyConfigured(
                f'OPTIONS["CLIENT_CLASS"] is {self._client_cls.__name__}, which opens connections of its own; '
                f"leave it out, or name a subclass of {_CLIENT}."
            )


RedisCacheBase._parent = RedisCacheBase


def _derive(module: ModuleType) -> None:
    RedisCacheBase.__bases__ = (module.RedisCache,)
    RedisCacheBase._parent = module.RedisCache


after_import("django_redis.cache", _derive)
