"""
The client's methods as operations: how those on sets, hashes, sorted sets and lists are awaited.

A method is called with a client of redis-py's that raises what it was asked for instead of sending it. When the reply
is there, the method is called again, and gets it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis.client import EMPTY_RESPONSE

from django_upstash.adapters import commands
from django_upstash.adapters.redis import RouteRedis
from django_upstash.cache.combinators import known
from django_upstash.operations import Operation, Reply

if TYPE_CHECKING:
    from django_redis.client import DefaultClient  # type: ignore[import-untyped]


class _Asked(Exception):
    def __init__(self, operation: Operation[Any]) -> None:
        super().__init__()
        self.operation = operation


class _Rehearsing(RouteRedis):
    """Answers with the replies there are, and raises the next command."""

    def __init__(self, client: RouteRedis, replies: tuple[Reply, ...]) -> None:
        self.__dict__.update(client.__dict__)
        self._replies = iter(replies)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if EMPTY_RESPONSE in options:
            return options[EMPTY_RESPONSE]
        operation = commands.single(args, options, self.response_callbacks)
        for reply in self._replies:
            return operation.parse([reply])
        raise _Asked(operation)


def rehearsed(
    client: DefaultClient, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], replies: tuple[Reply, ...] = ()
) -> Operation[Any]:
    """Return the operation that does what this method of the client does."""

    connection_client: Any = client.get_client()

    def call(replies: tuple[Reply, ...]) -> Any:
        actor: Any = copy.copy(client)
        redis = _Rehearsing(connection_client, replies)
        actor.get_client = lambda *args, **kwargs: redis
        return getattr(actor, name)(*args, **kwargs)

    return _performed(call, replies)


def _performed(call: Callable[[tuple[Reply, ...]], Any], replies: tuple[Reply, ...]) -> Operation[Any]:
    try:
        result = call(replies)
    except _Asked as asked:
        return Operation(asked.operation.commands, lambda fresh: _go_on(call, (*replies, fresh[0])))
    return known(result)


def _go_on(call: Callable[[tuple[Reply, ...]], Any], replies: tuple[Reply, ...]) -> Any:
    operation = _performed(call, replies)
    return operation if operation.commands else operation.parse([])
