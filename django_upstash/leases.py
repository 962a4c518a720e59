"""A lease: the right to do something, held by one process at a time, and for so long at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_upstash import scripts
from django_upstash.capabilities import Capabilities
from django_upstash.exceptions import ResponseError, UnknownCommandError
from django_upstash.operations import Command, Operation, Reply, only

# Deletes where equal: on Upstash and Redis 8.4, on Valkey 9, and by script elsewhere.
_DELETING: tuple[tuple[str, tuple[str, ...]], ...] = (("DELEX", ("IFEQ",)), ("DELIFEQ", ()))
_COMPARING = "SET IFEQ"


def asking(name: str, token: str, milliseconds: int) -> Command:
    """Return the command that takes the lease where nobody has it; its reply is None where somebody does."""
    return "SET", name, token, "NX", "PX", str(milliseconds)


def release(capabilities: Capabilities, name: str, token: str, *, replay_safe: bool = True) -> Operation[int]:
    """
    Return the operation that gives the lease back, unless it has ended and is somebody else's by now.

    Its result is 1 where the lease was there to be given back. Who wants to know must not have it sent twice: a second
    attempt finds nothing where the first has deleted.
    """

    def another_way() -> Operation[int]:
        return release(capabilities, name, token, replay_safe=replay_safe)

    for command, condition in _DELETING:
        if capabilities.has(command):
            parse = _or_another_way(capabilities, command, another_way)
            return Operation(((command, name, *condition, token),), parse, replay_safe=replay_safe)
    return scripts.load("release").operation(capabilities, [name], [token], replay_safe=replay_safe)


def extend(capabilities: Capabilities, name: str, token: str, milliseconds: int) -> Operation[bool]:
    """Return the operation that lets the lease begin anew, and tells whether it was there still to be extended."""
    if not capabilities.has(_COMPARING):
        arguments = [token, str(milliseconds)]
        return scripts.load("extend").operation(capabilities, [name], arguments, _was_done, replay_safe=True)

    def parse(replies: list[Reply]) -> bool | Operation[bool]:
        reply = replies[0]
        if isinstance(reply, ResponseError) and "syntax" in str(reply):
            capabilities.lacks.add(_COMPARING)
            return extend(capabilities, name, token, milliseconds)
        return _was_done(replies)

    setting = ("SET", name, token, "IFEQ", token, "PX", str(milliseconds))
    return Operation((setting,), parse, replay_safe=True)


def _was_done(replies: list[Reply]) -> bool:
    return bool(only(replies))


def _or_another_way(
    capabilities: Capabilities, command: str, other: Callable[[], Operation[Any]]
) -> Callable[[list[Reply]], Any]:
    def parse(replies: list[Reply]) -> Any:
        if isinstance(replies[0], UnknownCommandError):
            capabilities.lacks.add(command)
            return other()
        return only(replies)

    return parse
