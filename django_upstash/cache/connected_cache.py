"""A cache on its connection: what it makes of settings, and what runs its operations."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from django.core.cache.backends.base import default_key_func, get_key_func
from django.core.signals import setting_changed

from django_upstash import callbacks
from django_upstash.cache import scans
from django_upstash.cache import settings as cache_options
from django_upstash.cache.cache_keys import KeyFunction, Keyspace
from django_upstash.cache.codec_options import flag, value_codec
from django_upstash.cache.empty_results import FALLBACKS, Fallback, ignorable
from django_upstash.cache.explicit_client import through
from django_upstash.cache.failover import Defaults, Failover, raise_congestion
from django_upstash.cache.failover_state import outages
from django_upstash.cache.near_cache import Near, tiers
from django_upstash.cache.prototypes import (
    forget_prototypes,
    keep_prototype,
    prototype,
    settings_key,
    shared_property,
)
from django_upstash.cache.redis_cache import RedisCacheBase
from django_upstash.cache.size_limits import SizeGuard
from django_upstash.connections import Connection, connections
from django_upstash.exceptions import NoPermissionError, ResponseError, ServerAwayError
from django_upstash.log import get_logger
from django_upstash.operations import Operation
from django_upstash.operations.keys import root
from django_upstash.settings import cache_location, conf
from django_upstash.settings.key_prefix import PREFIX_SETTING, environment
from django_upstash.wire.refusals import reports

if TYPE_CHECKING:
    from django_upstash.cache.settings import CacheOptions
    from django_upstash.operations.steps import Runner
    from django_upstash.settings.conf import ConnectionSettings

P = ParamSpec("P")
R = TypeVar("R")

logger = get_logger("django_upstash.cache")
# What a cache object has made of settings, and makes again when they change.
_DERIVED = ("_members_runner", "connection", "failover", "keyspace", "options", "runner")
_caches: weakref.WeakSet[ConnectedCache] = weakref.WeakSet()


class _Naming:
    """An attribute that keys are made from: when it changes, the cache forgets what it had made of the old one."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, cache: ConnectedCache | None, owner: type | None = None) -> Any:
        return self if cache is None else cache.__dict__[self._name]

    def __set__(self, cache: ConnectedCache, value: Any) -> None:
        cache.__dict__[self._name] = value
        cache.__dict__["_prototype"] = None
        for made in ("_members_runner", "failover", "keyspace", "runner"):
            cache.__dict__.pop(made, None)


class _KeyFunction(_Naming):
    """
    The function that makes keys, which begin with the prefix of this environment.

    One of the project's own raises ``TypeError`` where it returns no text.
    """

    def __get__(self, cache: ConnectedCache | None, owner: type | None = None) -> Any:
        function = super().__get__(cache, owner)
        return KeyFunction(environment(), function) if cache is not None and environment() else function

    def __set__(self, cache: ConnectedCache, value: Any) -> None:
        super().__set__(cache, value if value is default_key_func else _making_text(value))


def _making_text(function: Callable[..., Any]) -> Callable[..., str]:
    @wraps(function)
    def key_function(*args: Any) -> str:
        return callbacks.key_text("KEY_FUNCTION", function(*args))

    return key_function


