"""
Members of sets and sorted sets, fields and items: JSON text, the same bytes on every route and in every process.

They are compared by their bytes, so they are neither signed (membership survives a new ``SECRET_KEY``) nor compressed,
and they are never unpickled, no matter who wrote them.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from django_upstash.exceptions import DataError, ProtocolError


class Unreadable:
    """The type of ``UNREADABLE``, what an unreadable member decodes to, since ``None`` is a readable one."""

    def __repr__(self) -> str:
        return "<unreadable member>"


UNREADABLE: Final = Unreadable()


def _refuse(value: object) -> NoReturn:
    raise TypeError(
        f"Stored as JSON, it must be text, a number, a bool, None, or a list, tuple or dict of these, not "
        f"{type(value).__name__}; store other values under a key of their own."
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Sorted keys, so that equal dicts are one member.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_refuse
).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def encode_field(value: Any) -> bytes:
    """
    Return the stored form of a hash's field or a list's item: JSON text, which for an int is plain decimals.

    Raises ``TypeError`` for what JSON does not have, and ``DataError`` for text that UTF-8 cannot carry.
    """
    try:
        return _encode(value).encode()
    except UnicodeEncodeError as error:
        raise DataError("A value contains a lone surrogate, which UTF-8 cannot carry.") from error


def decode_field(data: bytes) -> Any:
    """Return the value of a hash's field or a list's item; ``UNREADABLE`` where it is not JSON."""
    try:
        return _decode(data.decode())
    except (ValueError, RecursionError):
        return UNREADABLE
    except AttributeError:
        raise ProtocolError(f"The server answered with {type(data).__name__} in the place of text.") from None


def encode_member(value: Any) -> bytes:
    """Return the stored form of a set's or sorted set's member, which must be hashable once read: no dict."""
    _as_read(value)
    return encode_field(value)


def decode_member(data: bytes) -> Any:
    """Return the member, its lists as tuples, which a Python set can hold; ``UNREADABLE`` where it has no such form."""
    try:
        return _as_read(decode_field(data))
    except TypeError:
        return UNREADABLE


def _as_read(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_as_read, value))
    if isinstance(value, dict):
        raise TypeError("A member cannot be or hold a dict, which no set can hold; store its items as a tuple.")
    return value
