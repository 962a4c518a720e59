"""A lease: the right to compute a value, held by one process at a time, and for so long at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_upstash import scripts
from django_upstash.capabilities import Capabilities
from django_upstash.exceptions import UnknownCommandError
from django_upstash.operations import Command, Operation, Reply, only

# Deletes where equal: on Upstash and Redis 8.4, on Valkey 9, and by script elsewhere.
_DELETING: tuple[tuple[str, tuple[str, ...]], ...] = (("DELEX", ("IFEQ",)), ("DELIFEQ", ()))


def asking(name: str, token: str, milliseconds: int) -> Command:
    """Return the command that takes the lease where nobody has it; its reply is None where somebody does."""
    return "SET", name, token, "NX", "PX", str(milliseconds)


def release(capabilities: Capabilities, name: str, token: str) -> Operation[Any]:
    """Return the operation that gives the lease back, unless it has ended and is somebody else's by now."""
    for command, condition in _DELETING:
        if capabilities.has(command):
            parse = _or_another_way(capabilities, command, lambda: release(capabilities, name, token))
            return Operation(((command, name, *condition, token),), parse, replay_safe=True)
    return scripts.load("release").operation(capabilities, [name], [token], replay_safe=True)


def _or_another_way(
    capabilities: Capabilities, command: str, other: Callable[[], Operation[Any]]
) -> Callable[[list[Reply]], Any]:
    def parse(replies: list[Reply]) -> Any:
        if isinstance(replies[0], UnknownCommandError):
            capabilities.lacks.add(command)
            return other()
        return only(replies)

    return parse
