"""
Process-wide connections: alias → ``Connection``, whose ``run`` and ``arun`` carry every operation of every feature.

    from django_upstash.connections import connections
    connections["default"].run(command("PING"))
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_upstash.credentials import known
from django_upstash.exceptions import ConnectionError, UpstashError
from django_upstash.forks import ForkSafeLock, reset_after_fork
from django_upstash.operations import Command, Operation, Reply, command
from django_upstash.operations.capabilities import Capabilities
from django_upstash.settings import conf
from django_upstash.settings.key_prefix import PREFIX_SETTING
from django_upstash.wire.availability import Availability
from django_upstash.wire.meter import Meter
from django_upstash.wire.refusals import RefusalStanding
from django_upstash.wire.replies import EXPECTED, Progress, misread
from django_upstash.wire.replies import check as check_reply

if TYPE_CHECKING:
    import upstash_redis
    import upstash_redis.asyncio
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

    from django_upstash.diagnostics.handshake import FirstUse
    from django_upstash.settings.conf import ConnectionSettings
    from django_upstash.wire.base import Route
    from django_upstash.wire.shared_connection import Closable

__all__ = ["Connection", "connections"]

# What a probe may take, the connection and the answer on it.
_PROBE_SECONDS = 1.0

Result = TypeVar("Result")


class Connection:
    """One server as the whole process sees it: a route, its meter, and what the server turned out to be able to do."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        known.add(settings.secrets)
        self.meter = Meter()
        self.capabilities = Capabilities(settings)
        self.availability = Availability(PingProbe(settings))
        self._route: Route | None = None
        self.refusal = RefusalStanding()
        self._companions: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._lock = ForkSafeLock()
        self._first_use = self._verification() if settings.verify else None

    def __repr__(self) -> str:
        return f"<Connection {self.settings.alias}: {self.settings.route} {self.settings.safe_url}>"

    @property
    def route(self) -> Route:
        """The way to the server, made at first use."""
        with self._lock:
            if self._route is None:
                route = make_route(self.settings)
                route.traffic = self.meter.traffic  # which outlives the route
                self._route = route
            return self._route

    def run(self, operation: Operation[Result]) -> Result:
        """
        Run an operation in as many round trips as its replies ask for, and return its result.

        Raises what the route and ``parse`` raise; ``ProtocolError`` for replies that do not fit the commands.
        """
        if self._first_use is not None:
            self._first_use.verify()
        progress: Progress | None = None
        while operation.commands:
            if self.refusal.error is not None:
                self.refusal.check()
            started = perf_counter()
            try:
                replies = (self._route or self.route).execute(
                    operation.commands, atomic=operation.atomic, replay_safe=operation.replay_safe
                )
            except Exception as error:
                self._failed(operation, started, error)
                raise
            result = self._read(operation, replies, started)
            if not isinstance(result, Operation):
                return result
            progress, operation = _checked(progress, operation, replies), result
        return _known_result(operation)

    async def arun(self, operation: Operation[Result]) -> Result:
        """Async version of ``run``; operations that start in the same tick of the loop share a round trip."""
        if self._first_use is not None:
            await self._first_use.averify()
        progress: Progress | None = None
        while operation.commands:
            if self.refusal.error is not None:
                self.refusal.check()
            started = perf_counter()
            try:
                replies = await (self._route or self.route).aexecute(
                    operation.commands, atomic=operation.atomic, replay_safe=operation.replay_safe
                )
            except Exception as error:
                self._failed(operation, started, error)
                raise
            result = self._read(operation, replies, started)
            if not isinstance(result, Operation):
                return result
            progress, operation = _checked(progress, operation, replies), result
        return _known_result(operation)

    def _failed(self, operation: Operation[Any], started: float, error: Exception) -> None:
        self.meter.failed(operation, perf_counter() - started, error)
        self.availability.failed(error, started)
        self.refusal.note(error)
        if isinstance(error, UpstashError):
            error.alias = self.settings.alias

    def _read(self, operation: Operation[Result], replies: list[Reply], started: float) -> Result | Operation[Result]:
        """Note what the replies of a round trip say of the server, and return what the operation reads in them."""
        if not self.availability.is_up:
            self.availability.answered()
        self.meter.ran(operation, perf_counter() - started)
        # A loop over one reply, by far the most frequent number, costs as much as all else that is done here.
        if len(operation.commands) != 1 or len(replies) != 1:
            self._look_at_all(operation.commands, replies)
        elif type(replies[0]) not in EXPECTED[operation.commands[0][0]]:
            self._look_at(operation.commands[0], replies[0])
        if self.refusal.error is not None:
            self.refusal.answered(replies)
        try:
            return operation.parse(replies)
        except UpstashError:
            raise
        except Exception as error:
            if (unread := misread(operation, replies, error)) is None:
                raise
            raise unread from error

    def _look_at_all(self, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
        for sent, reply in zip(commands, replies, strict=True):
            if type(reply) not in EXPECTED[sent[0]]:
                self._look_at(sent, reply)

    def _look_at(self, sent: Command, reply: Reply) -> None:
        """Note an error in a command's slot; raise ``ProtocolError`` for a reply that does not fit it."""
        if not isinstance(reply, Exception):
            return check_reply(sent, reply)
        return self.refusal.meet(reply)

    def be_verified(self) -> None:
        """Skip the handshake that ``VERIFY`` asks for at first use: it has been made, or is being made now."""
        self._first_use = None

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

    def _verification(self) -> FirstUse:
        from django_upstash.diagnostics.handshake import FirstUse

        return FirstUse(self)

    def after_fork(self) -> None:
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


def _checked(progress: Progress | None, operation: Operation[Any], replies: list[Reply]) -> Progress:
    """Return what is known of an operation of several round trips, with those of this one."""
    progress = progress or Progress()
    progress.check(operation.commands, replies)
    return progress


def _known_result(operation: Operation[Result]) -> Result:
    """Return the result of an operation without commands."""
    result = operation.parse([])
    if isinstance(result, Operation):
        raise TypeError("An operation without commands returned another operation instead of its result.")
    return result


class PingProbe:
    """One PING on a wire of its own, which nobody waits for and no meter counts; raises what it ends in."""

    def __init__(self, settings: ConnectionSettings) -> None:
        # Short, for the next one is not sent before: what is lost must not keep the server away after its return.
        self._settings = replace(
            settings,
            alias=f"{settings.alias}'s probe",  # whose wire is nobody else's
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
        from django_upstash.wire.rest import RestRoute

        return RestRoute(settings)
    if settings.route == "embedded":
        from django_upstash.wire.embedded import EmbeddedRoute

        return EmbeddedRoute(settings)
    from django_upstash.wire.native import NativeRoute

    return NativeRoute(settings)


class Connections:
    """The process's connections by alias; every thread, task and cache object shares them."""

    def __init__(self) -> None:
        self._connections: dict[Any, Connection] = {}
        self._lock = ForkSafeLock()
        self.generation = 0  # of the connections that are here; what was made with an earlier one is out of date

    def __getitem__(self, alias: str) -> Connection:
        found = self._connections.get(alias)
        return found or self._add(alias, lambda: conf.connection_settings(alias))

    def named(self, alias: str) -> Connection:
        """Return the connection of an alias; raise ``ConnectionError`` where the site runs without Redis."""
        try:
            return self[alias]
        except ImproperlyConfigured:
            if conf.aliases():
                raise
            raise ConnectionError("UPSTASH names no connection.") from None

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
            self.generation += 1
        for connection in closing:
            connection.close()

    def _add(self, key: Any, settings: Any) -> Connection:
        with self._lock:
            if key not in self._connections:
                self._connections[key] = Connection(settings())
            return self._connections[key]

    def after_fork(self) -> None:
        """In a forked child: count from zero, and find out alone whether the servers answer."""
        for connection in self._connections.values():
            connection.after_fork()


connections = Connections()
reset_after_fork(connections.after_fork)


def _forget_changed(*, setting: str, **kwargs: Any) -> None:
    if setting.startswith("UPSTASH") or setting == "CACHES":
        conf.hide_credentials()
    if setting in ("UPSTASH", "CACHES", PREFIX_SETTING):
        connections.close_all()


setting_changed.connect(_forget_changed, dispatch_uid="django_upstash.connections")
