"""
The types that the replies of commands have: a reply of any other type is a protocol error.

Only commands whose reply has one form whatever their options are listed, under the name as this package writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from django_upstash.exceptions import ProtocolError
from django_upstash.operations import Argument, Command, Operation, Reply

Types: TypeAlias = frozenset[type]

_ANY: Types = frozenset({bytes, int, list, type(None)})
_INT: Types = frozenset({int})
_BYTES: Types = frozenset({bytes})
_MAYBE_BYTES: Types = frozenset({bytes, type(None)})
_LIST: Types = frozenset({list})
_LOOKED_INTO: Types = frozenset()  # lists whose items are checked as well
# What a misread reply raises in the code that reads it.
_MISREADINGS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError, AssertionError)
# So many round trips of one operation may end where they began, as those of a busy compare-and-set do.
MOST_IN_VAIN = 100


class _Types(dict[Argument, Types]):
    def __missing__(self, name: Argument) -> Types:
        return _ANY


EXPECTED = _Types(
    {
        **dict.fromkeys("EVAL EVALSHA EVAL_RO EVALSHA_RO".split(), _ANY),
        **dict.fromkeys("GET GETDEL GETEX HGET LINDEX SET ZADD ZSCORE".split(), _MAYBE_BYTES),
        **dict.fromkeys("ECHO HINCRBYFLOAT INCRBYFLOAT INFO MSET PING RENAME TYPE ZINCRBY".split(), _BYTES),
        "MGET": _LIST,
        **dict.fromkeys("HGETALL HKEYS HMGET HVALS LRANGE SCAN SMEMBERS SSCAN TIME ZRANGE".split(), _LOOKED_INTO),
        **dict.fromkeys(
            "DBSIZE DECR DECRBY DEL DELEX DELIFEQ EXISTS EXPIRE EXPIREAT HDEL HEXISTS HINCRBY HLEN HSET INCR INCRBY "
            "LLEN LPUSH MSETEX PERSIST PEXPIRE PEXPIREAT PTTL PUBLISH RPUSH SADD SCARD SISMEMBER SREM STRLEN TTL "
            "UNLINK ZCARD ZCOUNT ZREM ZREMRANGEBYSCORE".split(),
            _INT,
        ),
    }
)
# Whose text or items are numbers as well, which redis-py reads.
_OF_MORE_THAN_A_TYPE = frozenset({"HINCRBYFLOAT", "INCRBYFLOAT", "INFO", "ZADD", "ZINCRBY", "ZRANGE", "ZSCORE"})
EXPECTED["ZADD"] = _MAYBE_BYTES | _INT  # with INCR


def check(command: Command, reply: Reply) -> None:
    """Raise ``ProtocolError`` for a reply whose type, or whose items' types, do not fit the command."""
    if EXPECTED[command[0]] is _LOOKED_INTO and isinstance(reply, list) and _holds_what_it_should(command, reply):
        return
    # Neither the arguments nor the reply are quoted: they may be secret.
    raise ProtocolError(f"The server answered {_name(command)} with {_kind(reply)}, which is no reply to it.")


def misread(operation: Operation[Any], replies: Sequence[Reply], error: Exception) -> ProtocolError | None:
    """
    Return the error to raise in place of what reading these replies has raised.

    None where the replies are what their commands promise: then the error is the caller's or ours, and goes on.
    """
    if not isinstance(error, _MISREADINGS):
        return None
    for command, reply in zip(operation.commands, replies, strict=True):
        if not _is_as_promised(command, reply):
            kind = type(error).__name__
            return ProtocolError(
                f"The server's answer to {_name(command)} is {_kind(reply)} that cannot be read ({kind})."
            )
    return None


class Progress:
    """Watches the round trips of one operation, and raises ``ProtocolError`` once they lead nowhere."""

    def __init__(self) -> None:
        self._last: object = None
        self._in_vain = 0

    def check(self, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
        """Note one round trip that asks for another."""
        this = (list(commands), list(replies))
        is_vain = this == self._last or all(reply is None for reply in replies)
        self._last, self._in_vain = this, self._in_vain + 1 if is_vain else 0
        if self._in_vain >= MOST_IN_VAIN:
            name = _name(commands[0])
            raise ProtocolError(f"The server answers {name} in a way that leads nowhere: asked {MOST_IN_VAIN} times.")


def _is_as_promised(command: Command, reply: Reply) -> bool:
    if isinstance(reply, Exception):
        return True
    types = EXPECTED.get(command[0])
    if types is None or types is _ANY or command[0] in _OF_MORE_THAN_A_TYPE:
        return False
    return not isinstance(reply, list) or _holds_what_it_should(command, reply)


def _holds_what_it_should(command: Command, reply: list[Reply]) -> bool:
    name = command[0]
    if name in ("SCAN", "SSCAN"):
        is_cursor = _is_number(reply[0]) or isinstance(reply[0], int) if reply else False
        return is_cursor and len(reply) == 2 and isinstance(reply[1], list) and _are_bytes(reply[1])
    if name == "TIME":
        return len(reply) == 2 and all(map(_is_number, reply))
    if name in ("MGET", "HMGET"):
        wanted = len(command) - (1 if name == "MGET" else 2)
        return len(reply) == wanted and all(item is None or isinstance(item, bytes) for item in reply)
    return _are_bytes(reply) and (name != "HGETALL" or len(reply) % 2 == 0)


def _are_bytes(items: list[Reply]) -> bool:
    return all(isinstance(item, bytes) for item in items)


def _is_number(reply: Reply) -> bool:
    return isinstance(reply, bytes) and reply.isdigit()


def _name(command: Command) -> str:
    name = command[0]
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


def _kind(reply: Reply) -> str:
    kinds = {bytes: "text", int: "an integer", list: "a list", type(None): "nil"}
    return kinds.get(type(reply), f"a {type(reply).__name__}")
