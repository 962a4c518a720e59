"""The Redis protocol as bytes: commands packed, and a reader of replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis

from django_upstash.credentials import SecretBytes
from django_upstash.exceptions import DataError, ProtocolError
from django_upstash.operations import Argument, Command
from django_upstash.wire.base import HARMLESS, refuse_stateful

MORE: Final = object()  # what a reader returns when the reply is not all there yet


def pack(commands: Sequence[Command], transaction: bool = False, *, stateful: bool = False) -> bytes:
    """Return the commands in the Redis protocol; raise ``DataError`` for an argument that has no bytes of its own."""
    packed: bytes | None
    try:
        if len(commands) == 1:
            command = commands[0]
            if command[0] not in HARMLESS and not stateful:
                refuse_stateful(commands)
            if _NEEDS_NO_LOOK.issuperset(map(type, command)):
                packed = hiredis.pack_command(command)  # type: ignore[arg-type]
                return packed
            return _pack_one(command)
        if not stateful:
            refuse_stateful(commands)
        packed = b"".join(map(_pack_one, commands))
    except UnicodeEncodeError:
        packed = None
    if packed is None:  # raised here, for the error and its frames hold the argument
        raise DataError("An argument has a lone surrogate, which UTF-8 cannot carry; send bytes instead.")
    return b"*1\r\n$5\r\nMULTI\r\n%b*1\r\n$4\r\nEXEC\r\n" % packed if transaction else packed


class SecretPacker:
    """redis-py's interface of what packs commands, for those of a handshake, which hold the password."""

    def pack(self, *arguments: Argument) -> list[bytes]:
        return [SecretBytes(pack([arguments], stateful=True))]


_NEEDS_NO_LOOK = frozenset({str, bytes, float})


def _pack_one(command: Command) -> bytes:
    if not _NEEDS_NO_LOOK.issuperset(map(type, command)):
        command = tuple([_plain(argument) for argument in command])
    return cast(bytes, hiredis.pack_command(command))  # type: ignore[arg-type]


def _plain(argument: Argument) -> Argument:
    """Return an argument as hiredis takes it; members of an ``Enum`` and the like as the values they are."""
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, str):
        return str.__str__(argument)
    if isinstance(argument, bool) or not isinstance(argument, float | int):
        raise DataError(f"An argument is {type(argument).__name__}; commands take str, bytes, int and float.")
    if isinstance(argument, float):
        return float(argument)
    # hiredis crashes the process on integers of thousands of digits.
    if argument.bit_length() > 64:
        raise DataError("An integer argument has more than 64 bits; send it as str.")
    return int(argument)


def make_reader(on_error: Callable[[str], Exception]) -> Any:
    """Return a hiredis reader whose error replies ``on_error`` makes, and which returns ``MORE`` when it needs more."""
    return hiredis.Reader(protocolError=ProtocolError, replyError=on_error, notEnoughData=MORE)
