"""Django's cache on Upstash."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, get_key_func
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django_redis.cache import RedisCache  # type: ignore[import-untyped]

from django_upstash import cache_location, cache_options, conf, numbers
from django_upstash.cache import bulk, counters, many, operations, scans, stampede
from django_upstash.cache.failover import AWAY, Defaults, Failover
from django_upstash.cache.failures import COLLECTION_FALLBACKS, IGNORABLE, Fallback
from django_upstash.cache.formats import flag, value_codec
from django_upstash.cache.keyspace import Keyspace
from django_upstash.cache.near import LocalStats, Near, tiers
from django_upstash.cache.outages import outages
from django_upstash.cache.payloads import SizeGuard
from django_upstash.cache.rehearsal import members, rehearsed
from django_upstash.cache.stampede import Protection
from django_upstash.cache.tags import invalidate_tags
from django_upstash.cache.twins import twin
from django_upstash.connections import Connection, connections
from django_upstash.exceptions import ServerAwayError
from django_upstash.numbers import Stats

if TYPE_CHECKING:
    from django_upstash.cache_options import CacheOptions
    from django_upstash.conf import ConnectionSettings
    from django_upstash.effects import Runner

_CLIENT = "django_upstash.cache.client.UpstashClient"
# What a cache object has made of settings, and makes anew when they change.
_DERIVED = ("_members_runner", "connection", "failover", "keyspace", "options", "runner")
_caches: weakref.WeakSet[UpstashCache] = weakref.WeakSet()


class _Naming:
    """An attribute that keys are made from: when it changes, the cache forgets what it had made of the old one."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, cache: UpstashCache | None, owner: type | None = None) -> Any:
        return self if cache is None else cache.__dict__[self._name]

    def __set__(self, cache: UpstashCache, value: Any) -> None:
        cache.__dict__[self._name] = value
        for made in ("_members_runner", "failover", "keyspace", "runner"):
            cache.__dict__.pop(made, None)


