"""
Process-wide connections: alias → ``Connection``, whose ``run`` and ``arun`` carry every operation of every feature.

    from django_upstash.connections import connections
    connections["default"].run(command("PING"))
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from django.core.signals import setting_changed

from django_upstash import conf
from django_upstash.availability import Availability
from django_upstash.capabilities import Capabilities
from django_upstash.meter import Meter
from django_upstash.operations import Operation, command

if TYPE_CHECKING:
    import upstash_redis
    import upstash_redis.asyncio
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from django_upstash.conf import ConnectionSettings
    from django_upstash.routes.base import Route

# What a probe waits for each of: the connection, and the answer on it.
_PROBE_SECONDS = 1.0

Result = TypeVar("Result")


class Closable(Protocol):
    def close(self) -> None: ...


class Connection:
    """One server as the whole process sees it: a route, its meter, and what the server turned out to be able to do."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self.meter = Meter()
        self.capabilities = Capabilities(settings)
        self.availability = Availability(Probe(settings))
        self._route: Route | None = None
        self._is_unverified = settings.verify
        self._companions: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Connection {self.settings.alias}: {self.settings.route} {self.settings.safe_url}>"

    @property
    def route(self) -> Route:
        """The way to the server, made at first use."""
        with self._lock:
            if self._route is None:
                route = make_route(self.settings)
                route.traffic = self.meter.traffic  # which outlives the route
                self._route = self._verifying(route) if self._is_unverified else route
            return self._route

    def run(self, operation: Operation[Result]) -> Result:
        """Run an operation, through as many round trips as its replies ask for, and return its result."""
        while operation.commands:
            started = perf_counter()
            try:
                replies = (self._route or self.route).execute(
                    operation.commands, atomic=operation.atomic, replay_safe=operation.replay_safe
                )
            except Exception as error:
                self.meter.failed(operation, perf_counter() - started, error)
                self.availability.failed(error, started)
                raise
            self.availability.answered()
            self.meter.ran(operation, perf_counter() - started)
            result = operation.parse(replies)
            if not isinstance(result, Operation):
                return result
            operation = result
        return _known_result(operation)

    async def arun(self, operation: Operation[Result]) -> Result:
        """Do as ``run`` does, awaited; operations that start in the same tick of the loop share a round trip."""
        while operation.commands:
            started = perf_counter()
            try:
                replies = await (self._route or self.route).aexecute(
                    operation.commands, atomic=operation.atomic, replay_safe=operation.replay_safe
                )
            except Exception as error:
                self.meter.failed(operation, perf_counter() - started, error)
                self.availability.failed(error, started)
                raise
            self.availability.answered()
            self.meter.ran(operation, perf_counter() - started)
            result = operation.parse(replies)
            if not isinstance(result, Operation):
                return result
            operation = result
        return _known_result(operation)

    def be_verified(self) -> None:
        """Do without the handshake that ``VERIFY`` asks for at first use, for it has been made or takes place now."""
        with self._lock:
            self._is_unverified = False
            self._route = getattr(self._route, "behind", self._route)

    def ping(self) -> bool:
        """Ask the server for a sign of life, in one command; raise what keeps it from answering."""
        return bool(self.run(command("PING")) == b"PONG")

    def close(self) -> None:
        """Release every socket; the connection opens new ones when it is used again."""
        with self._lock:
            route, self._route = self._route, None
            companions = list(self._companions)
        for companion in companions:
            companion.close()
        if route is not None:
            route.close()

    def close_with(self, companion: Closable) -> None:
        """Call ``close`` on what has sockets of its own beside the route, whenever this connection is closed."""
        with self._lock:
            self._companions.add(companion)

    def _verifying(self, route: Route) -> Route:
        from django_upstash.handshake import VerifyingRoute

        return VerifyingRoute(self, route)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self.meter.after_fork()
        self.availability.after_fork()

    @cached_property
    def redis(self) -> Redis:
        """redis-py's client API over this connection, on either route."""
        from django_upstash.adapters.redis import RouteRedis

        return RouteRedis(self)

    @cached_property
    def async_redis(self) -> AsyncRedis:
        """redis-py's asyncio client API over this connection, on either route."""
        from django_upstash.adapters.redis import AsyncRouteRedis

        return AsyncRouteRedis(self)

    @cached_property
    def upstash(self) -> upstash_redis.Redis:
        """The Upstash SDK's client API over this connection."""
        from django_upstash.adapters.upstash import RouteUpstash

        return RouteUpstash(self)

    @cached_property
    def async_upstash(self) -> upstash_redis.asyncio.Redis:
        """The Upstash SDK's asyncio client API over this connection."""
        from django_upstash.adapters.upstash import AsyncRouteUpstash

        return AsyncRouteUpstash(self)


def _known_result(operation: Operation[Result]) -> Result:
    """Return the result of an operation without commands."""
    result = operation.parse([])
    if isinstance(result, Operation):
        raise TypeError("An operation without commands returned another operation instead of its result.")
    return result


class Probe:
    """One PING on a wire of its own, which nobody waits for and no meter counts; raises what it ends in."""

    def __init__(self, settings: ConnectionSettings) -> None:
        # Short, for the next one is not sent before: what is lost must not keep the server away after its return.
        self._settings = replace(
            settings,
            timeout=min(settings.timeout, _PROBE_SECONDS),
            connect_timeout=min(settings.connect_seconds, _PROBE_SECONDS),
            retries=0,
            max_connections=1,
        )

    def __call__(self) -> None:
        route = make_route(self._settings)
        try:
            route.execute((("PING",),))
        finally:
            route.close()


def make_route(settings: ConnectionSettings) -> Route:
    """Return the route that the URL's scheme names. The only place that chooses one, and it imports no other."""
    if settings.route == "rest":
        from django_upstash.routes.rest import RestRoute

        return RestRoute(settings)
    if settings.route == "embedded":
        from django_upstash.routes.embedded import EmbeddedRoute

        return EmbeddedRoute(settings)
    from django_upstash.routes.native import NativeRoute

    return NativeRoute(settings)


class Connections:
    """The process's connections by alias; every thread, task and cache object shares them."""

    def __init__(self) -> None:
        self._connections: dict[Any, Connection] = {}
        self._lock = threading.Lock()

    def __getitem__(self, alias: str) -> Connection:
        found = self._connections.get(alias)
        return found or self._add(alias, lambda: conf.connection_settings(alias))

    def __iter__(self) -> Iterator[str]:
        return iter(conf.aliases())

    def opened(self) -> list[Connection]:
        """Return the connections that this process has asked for so far."""
        with self._lock:
            return list(self._connections.values())

    def for_settings(self, settings: ConnectionSettings) -> Connection:
        """Return the connection of these very settings, shared by all who ask with equal ones."""
        found = self._connections.get(settings)
        return found or self._add(settings, lambda: settings)

    def close_all(self) -> None:
        """Close and forget every connection."""
        with self._lock:
            closing = list(self._connections.values())
            self._connections.clear()
        for connection in closing:
            connection.close()

    def _add(self, key: Any, settings: Any) -> Connection:
        with self._lock:
            if key not in self._connections:
                self._connections[key] = Connection(settings())
            return self._connections[key]

    def after_fork(self) -> None:
        """In a forked child: replace the locks, which another thread of the parent may have held."""
        self._lock = threading.Lock()
        for connection in self._connections.values():
            connection.after_fork()


connections = Connections()
os.register_at_fork(after_in_child=connections.after_fork)


def _forget_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("UPSTASH", "CACHES"):
        connections.close_all()


setting_changed.connect(_forget_changed, dispatch_uid="django_upstash.connections")
