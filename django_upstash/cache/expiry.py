"""Lifetimes: from the seconds Django speaks of to the milliseconds Redis keeps."""

from __future__ import annotations

from datetime import datetime, timedelta
from numbers import Number
from typing import Any

# The longest lifetime stored, some 285,000 years: what a double holds exactly, and far from where Redis refuses.
LONGEST = 2**53 - 1
SECOND = 1000
MILLISECOND = 1


def milliseconds(timeout: Any, unit: int = SECOND) -> int | None:
    """
    Return a timeout as whole milliseconds, or None for one without end; ``unit`` says how many milliseconds a 1 is.

    Zero or less means that the value is expired already; a positive timeout is never rounded down to zero. Raises
    ``TypeError`` or ``ValueError`` for what is no number.
    """
    if timeout is None:
        return None
    if type(timeout) is not int:
        _require_number(timeout)
    try:
        whole = int(timeout * unit)
    except OverflowError:  # infinity
        whole = LONGEST if timeout > 0 else -1
    except ValueError:
        raise ValueError("A timeout must be a number or None, not NaN.") from None
    return 1 if whole == 0 < timeout else min(whole, LONGEST)


def options(timeout: Any) -> tuple[str, ...] | None:
    """Return the options of SET for a timeout in seconds, or None where the value is expired already."""
    lifetime = milliseconds(timeout)
    if lifetime is None:
        return ()
    return ("PX", str(lifetime)) if lifetime > 0 else None


def duration(timeout: Any, unit: int) -> int:
    """Return how long from now, a ``timedelta`` or a number of ``unit``, in milliseconds."""
    if timeout is None:
        raise TypeError("An expiry must be a number or a timedelta, not None; persist() removes an expiry.")
    found = milliseconds(timeout.total_seconds()) if isinstance(timeout, timedelta) else milliseconds(timeout, unit)
    return found or 0


def moment(when: Any, unit: int) -> int:
    """Return when, a ``datetime`` or a number of ``unit`` since 1970, in milliseconds since 1970."""
    return int(when.timestamp() * 1000) if isinstance(when, datetime) else duration(when, unit)


def _require_number(timeout: object) -> None:
    if not isinstance(timeout, Number) or isinstance(timeout, complex):
        hint = "; use its total_seconds()" if isinstance(timeout, timedelta) else ""
        raise TypeError(f"A timeout must be a number or None, not {type(timeout).__name__}{hint}.")
