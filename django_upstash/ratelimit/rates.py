"""Rates as people write them: ``"60/min"`` as in DRF's settings, and ``"10/5m"`` for ten in five minutes."""

from __future__ import annotations

import re
from typing import NamedTuple

MOST = 100_000_000
LONGEST_PERIOD = 366 * 86400

_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600}
_SECONDS |= {"d": 86400, "day": 86400, "w": 604800, "week": 604800}
_RATE = re.compile(r"\s*(\d{1,12})\s*/\s*(\d{0,9})\s*([A-Za-z]+)\s*", re.ASCII)
_EXAMPLE = 'write it as "60/min" or "10/5m"'


class Rate(NamedTuple):
    """So many per so many seconds."""

    limit: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """
    Return the rate; raise ``ValueError`` with a sentence that names the mistake.

    The number is whole, 0 to 100,000,000. The period is s, m, h, d or w, or a longer word for one of these, with a
    number before it where it is several. DRF reads the first letter of the period only, and takes a month for a
    minute: here a month is refused.
    """
    match = _RATE.fullmatch(str(text))
    if match is None:
        raise ValueError(f"The rate {shown(text)} cannot be read: {_EXAMPLE}.")
    word = match[3].lower()
    unit = _SECONDS.get(word) or _SECONDS.get(word.removesuffix("s"))
    if unit is None:
        raise ValueError(f"The rate {shown(text)} has the period {shown(match[3])}, {_reason(word)}.")
    return check_rate(int(match[1]), unit * int(match[2] or 1), text)


def check_rate(limit: int, seconds: int, text: object) -> Rate:
    """Return the rate where it is within bounds, and raise ``ValueError`` naming ``text`` where it is not."""
    check_limit(limit, text)
    if not 1 <= seconds <= LONGEST_PERIOD:
        raise ValueError(f"The rate {shown(text)} has a period of {seconds} s: it must be from a second to a year.")
    return Rate(limit, seconds)


def check_limit(limit: object, text: object = None) -> int:
    """Return the limit where it is a whole number within bounds; raise ``ValueError`` where it is not."""
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= MOST:
        named = shown(limit if text is None else text)
        raise ValueError(f"The limit of {named} must be a whole number from 0 to {MOST:,}.")
    return limit


def shown(value: object) -> str:
    """Return a value fit for a sentence: short, and without what a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def _reason(word: str) -> str:
    if word.rstrip("s") in {"mo", "mon", "month", "y", "yr", "year"}:
        return 'whose length is not fixed (DRF would take a month for a minute); use Quota(1000, "month") or "30d"'
    return f"which is none of s, m, h, d and w: {_EXAMPLE}"
