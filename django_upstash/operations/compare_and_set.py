"""
Compare-and-set: store a value where a known one is still stored.

Redis 8.4, Valkey 9 and Upstash compare in SET itself, with IFEQ. Elsewhere a script compares digests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha1
from typing import Any

from django_upstash.exceptions import ResponseError
from django_upstash.operations import Argument, Command, Operation, Reply, checked, command, only, scripts
from django_upstash.operations.capabilities import Capabilities

SET_IFEQ = "SET IFEQ"


def _true(replies: Sequence[Reply]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Swap:
    """
    The value to store under ``key`` where ``before`` is still stored; ``options`` are those of SET.

    ``along`` are commands to send in the same request; a server that compares by script receives them once the value
    is stored. ``result`` makes the result of their replies. Without ``reads``, nobody wants to know what is stored
    where the value has changed.
    """

    key: str
    before: bytes
    after: bytes
    options: tuple[str, ...] = ()
    along: tuple[Command, ...] = ()
    result: Callable[[Sequence[Reply]], Any] = _true
    reads: bool = True

    @property
    def command(self) -> Command:
        """The command that compares and stores."""
        return "SET", self.key, self.after, "IFEQ", self.before, *self.options

    def of_command(self, replies: list[Reply]) -> Any:
        """Return the result of a request that began with ``command``."""
        if checked(replies)[0] is not None:
            return self.result(replies[1:])
        return command("GET", self.key) if self.reads else None

    def of_script(self, replies: list[Reply]) -> Any:
        """Return the result of the script's reply."""
        reply: Any = only(replies)
        if not isinstance(reply, int):
            return None if reply is None else reply[0]
        return Operation(self.along, lambda told: self.result(checked(told))) if self.along else self.result(())


def compare_and_set(
    capabilities: Capabilities,
    swap: Swap,
    *,
    replay_safe: bool = False,
    instead: Callable[[], Operation[Any]] | None = None,
) -> Operation[Any]:
    """
    Return the operation that stores a value where nothing has changed, by SET where the server compares in it.

    Its result is True, or what is stored now, None for nothing. ``instead`` makes the operation for a user who may
    not run scripts on a server that compares by script.
    """
    by_script = partial(_by_script, capabilities, swap, replay_safe=replay_safe, instead=instead)
    return set_if_equal(capabilities, (swap.command, *swap.along), swap.of_command, by_script, replay_safe=replay_safe)


def compare_digest_and_set(capabilities: Capabilities, swap: Swap) -> Operation[Any]:
    """
    Return the operation that does the same, and sends a digest in the place of ``before``, which may be large.

    A user who may not run scripts sends ``before`` itself.
    """
    by_script = partial(_by_script, capabilities, swap)

    def by_command() -> Operation[Any]:
        return set_if_equal(capabilities, (swap.command, *swap.along), swap.of_command, by_script)

    return by_script(instead=by_command)


def _by_script(
    capabilities: Capabilities,
    swap: Swap,
    *,
    replay_safe: bool = False,
    instead: Callable[[], Operation[Any]] | None = None,
) -> Operation[Any]:
    digest = sha1(swap.before, usedforsecurity=False).hexdigest()
    arguments: list[Argument] = [digest, swap.after, "1" if swap.reads else "", *swap.options]
    return scripts.load("operations/compare_and_set").operation(
        capabilities, [swap.key], arguments, swap.of_script, replay_safe=replay_safe, instead=instead
    )


def set_if_equal(
    capabilities: Capabilities,
    commands: Sequence[Command],
    parse: Callable[[list[Reply]], Any],
    otherwise: Callable[[], Operation[Any]],
    *,
    replay_safe: bool = False,
) -> Operation[Any]:
    """
    Return the operation that sends commands, the first of which is SET with IFEQ.

    ``otherwise`` makes the operation for a server that does not know this option.
    """
    if not capabilities.has(SET_IFEQ):
        return otherwise()

    def parse_or_not(replies: list[Reply]) -> Any:
        if isinstance(replies[0], ResponseError) and "syntax" in str(replies[0]):
            capabilities.lacks.add(SET_IFEQ)
            return otherwise()
        return parse(replies)

    return Operation(commands, parse_or_not, replay_safe=replay_safe)