class UpstashCache(RedisCache):  # type: ignore[misc]
    """
    django-redis' ``RedisCache`` on a connection of this package, natively or over REST.

    ``LOCATION`` is the name of a connection in ``UPSTASH``, or a URL. Every method Django gives a cache, and each of
    django-redis' on keys, runs as one operation, and has an asynchronous twin whose name begins with "a". Cache
    objects hold no connection of their own: they are made for every thread and task, and closing one closes nothing.
    """

    key_prefix = _Naming()
    version = _Naming()
    key_func = _Naming()
    default_timeout = _Naming()

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        options = {"CLIENT_CLASS": _CLIENT, **params.get("OPTIONS", {})}
        if options["CLIENT_CLASS"] in cache_location.DEFAULT_CLIENTS:
            options["CLIENT_CLASS"] = _CLIENT
        super().__init__(server, {**params, "OPTIONS": options})
        self._require_own_client()
        _caches.add(self)

    @cached_property
    def connection(self) -> Connection:
        """The connection that ``LOCATION`` names, shared by the whole process."""
        settings = _settings(self._server, self._params["OPTIONS"])
        is_url = cache_location.is_url(cache_location.single(self._server))
        return connections.for_settings(settings) if is_url else connections[settings.alias]

    @cached_property
    def options(self) -> CacheOptions:
        """What ``OPTIONS`` say about the near tier, outages, and sizes."""
        return cache_options.read(self._params["OPTIONS"], self._ignore_exceptions)

    @cached_property
    def runner(self) -> Runner:
        """What runs the operations of this cache: its connection, behind the failure policy and the near tier."""
        return self.failover or self._tiered()

    @cached_property
    def failover(self) -> Defaults | Failover | None:
        """What does without the server in an outage; None where errors are raised."""
        return self._without_server(self._tiered())

    @cached_property
    def _members_runner(self) -> Runner:
        # Members, fields and items are not what the near tier remembers.
        return self._without_server(self.connection) or self.connection

    @property
    def backend_in_use(self) -> str:
        """What answers at present: "server"; in an outage "local" or "default", as ``ON_FAILURE`` says."""
        return "server" if self.failover is None else outages.of(self.connection, self.key_prefix).backend

    def local_stats(self) -> LocalStats:
        """Return what the near tier of this process has answered, and how many commands that saved."""
        local = self.options.local
        return LocalStats() if local is None else tiers.of(self.connection, self.key_prefix, local).stats()

    def stats(self, *, all_processes: bool = False) -> Stats:
        """
        Return what all caches on this connection have asked, and what a month of that costs.

        With ``all_processes``, leave this process' counts on the server and sum those left there, in three commands.
        """
        if not all_processes:
            return numbers.stats(self.connection)
        self.connection.run(numbers.publishing(self.connection))
        return self.connection.run(numbers.collecting())

    @cached_property
    def keyspace(self) -> Keyspace:
        """What operations of this cache need to know."""
        connection, sizes = self.connection, self.options
        codec = value_codec(self._params["OPTIONS"], conf.signing_secrets(), self.key_prefix)
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

    get, aget = twin(operations.get)
    set, aset = twin(operations.set)
    add, aadd = twin(operations.add)
    touch, atouch = twin(operations.touch)
    delete, adelete = twin(operations.delete)
    has_key, ahas_key = twin(operations.has_key)
    incr, aincr = twin(counters.incr)
    decr, adecr = twin(counters.decr)
    incr_version, aincr_version = twin(operations.incr_version)
    decr_version, adecr_version = twin(operations.decr_version)
    ttl, attl = twin(operations.ttl)
    pttl, apttl = twin(operations.pttl)
    persist, apersist = twin(operations.persist)
    expire, aexpire = twin(operations.expire)
    pexpire, apexpire = twin(operations.pexpire)
    expire_at, aexpire_at = twin(operations.expire_at)
    pexpire_at, apexpire_at = twin(operations.pexpire_at)
    get_many, aget_many = twin(many.get_many)
    set_many, aset_many = twin(many.set_many)
    delete_many, adelete_many = twin(many.delete_many)
    keys, akeys = twin(scans.keys)
    delete_pattern, adelete_pattern = twin(scans.delete_pattern)
    clear, aclear = twin(scans.clear)
    _page, _apage = twin(scans.page)
    _store, _astore = twin(bulk.store)
    _touch_piece, _atouch_piece = twin(bulk.touch_piece)
    warm, awarm = bulk.warm, bulk.awarm
    touch_many, atouch_many = bulk.touch_many, bulk.atouch_many
    invalidate_tags, ainvalidate_tags = twin(invalidate_tags)

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        early: float = 0,
        grace: float = 0,
        cross_process: bool = False,
        lease: float = stampede.LEASE,
        tags: Iterable[str] = (),
    ) -> Any:
        """
        Return the value, or store ``default``, or what it returns when called, and return that.

        Of the callers in this process that find none at the same time, one calls its ``default``; of all processes,
        with ``cross_process``, one at a time, for ``lease`` seconds at most. ``early`` is how eagerly a value is
        computed again before it expires (1 is usual); ``grace`` for how many seconds after that the last one serves
        where ``default`` raises. ``tags`` are what ``invalidate_tags`` knows the value by.
        """
        protection = Protection(early, grace, cross_process, lease, tags)
        return stampede.get_or_set(self, key, default, timeout, version, protection)

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: Any = None,
        *,
        early: float = 0,
        grace: float = 0,
        cross_process: bool = False,
        lease: float = stampede.LEASE,
        tags: Iterable[str] = (),
    ) -> Any:
        """Do as ``get_or_set`` does; what a callable ``default`` returns is awaited where it can be."""
        protection = Protection(early, grace, cross_process, lease, tags)
        return await stampede.aget_or_set(self, key, default, timeout, version, protection)

    def iter_keys(
        self, search: str, itersize: int | None = None, client: Any = None, version: Any = None
    ) -> Iterator[str]:
        """Yield the keys that match ``search``, a page at a time; one may come twice."""
        cursor: str | None = scans.START
        while cursor is not None:
            found, cursor = self._page(search, cursor, itersize, version, client)
            yield from found

    async def aiter_keys(self, search: str, itersize: int | None = None, version: Any = None) -> AsyncIterator[str]:
        """Yield the keys that match ``search``, a page at a time; one may come twice."""
        cursor: str | None = scans.START
        while cursor is not None:
            found, cursor = await self._apage(search, cursor, itersize, version)
            for key in found:
                yield key

    async def asscan_iter(
        self, key: Any, match: str | None = None, count: int | None = 10, version: Any = None
    ) -> AsyncIterator[Any]:
        """Yield the members of a set, a page at a time; one may come twice."""
        try:
            async for member in members(self.keyspace, self._members_runner.arun, key, match, count, version):
                yield member
        except IGNORABLE as error:
            self.fall_back(error, lambda: None, (), {})

    def close(self, **kwargs: Any) -> None:
        """Do nothing: the connection belongs to the process, and stays open for the next request."""

    def fall_back(self, error: Exception, fallback: Fallback, args: Any, kwargs: Any) -> Any:
        """Return what a method says in place of the server, or raise ``error`` where ``ON_FAILURE`` says so."""
        if self.options.on_failure == "raise":
            raise error
        if self._log_ignored_exceptions and not isinstance(error, ServerAwayError):
            self.logger.exception("Exception ignored")
        return fallback(*args, **kwargs)

    def _without_server(self, server: Runner) -> Defaults | Failover | None:
        if self.options.on_failure == "raise":
            return None
        connection = self.connection
        outage = outages.of(connection, self.key_prefix)
        if self.options.on_failure == "default":
            return Defaults(server, connection.availability, outage)
        return Failover(server, connection.availability, outage, lambda: scans.clear(self.keyspace))

    def _tiered(self) -> Runner:
        local = self.options.local
        connection = self.connection
        return connection if local is None else Near(connection, tiers.of(connection, self.key_prefix, local))

    def _require_own_client(self) -> None:
        from django_upstash.cache.client import UpstashClient

        if not issubclass(self._client_cls, UpstashClient):
            raise ImproperlyConfigured(
                f'OPTIONS["CLIENT_CLASS"] is {self._client_cls.__name__}, which opens connections of its own; '
                f"leave it out, or name a subclass of {_CLIENT}."
            )


