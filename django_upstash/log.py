"""
The loggers of this package. Whatever a client, an operator or the database brings into a line is escaped.

Line ends would begin a line of somebody else's making, and escape sequences drive the terminal that shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

LONGEST = 2000
_AS_THEY_ARE = (bool, int, float, type(None))


def get_logger(name: str) -> EscapingLogger:
    """Return the logger of this name, whose arguments are escaped. Messages are constants, so they need not be."""
    return EscapingLogger(logging.getLogger(name), {})


class EscapingLogger(_Adapter):
    """A logger whose lines stay one line, in printable characters, however hostile their arguments are."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if not self.isEnabledFor(level):
            return
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the caller's line is shown, not this one
        if kwargs.get("extra"):
            kwargs["extra"] = _escaped_argument(kwargs["extra"])
        self.logger.log(level, msg, *map(_escaped_argument, args), **kwargs)


def escaped(text: str) -> str:
    """Return a text with all that cannot be printed as ``\\n``, ``\\x1b`` or ``\\u202e``, and its end left out."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text)} characters)"
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


class _Shown:
    """An argument that is turned into text when its line is written, and escaped then."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return escaped(str(self._value))

    def __repr__(self) -> str:
        return escaped(repr(self._value))


def _escaped_argument(value: object) -> Any:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {name: _escaped_argument(item) for name, item in value.items()}
    return value if isinstance(value, _AS_THEY_ARE) else _Shown(value)
