"""
The Upstash SDK's client over a connection, on either route: its commands and formatters, without its HTTP client.

The SDK's replies are text. Bytes that are no UTF-8 become lone surrogates (``surrogateescape``), and text with such
surrogates is sent as the bytes it came from: an error instead would lose what a command like LPOP has taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from json import dumps
from typing import TYPE_CHECKING, Any

import upstash_redis
import upstash_redis.asyncio
import upstash_redis.errors
from upstash_redis import client as sdk
from upstash_redis.asyncio import client as async_sdk
from upstash_redis.commands import AsyncJsonCommands, AsyncSearchCommands, JsonCommands, SearchCommands
from upstash_redis.format import cast_response

from django_upstash import exceptions
from django_upstash.adapters import blocking, key_locking
from django_upstash.adapters.commands import encode_argument
from django_upstash.exceptions import DataError, UpstashError
from django_upstash.operations import Argument, Command, Operation, Reply

if TYPE_CHECKING:
    from django_upstash.wire.shared_connection import SharedConnection

# The SDK's texts begin with the code, which redis-py's and ours leave out; its users look for it: "NOSCRIPT" in str(e).
_CODES: dict[type[Exception], str] = {
    exceptions.NoScriptError: "NOSCRIPT",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ExecAbortError: "EXECABORT",
    exceptions.BusyLoadingError: "LOADING",
}


class RouteUpstash(upstash_redis.Redis):
    """
    ``upstash_redis.Redis`` whose commands go to a connection: timed, metered, safe under threads, bytes accepted.

    Errors are the SDK's ``UpstashError`` and this package's at once. Closing closes nothing, for the connection is
    everybody's; nothing is reported to anybody.
    """

    def __init__(self, connection: SharedConnection) -> None:
        # Not the SDK's own, which opens an httpx client.
        _set_attributes(self)
        self._json = JsonCommands(self)
        self._search = SearchCommands(self)
        self._connection = connection

    def __repr__(self) -> str:
        return f"<RouteUpstash over {self._connection!r}>"

    def execute(self, command: list[Any]) -> Any:
        """Run one command and return its result, as the SDK formats it."""
        try:
            (reply,) = self._connection.run(batch(self._connection, [command]))
        except UpstashError as error:
            raise as_sdk_error(error) from error
        return formatted(command, reply, self)

    def pipeline(self) -> UpstashPipeline:
        """Return a queue of commands that leave together."""
        return UpstashPipeline(self, self._connection, atomic=False)

    def multi(self) -> UpstashPipeline:
        """Return a queue of commands that run as one transaction."""
        return UpstashPipeline(self, self._connection, atomic=True)

    def close(self) -> None:
        """Do nothing: ``Connection.close`` releases the sockets."""


class UpstashPipeline(sdk.Pipeline):
    """The SDK's pipeline. ``exec`` empties it whatever happens, so that nothing is sent a second time."""

    def __init__(self, client: RouteUpstash, connection: SharedConnection, *, atomic: bool) -> None:
        super().__init__("", {}, None, "multi-exec" if atomic else "pipeline", _no_header, client)  # type: ignore[arg-type]
        self._connection = connection
        self._atomic = atomic

    def exec(self) -> list[Any]:
        """
        Run the queued commands and return their results.

        The first refused command raises its error, whose ``results`` has those of all commands, errors in their places.
        """
        commands, self._command_stack = self._command_stack, []
        if not commands:
            return []
        try:
            replies = self._connection.run(batch(self._connection, commands, atomic=self._atomic))
        except UpstashError as error:
            raise as_sdk_error(error) from error
        return results(commands, replies, self._original_client)


class AsyncRouteUpstash(upstash_redis.asyncio.Redis):
    """``upstash_redis.asyncio.Redis`` over a connection, for every event loop; commands of one tick share a request."""

    def __init__(self, connection: SharedConnection) -> None:
        # Not the SDK's own, which opens an httpx client.
        _set_attributes(self)
        self._json = AsyncJsonCommands(self)
        self._search = AsyncSearchCommands(self)
        self._connection = connection

    def __repr__(self) -> str:
        return f"<AsyncRouteUpstash over {self._connection!r}>"

    async def execute(self, command: list[Any]) -> Any:
        """Run one command and return its result, as the SDK formats it."""
        try:
            (reply,) = await self._connection.arun(batch(self._connection, [command]))
        except UpstashError as error:
            raise as_sdk_error(error) from error
        return formatted(command, reply, self)

    def pipeline(self) -> AsyncUpstashPipeline:
        """Return a queue of commands that leave together."""
        return AsyncUpstashPipeline(self, self._connection, atomic=False)

    def multi(self) -> AsyncUpstashPipeline:
        """Return a queue of commands that run as one transaction."""
        return AsyncUpstashPipeline(self, self._connection, atomic=True)

    async def close(self) -> None:
        """Do nothing: ``Connection.close`` releases the sockets."""


