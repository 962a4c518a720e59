"""
The waist: what every feature says to a route, and what it gets back.

An operation is a value: the commands of one round trip and a function that reads their replies. Making one does no
I/O, so the same operation runs synchronously and asynchronously, natively and over REST.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, Union

__all__ = ["Operation", "command"]

Argument: TypeAlias = bytes | str | int | float
Command: TypeAlias = tuple[Argument, ...]
Reply: TypeAlias = Union[bytes, int, "list[Reply]", Exception, None]
Result = TypeVar("Result")

_REPLAY_SAFE_COMMANDS = frozenset(
    "BITCOUNT BITPOS DBSIZE DIGEST DUMP ECHO EVALSHA_RO EVAL_RO EXISTS EXPIRE EXPIREAT EXPIRETIME GET GETBIT GETRANGE "
    "HEXISTS HGET HGETALL HKEYS HLEN HMGET HSCAN HSTRLEN HVALS INFO LINDEX LLEN LPOS LRANGE MEMORY MGET MSET "
    "PEXPIRE PEXPIREAT PEXPIRETIME PING PTTL SCAN SCARD SDIFF SINTER SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN "
    "STRLEN SUNION TIME TOUCH TTL TYPE XINFO XLEN XRANGE XREAD XREVRANGE ZCARD ZCOUNT ZMSCORE ZRANGE ZRANGEBYSCORE "
    "ZRANK ZREVRANGE ZREVRANK ZSCAN ZSCORE".split()
)
_EXPIRING = frozenset({"EXPIRE", "EXPIREAT", "PEXPIRE", "PEXPIREAT"})
_CONDITIONS = frozenset({"NX", "XX", "GET", "IFEQ", "IFNE", "IFDEQ", "IFDNE"})


class Operation(Generic[Result]):
    """
    The commands of one round trip and the function that reads their replies.

    ``parse`` receives one reply per command, in order; the error of a refused command is in its slot. It returns
    the result, or another operation when the replies ask for one more round trip. An operation without commands knows
    its result: nothing is sent, and ``parse`` receives no replies. ``atomic`` runs the commands as one
    transaction. ``replay_safe`` says whether sending them twice changes neither the data nor the result; where it is
    None, the commands' names decide.
    """

    __slots__ = ("atomic", "commands", "parse", "replay_safe")

    def __init__(
        self,
        commands: Sequence[Command],
        parse: Callable[[list[Reply]], Result | Operation[Result]],
        *,
        atomic: bool = False,
        replay_safe: bool | None = None,
    ) -> None:
        self.commands = commands
        self.parse = parse
        self.atomic = atomic
        self.replay_safe = replay_safe

    def __repr__(self) -> str:
        # Only the names: arguments may be secret.
        return f"<Operation {' '.join(str(command[0]) for command in self.commands[:8])}>"


def command(*arguments: Argument) -> Operation[Any]:
    """Return the operation that sends one command and returns its reply as it is."""
    return Operation((arguments,), only)


def then(operation: Operation[Any], follow: Callable[[Any], Any]) -> Operation[Any]:
    """Return the operation whose result is what ``follow`` makes of the first one's, another operation perhaps."""

    def parse(replies: list[Reply]) -> Any:
        result = operation.parse(replies)
        return then(result, follow) if isinstance(result, Operation) else follow(result)

    return Operation(operation.commands, parse, atomic=operation.atomic, replay_safe=operation.replay_safe)


def only(replies: list[Reply]) -> Any:
    """Return the first reply, raising it where it is an error."""
    reply = replies[0]
    if isinstance(reply, Exception):
        raise reply
    return reply


def checked(replies: list[Reply]) -> list[Any]:
    """Return the replies, raising the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def replay_safe(commands: Sequence[Command]) -> bool:
    """Tell whether running these commands a second time changes neither the data nor the replies."""
    return all(_is_replay_safe(command) for command in commands)


def _is_replay_safe(command: Command) -> bool:
    name = _upper(command[0])
    if name == "SET":
        return _CONDITIONS.isdisjoint(_upper(option) for option in command[3:])
    if name in _EXPIRING:
        return len(command) == 3  # NX, XX, GT and LT ask what the first attempt may have changed
    if name == "MSETEX":
        # The options follow the pairs; a key that happens to read "NX" only makes the answer cautious.
        return _CONDITIONS.isdisjoint(_upper(option) for option in command[2:] if len(str(option)) <= 5)
    return name in _REPLAY_SAFE_COMMANDS


def _upper(argument: Argument) -> str:
    return (argument.decode("latin-1") if isinstance(argument, bytes) else str(argument)).upper()
