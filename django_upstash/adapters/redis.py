"""redis-py's client over a connection: its commands, pipelines, ``Lock`` and scripts, on either route."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import redis
from redis.client import EMPTY_RESPONSE, Monitor, Pipeline, PubSub
from redis.commands.core import Script
from redis.lock import Lock

from django_upstash.adapters import blocking, commands
from django_upstash.adapters.dedicated import DedicatedConnections, waiting
from django_upstash.adapters.redis_async import AsyncRouteRedis

if TYPE_CHECKING:
    from django_upstash.wire.shared_connection import SharedConnection

__all__ = ["AsyncRouteRedis", "RouteRedis"]


class RouteRedis(redis.Redis):
    """
    ``redis.Redis`` whose commands and pipelines go to a connection: metered, shared by all threads, replies as bytes.

    On the native route, blocking commands, WATCH, publish/subscribe, MONITOR and ``client()`` take a connection of
    their own, of which there are at most ``MAX_CONNECTIONS``, and are not metered; over REST they raise
    ``NotOverRestError``. Closing closes nothing, for the connection is everybody's.
    """

    connection_pool: DedicatedConnections

    def __init__(self, connection: SharedConnection) -> None:
        super().__init__(connection_pool=DedicatedConnections(connection))
        self._shared = connection

    def __repr__(self) -> str:
        return f"<RouteRedis over {self._shared!r}>"

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command and return its result; raise the error that the server answers."""
        if EMPTY_RESPONSE in options:
            return options[EMPTY_RESPONSE]
        operation = commands.single(args, options, self.response_callbacks)
        command = operation.commands[0]
        if blocking.is_blocking(command):
            return operation.parse([self.connection_pool.run(command)])
        return self._shared.run(operation)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> RoutePipeline:
        """Return a queue of commands that leave together; by default they run as one transaction."""
        return RoutePipeline(self._shared, self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def lock(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Return redis-py's ``Lock`` of this name, with its arguments."""
        if len(args) < 5 and kwargs.get("lock_class") is None:
            kwargs["lock_class"] = RouteLock
        return super().lock(name, *args, **kwargs)

    def register_script(self, script: Any) -> RouteScript:
        """Return a callable that runs a Lua script by its SHA, and by its source where the server has not seen it."""
        return RouteScript(self, script)

    def pubsub(self, **kwargs: Any) -> PubSub:
        """Return redis-py's ``PubSub`` on a connection of its own."""
        self.connection_pool.require("Publish/subscribe", "poll a stream with XREAD")
        return PatientPubSub(self.connection_pool, event_dispatcher=self._event_dispatcher, **kwargs)

    def monitor(self) -> Monitor:
        """Return redis-py's ``Monitor`` on a connection of its own."""
        self.connection_pool.require("MONITOR")
        return PatientMonitor(self.connection_pool)  # type: ignore[no-untyped-call]

    def client(self) -> redis.Redis:
        """Return a client with one connection of its own, for SELECT, CLIENT, WAIT and the like. Close it after use."""
        self.connection_pool.require("client()")
        return DedicatedRedis(connection_pool=self.connection_pool, single_connection_client=True)

    def close(self) -> None:
        """Do nothing: ``Connection.close`` releases the sockets."""


class RoutePipeline(Pipeline):
    """A pipeline in one round trip on the shared connection; with WATCH, redis-py's own on a connection of its own."""

    connection_pool: DedicatedConnections

    def __init__(
        self,
        shared: SharedConnection,
        pool: DedicatedConnections,
        callbacks: Any,
        transaction: bool,
        shard_hint: str | None,
    ) -> None:
        super().__init__(pool, callbacks, transaction, shard_hint)
        self._shared = shared

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """
        Run the queued commands and return their results.

        A refused command raises its error, or with ``raise_on_error=False`` leaves it among the results. The pipeline
        is empty and ready for the next commands afterwards, in either case.
        """
        if self.connection is not None:
            return super().execute(raise_on_error)
        try:
            return self._run_queued(raise_on_error)
        finally:
            self.reset()

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command at once: WATCH, what follows it, and the loading of scripts."""
        if args[0] != "WATCH" and self.connection is None:
            return self._shared.run(commands.single(args, options, self.response_callbacks))
        self.connection_pool.require("WATCH", "let a Lua script decide (register_script) or take a lock()")
        return super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def reset(self) -> None:  # type: ignore[override]
        """Empty the pipeline and give its own connection back, if it has one."""
        if self.connection is not None and self.connection.pid != os.getpid():
            # A forked child must not say UNWATCH on its parent's connection, not even when it collects garbage.
            self.connection, self.watching = None, False
        super().reset()

    def annotate_exception(self, exception: Exception, number: int, command: Iterable[object]) -> None:
        commands.annotate(exception, number, tuple(command))

    def _run_queued(self, raise_on_error: bool) -> list[Any]:
        operation = commands.batch(
            self.command_stack,
            self.scripts,
            self.response_callbacks,
            atomic=bool(cast(Any, self.transaction) or self.explicit_transaction),
            raise_on_error=raise_on_error,
        )
        return self._shared.run(operation) if operation.commands else cast("list[Any]", operation.parse([]))


class RouteScript(Script):
    """redis-py's script; where the server has not seen it, its source is sent, for SCRIPT LOAD may miss a replica."""

    def __call__(self, keys: Sequence[Any] | None = None, args: Iterable[Any] | None = None, client: Any = None) -> Any:
        """Run the script with these keys and arguments, or queue it where ``client`` is a pipeline."""
        client = client or self.registered_client
        operands = (len(keys or ()), *(keys or ()), *(args or ()))
        if isinstance(client, Pipeline):
            client.scripts.add(self)
        try:
            return client.evalsha(self.sha, *operands)
        except redis.exceptions.NoScriptError:
            return client.eval(self.script, *operands)


class RouteLock(Lock):
    """redis-py's lock, whose scripts are the client's own instead of the first client's that ever made a lock."""

    def register_scripts(self) -> None:
        self.lua_release = self.redis.register_script(self.LUA_RELEASE_SCRIPT)
        self.lua_extend = self.redis.register_script(self.LUA_EXTEND_SCRIPT)
        self.lua_reacquire = self.redis.register_script(self.LUA_REACQUIRE_SCRIPT)


class PatientPubSub(PubSub):
    """redis-py's ``PubSub``, of which every version waits for a message as long as it takes."""

    def parse_response(self, block: bool = True, timeout: float = 0) -> Any:
        with waiting(self.connection if block else None, None):
            return super().parse_response(block, timeout)  # type: ignore[no-untyped-call]


class PatientMonitor(Monitor):
    """redis-py's ``Monitor``, waiting for the next command as long as it takes."""

    def next_command(self) -> Any:
        with waiting(self.connection, None):
            return super().next_command()  # type: ignore[no-untyped-call]


class DedicatedRedis(redis.Redis):
    """redis-py's client on one connection, which nobody gets after it: its state may have been changed."""

    connection_pool: DedicatedConnections

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> RoutePipeline:
        """Return a pipeline on the shared connection: redis-py's would run on another connection than this as well."""
        pool = self.connection_pool
        return RoutePipeline(pool.owner, pool, self.response_callbacks, transaction, shard_hint)

    def close(self) -> None:
        """Disconnect."""
        connection = getattr(self, "connection", None)
        if connection is not None:
            connection.disconnect()
        super().close()
