"""Which commands keep their connection waiting, and for how long."""

from __future__ import annotations

from django_upstash.exceptions import DataError
from django_upstash.operations import Argument, Command

_TIMEOUT_LAST = frozenset({"BLMOVE", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZPOPMAX", "BZPOPMIN"})
_TIMEOUT_FIRST = frozenset({"BLMPOP", "BZMPOP"})
_OPTIONS_FROM = {"XREAD": 1, "XREADGROUP": 4}  # after GROUP, its name and the consumer's


def is_blocking(command: Command) -> bool:
    """Tell whether the server may answer the command later than at once."""
    name = _upper(command[0])
    return name in _TIMEOUT_LAST or name in _TIMEOUT_FIRST or (name in _OPTIONS_FROM and _block_place(command) > 0)


def refuse(command: Command) -> None:
    """Raise ``DataError`` for a blocking command, where it would run on a connection that others share."""
    if is_blocking(command):
        raise DataError(
            f"{_upper(command[0])} would keep everybody else on this connection waiting; poll with "
            f"{without_waiting(command)}, or run it alone, by `connection.redis` on the native route."
        )


def seconds(command: Command) -> float | None:
    """Return how long the server may wait before it answers a blocking command; None: for ever."""
    name = _upper(command[0])
    if name in _OPTIONS_FROM:
        return _number(command, _block_place(command), 1000)
    return _number(command, 1 if name in _TIMEOUT_FIRST else len(command) - 1, 1)


def without_waiting(command: Command) -> str:
    """Name the command that does the same without waiting."""
    name = _upper(command[0])
    return f"{name} without BLOCK" if name in _OPTIONS_FROM else name.removeprefix("B")


def _block_place(command: Command) -> int:
    """Return the place of the milliseconds after BLOCK, 0 where the command has no such option."""
    place = _OPTIONS_FROM[_upper(command[0])]
    while place < len(command) - 1:
        option = _upper(command[place])
        if option == "BLOCK":
            return place + 1
        if option == "STREAMS":
            break
        place += 2 if option == "COUNT" else 1
    return 0


def _number(command: Command, place: int, divisor: int) -> float | None:
    try:
        return float(command[place]) / divisor or None
    except (IndexError, ValueError):
        return 0.0  # the server refuses it at once


def _upper(argument: Argument) -> str:
    return (argument.decode("latin-1") if isinstance(argument, bytes) else str(argument)).upper()
