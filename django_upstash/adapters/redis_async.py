"""redis-py's asyncio client over a connection: what ``redis.py`` is, awaited."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import redis
import redis.asyncio
from redis.asyncio.client import Monitor, Pipeline, PubSub
from redis.asyncio.lock import Lock
from redis.client import EMPTY_RESPONSE
from redis.commands.core import AsyncScript

from django_upstash.adapters import blocking, commands
from django_upstash.adapters.dedicated_async import AsyncDedicatedConnections, waiting

if TYPE_CHECKING:
    from django_upstash.wire.shared_connection import SharedConnection


class AsyncRouteRedis(redis.asyncio.Redis):
    """
    ``redis.asyncio.Redis`` over a connection, for every event loop; commands of one tick share a round trip.

    What needs a connection of its own gets one of the loop's, at most ``MAX_CONNECTIONS``, on the native route, and
    raises ``NotOverRestError`` over REST. Closing closes nothing, for the connection is everybody's.
    """

    connection_pool: AsyncDedicatedConnections

    def __init__(self, connection: SharedConnection) -> None:
        super().__init__(connection_pool=AsyncDedicatedConnections(connection))
        self._shared = connection

    def __repr__(self) -> str:
        return f"<AsyncRouteRedis over {self._shared!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command and return its result; raise the error that the server answers."""
        if EMPTY_RESPONSE in options:
            return options[EMPTY_RESPONSE]
        operation = commands.single(args, options, self.response_callbacks)
        command = operation.commands[0]
        if blocking.is_blocking(command):
            return await _settled(operation.parse([await self.connection_pool.run(command)]))
        return await _settled(await self._shared.arun(operation))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> AsyncRoutePipeline:
        """Return a queue of commands that leave together; by default they run as one transaction."""
        return AsyncRoutePipeline(self._shared, self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def lock(self, name: Any, *args: Any, **kwargs: Any) -> Lock:
        """Return redis-py's asyncio ``Lock`` of this name, with its arguments."""
        if len(args) < 5 and kwargs.get("lock_class") is None:
            kwargs["lock_class"] = AsyncRouteLock
        return super().lock(name, *args, **kwargs)

    def register_script(self, script: Any) -> AsyncRouteScript:  # type: ignore[override]
        """Return a callable that runs a Lua script by its SHA, and by its source where the server has not seen it."""
        return AsyncRouteScript(self, script)

    def pubsub(self, **kwargs: Any) -> PubSub:
        """Return redis-py's ``PubSub`` on a connection of its own."""
        self.connection_pool.require("Publish/subscribe", "poll a stream with XREAD")
        return AsyncPatientPubSub(self.connection_pool, event_dispatcher=self._event_dispatcher, **kwargs)

    def monitor(self) -> Monitor:
        """Return redis-py's ``Monitor`` on a connection of its own."""
        self.connection_pool.require("MONITOR")
        return AsyncPatientMonitor(self.connection_pool)

    def client(self) -> redis.asyncio.Redis:
        """Return a client with one connection of its own, for SELECT, CLIENT, WAIT and the like. Close it after use."""
        self.connection_pool.require("client()")
        return AsyncDedicatedRedis(connection_pool=self.connection_pool, single_connection_client=True)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Do nothing: ``Connection.close`` releases the sockets."""


class AsyncRoutePipeline(Pipeline):
    """A pipeline in one round trip on the shared connection; with WATCH, redis-py's own on a connection of its own."""

    connection_pool: AsyncDedicatedConnections

    def __init__(
        self,
        shared: SharedConnection,
        pool: AsyncDedicatedConnections,
        callbacks: Any,
        transaction: bool,
        shard_hint: str | None,
    ) -> None:
        super().__init__(pool, callbacks, transaction, shard_hint)
        self._shared = shared

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """
        Run the queued commands and return their results.

        A refused command raises its error, or with ``raise_on_error=False`` leaves it among the results. The pipeline
        is empty and ready for the next commands afterwards, in either case.
        """
        if self.connection is not None:
            return await super().execute(raise_on_error)
        try:
            return await self._run_queued(raise_on_error)
        finally:
            await self.reset()  # type: ignore[no-untyped-call]

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command at once: WATCH, what follows it, and the loading of scripts."""
        if args[0] != "WATCH" and self.connection is None:
            return await _settled(await self._shared.arun(commands.single(args, options, self.response_callbacks)))
        self.connection_pool.require("WATCH", "let a Lua script decide (register_script) or take a lock()")
        return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def annotate_exception(self, exception: Exception, number: int, command: Iterable[object]) -> None:
        commands.annotate(exception, number, tuple(command))

    async def _run_queued(self, raise_on_error: bool) -> list[Any]:
        operation = commands.batch(
            self.command_stack,
            self.scripts,
            self.response_callbacks,
            atomic=self.is_transaction or self.explicit_transaction,
            raise_on_error=raise_on_error,
        )
        results: Any = await self._shared.arun(operation) if operation.commands else operation.parse([])
        return [await _settled(result) for result in results]


class AsyncRouteScript(AsyncScript):
    """redis-py's script; where the server has not seen it, its source is sent, for SCRIPT LOAD may miss a replica."""

    async def __call__(
        self, keys: Sequence[Any] | None = None, args: Iterable[Any] | None = None, client: Any = None
    ) -> Any:
        """Run the script with these keys and arguments, or queue it where ``client`` is a pipeline."""
        client = client or self.registered_client
        operands = (len(keys or ()), *(keys or ()), *(args or ()))
        if isinstance(client, Pipeline):
            client.scripts.add(self)  # type: ignore[arg-type]
        try:
            return await client.evalsha(self.sha, *operands)
        except redis.exceptions.NoScriptError:
            return await client.eval(self.script, *operands)


class AsyncRouteLock(Lock):
    """redis-py's lock, whose scripts are the client's own instead of the first client's that ever made a lock."""

    lua_release: Any
    lua_extend: Any
    lua_reacquire: Any

    def register_scripts(self) -> None:
        self.lua_release = self.redis.register_script(self.LUA_RELEASE_SCRIPT)
        self.lua_extend = self.redis.register_script(self.LUA_EXTEND_SCRIPT)
        self.lua_reacquire = self.redis.register_script(self.LUA_REACQUIRE_SCRIPT)


class AsyncPatientPubSub(PubSub):
    """redis-py's ``PubSub``, of which every version waits for a message as long as it takes."""

    async def parse_response(self, block: bool = True, timeout: float = 0) -> Any:
        with waiting(self.connection if block else None, None):
            return await super().parse_response(block, timeout)


class AsyncPatientMonitor(Monitor):
    """redis-py's ``Monitor``, waiting for the next command as long as it takes."""

    async def next_command(self) -> Any:
        with waiting(self.connection, None):
            return await super().next_command()


class AsyncDedicatedRedis(redis.asyncio.Redis):
    """redis-py's client on one connection, which nobody gets after it: its state may have been changed."""

    connection_pool: AsyncDedicatedConnections

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> AsyncRoutePipeline:
        """Return a pipeline on the shared connection: redis-py's would run on another connection than this as well."""
        pool = self.connection_pool
        return AsyncRoutePipeline(pool.owner, pool, self.response_callbacks, transaction, shard_hint)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Disconnect."""
        if self.connection is not None:
            await self.connection.disconnect()
        await super().aclose(close_connection_pool)


async def _settled(result: Any) -> Any:
    """Await the result of a response callback that is a coroutine function; others have none to await."""
    return await result if inspect.isawaitable(result) else result
