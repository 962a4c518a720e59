"""Hours, days, weeks and months as a time zone has them: an hour more or less where summer time begins or ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django_upstash.ratelimit.rates import shown

Unit: TypeAlias = Literal["hour", "day", "week", "month"]
UNITS = ("hour", "day", "week", "month")


def zone(name: str) -> ZoneInfo:
    """Return the time zone of a name; raise ``ValueError`` if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"The time zone {shown(name)} is unknown: name one such as Europe/Berlin.") from error


def period_around(now: int, unit: Unit, tz: ZoneInfo) -> tuple[int, int]:
    """Return where the period that holds ``now`` begins and ends, all in seconds since 1970."""
    if unit not in UNITS:
        raise ValueError(f'The period {shown(unit)} must be "hour", "day", "week" or "month".')
    start, end = _latest.get((unit, tz), (0, 0))
    if not start <= now < end:
        _latest[unit, tz] = start, end = _period(unit, tz, now)
    return start, end


# Between two calls it is mostly the same day.
_latest: dict[tuple[str, ZoneInfo], tuple[int, int]] = {}


def _period(unit: str, tz: ZoneInfo, now: int) -> tuple[int, int]:
    if unit == "hour":
        return _hour(tz, now)
    day = datetime.fromtimestamp(now, tz).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if unit == "day":
        first, following = day, day + timedelta(days=1)
    elif unit == "week":
        first = day - timedelta(days=day.weekday())
        following = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        following = (first + timedelta(days=32)).replace(day=1)
    return _moment(first, tz), _moment(following, tz)


def _hour(tz: ZoneInfo, now: int) -> tuple[int, int]:
    # Of the two hours of one name, when summer time ends, each is an hour of its own.
    local = datetime.fromtimestamp(now, tz)
    start = now - local.minute * 60 - local.second
    return start, start + 3600


def _moment(local: datetime, tz: ZoneInfo) -> int:
    """Return when the clocks show a time for the first time, or, where they skip it, when they have passed it."""
    return int(local.replace(tzinfo=tz, fold=0).astimezone(UTC).timestamp())
