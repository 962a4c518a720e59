"""Which commands are sent with their value as a raw body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django_upstash.codecs import Encoded
from django_upstash.operations import Command
from django_upstash.wire.rest_encoding import (
    RAW_BODY_FROM,
)

if TYPE_CHECKING:
    pass


SURELY_NO_DATA = 16  # characters of a token: base64 of data has none so long by chance


def wants_raw_body(commands: Sequence[Command]) -> bool:
    """Tell whether a command has bytes that JSON cannot carry, or only a third longer."""
    if len(commands) != 1:
        return False
    for argument in commands[0]:
        if isinstance(argument, bytes) and not argument.isascii():
            if not isinstance(argument, Encoded):
                return _is_not_text(argument)
            return len(argument) >= RAW_BODY_FROM and _is_not_text(argument)
    return False


def _is_not_text(argument: bytes) -> bool:
    try:
        argument.decode()
    except UnicodeDecodeError:
        return True
    return False
