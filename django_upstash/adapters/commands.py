"""redis-py's commands as operations: arguments as its encoder takes them, replies as its callbacks return them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from redis.client import EMPTY_RESPONSE, NEVER_DECODE

from django_upstash.adapters import blocking
from django_upstash.exceptions import DataError, ExecAbortError, ResponseError
from django_upstash.operations import Argument, Command, Operation, Reply, only

Callbacks: TypeAlias = Mapping[Any, Callable[..., Any]]
Queued: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]

_NEEDS_NO_LOOK = frozenset({bytes, str})
# Options of `execute_command` that speak to redis-py's own reading of a reply; its callbacks do not take them.
_NOT_FOR_CALLBACKS = frozenset({"keys", NEVER_DECODE, EMPTY_RESPONSE})


def encode(arguments: Sequence[Any]) -> Command:
    """
    Return what ``execute_command`` was given as a command; a name of several words is split.

    Raises ``DataError`` for an argument that redis-py's encoder refuses: None, bool, and objects of other types.
    """
    name = arguments[0]
    words = name.split() if isinstance(name, str | bytes) else [name]
    if len(words) > 1:
        arguments = (*words, *arguments[1:])
    if _NEEDS_NO_LOOK.issuperset(map(type, arguments)):
        return tuple(arguments)
    return tuple(map(encode_argument, arguments))


def encode_argument(value: Any) -> Argument:
    """Return an argument as the routes take it: numbers beyond 64 bits and floats as text, buffers as bytes."""
    if isinstance(value, bytes | str):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = type(value).__name__
        raise DataError(f"Invalid input of type: {kind!r}. Convert to a bytes, string, int or float first.")
    if isinstance(value, float):
        return float.__repr__(value)
    return int(value) if value.bit_length() < 64 else _digits(int(value))


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        raise DataError("An integer argument has more digits than Python writes out; send it as bytes.") from None


def single(arguments: Sequence[Any], options: Mapping[str, Any], callbacks: Callbacks) -> Operation[Any]:
    """Return the operation of one command, whose result is what redis-py's callback makes of the reply."""
    name = arguments[0]
    return Operation((encode(arguments),), lambda replies: read(only(replies), name, options, callbacks))


def read(reply: Reply, name: Any, options: Mapping[str, Any], callbacks: Callbacks) -> Any:
    """Return what redis-py's callback for the command makes of its reply."""
    if name not in callbacks:
        return reply
    return callbacks[name](reply, **{key: options[key] for key in options if key not in _NOT_FOR_CALLBACKS})


def batch(
    stack: Sequence[Queued], scripts: Iterable[Any], callbacks: Callbacks, *, atomic: bool, raise_on_error: bool
) -> Operation[list[Any]]:
    """Return the operation of a pipeline: ``stack`` as redis-py queues it, ``scripts`` as it registers them."""
    # redis-py brings the answer to a command that is known to be one without keys, MGET of nothing: it is not sent.
    sent = [encode(arguments) for arguments, options in stack if EMPTY_RESPONSE not in options]
    for command in sent:
        blocking.refuse(command)

    def parse(replies: list[Reply]) -> list[Any]:
        if atomic and replies and isinstance(replies[0], ExecAbortError):
            raise replies[0]
        answers = iter(replies)
        slots = [options[EMPTY_RESPONSE] if EMPTY_RESPONSE in options else next(answers) for _, options in stack]
        if raise_on_error:
            _raise_first_error(slots, stack)
        return [
            slot if isinstance(slot, Exception) else read(slot, arguments[0], options, callbacks)
            for slot, (arguments, options) in zip(slots, stack, strict=True)
        ]

    return Operation(_with_sources(sent, scripts), parse, atomic=atomic)


def _raise_first_error(slots: Sequence[Reply], stack: Sequence[Queued]) -> None:
    for number, (slot, (arguments, _)) in enumerate(zip(slots, stack, strict=True), start=1):
        if isinstance(slot, ResponseError):
            annotate(slot, number, arguments)
            raise slot


def annotate(error: Exception, number: int, arguments: Sequence[Any]) -> None:
    """Say in an error which command of a pipeline it is about: its number and its name, never its arguments."""
    name = arguments[0].split()[0]
    shown = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    error.args = (f"Command # {number} ({shown}) of pipeline caused error: {error}", *error.args[1:])


def _with_sources(commands: list[Command], scripts: Iterable[Any]) -> list[Command]:
    """
    Send a registered script's source in its first call, where redis-py asks with SCRIPT EXISTS first.

    That saves a round trip and a command, and no replica can be missing the script.
    """
    sources = {script.sha: script.script for script in scripts}
    for place, command in enumerate(commands if sources else ()):
        if command[0] == "EVALSHA" and command[1] in sources:
            commands[place] = ("EVAL", sources.pop(command[1]), *command[2:])
    return commands
