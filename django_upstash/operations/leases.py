"""A lease: the right to do something, held by one process at a time, and for so long at most."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django_upstash.exceptions import OutOfMemoryError
from django_upstash.operations import Command, Operation, Reply, only, scripts
from django_upstash.operations.capabilities import Capabilities
from django_upstash.operations.compare_and_set import set_if_equal

# Deletes where equal: on Upstash and Redis 8.4, on Valkey 9, and by script elsewhere.
_DELETING: tuple[tuple[str, tuple[str, ...]], ...] = (("DELEX", ("IFEQ",)), ("DELIFEQ", ()))


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
    return _release_by_script(capabilities, name, token, replay_safe)


def extend(capabilities: Capabilities, name: str, token: str, milliseconds: int) -> Operation[bool]:
    """
    Return the operation that lets the lease start over, and tells whether it was there still to be extended.

    A server that is full refuses SET, but not PEXPIRE, which the script sends: it costs one more request.
    """

    def by_script() -> Operation[bool]:
        arguments = [token, str(milliseconds)]
        return scripts.load("operations/extend").operation(capabilities, [name], arguments, _was_done, replay_safe=True)

    def parse(replies: list[Reply]) -> bool | Operation[bool]:
        return by_script() if isinstance(replies[0], OutOfMemoryError) else _was_done(replies)

    setting = _lasting(name, token, milliseconds)
    return set_if_equal(capabilities, (setting,), parse, by_script, replay_safe=True)


def _release_by_script(capabilities: Capabilities, name: str, token: str, replay_safe: bool) -> Operation[int]:
    run = partial(scripts.load("operations/release").operation, capabilities, [name], [token], replay_safe=replay_safe)

    def end_now() -> Operation[int]:
        """Return the operation that lets the lease end in a millisecond, for a user who may not run scripts."""
        setting = _lasting(name, token, 1)
        return set_if_equal(
            capabilities, (setting,), lambda replies: int(_was_done(replies)), run, replay_safe=replay_safe
        )

    return run(instead=end_now)


def _lasting(name: str, token: str, milliseconds: int) -> Command:
    return "SET", name, token, "IFEQ", token, "PX", str(milliseconds)


def _was_done(replies: list[Reply]) -> bool:
    return bool(only(replies))


def _or_another_way(
    capabilities: Capabilities, command: str, other: Callable[[], Operation[Any]]
) -> Callable[[list[Reply]], Any]:
    def parse(replies: list[Reply]) -> Any:
        if capabilities.withholds(command, replies[0]):
            return other()
        return only(replies)

    return parse
