"""django-redis' ``client`` argument: an operation run through a client of redis-py's that the caller brings."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from django_upstash.exceptions import NoScriptError, ResponseError, UpstashError, as_redis_raises
from django_upstash.operations import Command, Operation
from django_upstash.wire.error_lines import server_error

if TYPE_CHECKING:
    import redis


def through(client: redis.Redis, operation: Operation[Any]) -> Any:
    """
    Run an operation through ``client`` and return its result.

    A pipeline only queues: it is returned itself, and its ``execute`` returns the replies as they are.
    """
    while True:
        replies = [_ask(client, command) for command in operation.commands]
        if any(reply is client for reply in replies):
            return client
        result = operation.parse(replies)
        if not isinstance(result, Operation):
            return result
        operation = result


def _ask(client: redis.Redis, command: Command) -> Any:
    try:
        reply = client.execute_command(*command)  # type: ignore[no-untyped-call]
    except as_redis_raises(ResponseError) as error:
        return _ours(error)
    if isawaitable(reply):
        raise TypeError("The client argument takes a redis.Redis; leave it out in asynchronous code.")
    return reply


def _ours(error: Exception) -> Exception:
    if isinstance(error, UpstashError):
        return error
    text = str(error)
    if isinstance(error, as_redis_raises(NoScriptError)):
        return NoScriptError(text)
    # redis-py drops the code ERR, and keeps those it does not know.
    return server_error(text if text.partition(" ")[0].isupper() else f"ERR {text}")