class AsyncUpstashPipeline(async_sdk.AsyncPipeline):
    """The SDK's asyncio pipeline. ``exec`` empties it whatever happens, so that nothing is sent a second time."""

    def __init__(self, client: AsyncRouteUpstash, connection: SharedConnection, *, atomic: bool) -> None:
        super().__init__("", {}, None, "multi-exec" if atomic else "pipeline", _no_header, client)  # type: ignore[arg-type]
        self._connection = connection
        self._atomic = atomic

    async def exec(self) -> list[Any]:
        """
        Run the queued commands and return their results.

        The first refused command raises its error, whose ``results`` has those of all commands, errors in their places.
        """
        commands, self._command_stack = self._command_stack, []
        if not commands:
            return []
        try:
            replies = await self._connection.arun(batch(self._connection, commands, atomic=self._atomic))
        except UpstashError as error:
            raise as_sdk_error(error) from error
        return results(commands, replies, self._original_client)


def batch(
    connection: SharedConnection, commands: Sequence[Sequence[Any]], *, atomic: bool = False
) -> Operation[list[Reply]]:
    """Return the operation of the SDK's commands, whose result is their replies, errors included."""
    return key_locking.batch([_encode(command) for command in commands], connection.capabilities, atomic=atomic)


def formatted(command: Sequence[Any], reply: Reply, client: Any) -> Any:
    """Return a reply as the SDK formats it, or raise its error."""
    value = _text(reply)
    if isinstance(value, Exception):
        raise value
    return cast_response(command, value, client)  # type: ignore[arg-type]


def results(commands: Sequence[Sequence[Any]], replies: Sequence[Reply], client: Any) -> list[Any]:
    """Return the replies of a pipeline as the SDK formats them; raise the first error with all of them in it."""
    made = [_result(command, _text(reply), client) for command, reply in zip(commands, replies, strict=True)]
    for result in made:
        if isinstance(result, Exception):
            result.results = made  # type: ignore[attr-defined]
            raise result
    return made


def as_sdk_error(error: Exception) -> Exception:
    """Return the error as one that is of its own kind and the SDK's ``UpstashError``, with the SDK's text."""
    kind: Any = type(error)
    made: Exception = _both(kind)(_with_code(error))
    return made


def _result(command: Sequence[Any], value: Any, client: Any) -> Any:
    return value if isinstance(value, Exception) else cast_response(command, value, client)  # type: ignore[arg-type]


@cache
def _both(kind: Any) -> Any:
    return type(kind.__name__, (kind, upstash_redis.errors.UpstashError), {"__module__": __name__})


def _with_code(error: Exception) -> str:
    text = str(error)
    if not isinstance(error, exceptions.ResponseError) or text.partition(" ")[0].isupper():
        return text
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "ERR")
    return f"{code} {text}"


def _encode(command: Sequence[Any]) -> Command:
    encoded = tuple(map(_argument, command))
    blocking.refuse(encoded)
    return encoded


def _argument(value: Any) -> Argument:
    """Return an argument as the SDK writes it: what is neither text nor a number nor bytes becomes JSON."""
    if isinstance(value, str):
        return value if value.isascii() else _escaped(value)
    if isinstance(value, bool) or not isinstance(value, bytes | bytearray | memoryview | int | float):
        return dumps(value)
    return encode_argument(value)


def _escaped(value: str) -> Argument:
    """Return text as it is, and text read from bytes that were none as those bytes."""
    with suppress(UnicodeEncodeError):
        value.encode()
        return value
    with suppress(UnicodeEncodeError):
        encoded = value.encode("utf-8", "surrogateescape")
        # Bytes that were UTF-8 after all would be somebody else's key.
        if encoded.decode("utf-8", "surrogateescape") == value:
            return encoded
    raise DataError("An argument has a lone surrogate, which UTF-8 cannot carry; send bytes instead.")


def _text(reply: Reply) -> Any:
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "surrogateescape")
    if isinstance(reply, list):
        return [_text(element) for element in reply]
    return as_sdk_error(reply) if isinstance(reply, Exception) else reply


def _set_attributes(client: Any) -> None:
    """Set what the SDK's own methods and its ratelimit library look at."""
    client._url = ""
    client._headers = {}
    client._sync_token = ""
    client._allow_telemetry = False
    client._read_your_writes = False


def _no_header(headers: dict[str, str]) -> None:
    """Set no Upstash-Sync-Token: the route keeps it."""