class ConnectedCache(RedisCacheBase):
    """
    What the families of methods in ``methods/`` have in common: the connection, the keyspace, and the failure policy.

    ``self.keyspace`` is what an operation is made of; ``_run`` and ``_arun`` run one, and heed ``ON_FAILURE``.
    """

    key_prefix = _Naming()
    version = _Naming()
    key_func = _KeyFunction()
    default_timeout = _Naming()

    _prototype: ConnectedCache | None = None

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        key = settings_key(type(self), server, params)
        made = None if key is None else prototype(key)
        if made is None:
            super().__init__(server, params)
            made = None if key is None else keep_prototype(key, self)
        else:
            self.__dict__.update(made.__dict__)
        self._prototype = made
        _caches.add(self)

    @shared_property
    def connection(self) -> Connection:
        """The connection that ``LOCATION`` names, shared by the whole process."""
        settings = _settings(self._server, self._params["OPTIONS"])
        is_url = cache_location.is_url(cache_location.single(self._server))
        return connections.for_settings(settings) if is_url else connections[settings.alias]

    @shared_property
    def options(self) -> CacheOptions:
        """What ``OPTIONS`` say about the near tier, outages, and sizes."""
        return cache_options.read(self._params["OPTIONS"], self._ignore_exceptions)

    @shared_property
    def runner(self) -> Runner:
        """What runs the operations of this cache: its connection, behind the failure policy and the near tier."""
        return self.failover or self._tiered()

    @shared_property
    def failover(self) -> Defaults | Failover | None:
        """What does without the server in an outage; None where errors are raised."""
        return self._without_server(self._tiered())

    @shared_property
    def _members_runner(self) -> Runner:
        # Members, fields and items are not what the near tier remembers.
        return self._without_server(self.connection) or self.connection

    @shared_property
    def keyspace(self) -> Keyspace:
        """What operations of this cache need to know."""
        connection, sizes = self.connection, self.options
        codec = value_codec(self._params["OPTIONS"], conf.signing_secrets(), root(self.key_prefix))
        reverse = self._params.get("REVERSE_KEY_FUNCTION")
        return Keyspace(
            self,
            codec.text_safe() if connection.settings.route == "rest" else codec,
            connection.capabilities,
            connection.settings.max_request_size,
            get_key_func(reverse) if reverse else None,
            flag(self._params["OPTIONS"], "TAGS", False),
            None if sizes.max_value_size is None else SizeGuard(sizes.max_value_size, sizes.on_oversize),
            sizes.max_key_length,
            connection.meter,
        )

    def fall_back(self, error: Exception, fallback: Fallback, args: Any, kwargs: Any) -> Any:
        """Return what a method says in place of the server, or raise ``error`` where ``ON_FAILURE`` says so."""
        if self.options.on_failure == "raise":
            raise error
        raise_congestion(error, self.connection.availability)
        if type(error) is not ResponseError:  # such as a wrong type, which is about one key
            self._report(error)
        if isinstance(error, NoPermissionError) and "ON_FAILURE" in self._params["OPTIONS"]:
            raise error  # a mistake in the ACL or of the token, which no empty cache may hide
        if self._log_ignored_exceptions and not isinstance(error, ServerAwayError):
            self.logger.exception("Exception ignored")
        return fallback(*args, **kwargs)

    def _report(self, error: Exception) -> None:
        where = f"{self.connection.settings.safe_url}, prefix {self.key_prefix!r}"
        reports.report(logger, where, "A cache does without the server", error)

    def _without_server(self, server: Runner) -> Defaults | Failover | None:
        if self.options.on_failure == "raise":
            return None
        connection = self.connection
        outage = outages.of(connection, self.key_prefix)
        if self.options.on_failure == "default":
            return Defaults(server, connection.availability, outage)
        return Failover(server, connection.availability, outage, lambda: scans.clear(self.keyspace))

    def _tiered(self) -> Runner:
        local = self.options.near_cache
        connection = self.connection
        return connection if local is None else Near(connection, tiers.of(connection, self.key_prefix, local))

    def _run(
        self, client: Any, build: Callable[Concatenate[Keyspace, P], Operation[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run the operation that ``build`` makes, on the runner or through the ``client`` that the caller brings."""
        try:
            operation = build(self.keyspace, *args, **kwargs)
            if client is not None:
                return through(client, operation)  # type: ignore[no-any-return]
            # An operation without commands knows its result and is not run.
            return self.runner.run(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]
        except ignorable() as error:
            return self._instead_of(build.__name__, error, *args, **kwargs)  # type: ignore[no-any-return]

    async def _arun(
        self, client: Any, build: Callable[Concatenate[Keyspace, P], Operation[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            operation = build(self.keyspace, *args, **kwargs)
            if client is not None:
                return through(client, operation)  # type: ignore[no-any-return]
            return await self.runner.arun(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]
        except ignorable() as error:
            return self._instead_of(build.__name__, error, *args, **kwargs)  # type: ignore[no-any-return]

    def _instead_of(self, name: str, error: Exception, /, *args: Any, **kwargs: Any) -> Any:
        """Return what an empty cache would say, or raise ``error``, as ``ON_FAILURE`` has it."""
        return self.fall_back(error, FALLBACKS[name], args, kwargs)


def _settings(location: Any, options: Mapping[str, Any]) -> ConnectionSettings:
    try:
        return _remembered_settings(location, tuple(options.items()))
    except TypeError:  # a list or a dict among them
        return conf.cache_location_settings(location, options)


@lru_cache(maxsize=64)
def _remembered_settings(location: Any, options: tuple[tuple[str, Any], ...]) -> ConnectionSettings:
    return conf.cache_location_settings(location, dict(options))


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in ("CACHES", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "UPSTASH", PREFIX_SETTING):
        _remembered_settings.cache_clear()
        forget_prototypes()
        for cache in list(_caches):
            cache._prototype = None
            for name in _DERIVED:
                cache.__dict__.pop(name, None)


setting_changed.connect(_forget, dispatch_uid="django_upstash.cache")
