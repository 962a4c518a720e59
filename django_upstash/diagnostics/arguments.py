"""The bounds of numeric arguments, on the command line and in Python."""

from __future__ import annotations


def is_time(value: object, most: float) -> bool:
    """Tell whether this is a number of seconds, more than 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most


def is_count(value: object, least: int, most: int) -> bool:
    """Tell whether this is a whole number in a range."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