def _settings(location: Any, options: Mapping[str, Any]) -> ConnectionSettings:
    try:
        return _remembered_settings(location, tuple(options.items()))
    except TypeError:  # a list or a dict among them
        return conf.cache_location_settings(location, options)


@lru_cache(maxsize=64)
def _remembered_settings(location: Any, options: tuple[tuple[str, Any], ...]) -> ConnectionSettings:
    return conf.cache_location_settings(location, dict(options))


def _collection_method(name: str, fallback: Fallback) -> Callable[..., Any]:
    def method(self: UpstashCache, *args: Any, **kwargs: Any) -> Any:
        try:
            found = _on_server(self, name, args, kwargs)
        except IGNORABLE as error:
            return self.fall_back(error, fallback, args, kwargs)
        return _guarded(self, found) if isinstance(found, Iterator) else found

    method.__name__, method.__doc__ = name, f"Do as the client's ``{name}`` does."
    return method


def _awaited_collection_method(name: str, fallback: Fallback) -> Callable[..., Any]:
    async def method(self: UpstashCache, *args: Any, **kwargs: Any) -> Any:
        try:
            operation = rehearsed(self.client, name, args, kwargs)
            return await self._members_runner.arun(operation) if operation.commands else operation.parse([])
        except IGNORABLE as error:
            return self.fall_back(error, fallback, args, kwargs)

    method.__name__, method.__doc__ = f"a{name}", f"Do as the client's ``{name}`` does."
    return method


def _on_server(cache: UpstashCache, name: str, args: Any, kwargs: Any) -> Any:
    failover = cache.failover
    if failover is None:
        return getattr(cache.client, name)(*args, **kwargs)
    failover.require()
    started = perf_counter()
    try:
        found = getattr(cache.client, name)(*args, **kwargs)
    except AWAY as error:
        failover.failed(error, started)
        raise
    failover.answered()
    return found


def _guarded(cache: UpstashCache, items: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from items
    except IGNORABLE as error:
        cache.fall_back(error, lambda: None, (), {})


for _name, _fallback in COLLECTION_FALLBACKS.items():
    setattr(UpstashCache, _name, _collection_method(_name, _fallback))
    if _name != "sscan_iter":
        setattr(UpstashCache, f"a{_name}", _awaited_collection_method(_name, _fallback))


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in ("CACHES", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "UPSTASH"):
        _remembered_settings.cache_clear()
        for cache in list(_caches):
            for name in _DERIVED:
                cache.__dict__.pop(name, None)


setting_changed.connect(_forget, dispatch_uid="django_upstash.cache")
