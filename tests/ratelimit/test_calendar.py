"""Days that have 23 or 25 hours, and all of them as long as the clocks say."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from django_upstash.ratelimit import Quota
from django_upstash.ratelimit.calendar import period_around


def moment(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


@pytest.mark.parametrize(
    ("unit", "zone", "now", "start", "end", "hours"),
    [
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00", 23),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T00:00", 25),
        ("day", "Asia/Kathmandu", "2026-05-05T00:00", "2026-05-05T00:00", "2026-05-06T00:00", 24),
        ("week", "Europe/Berlin", "2026-03-29T23:59", "2026-03-23T00:00", "2026-03-30T00:00", 167),
        ("month", "America/New_York", "2026-02-28T23:59", "2026-02-01T00:00", "2026-03-01T00:00", 28 * 24),
        ("month", "Europe/Berlin", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00", 31 * 24),
        ("hour", "Asia/Kathmandu", "2026-05-05T10:59", "2026-05-05T10:00", "2026-05-05T11:00", 1),
        # In Beirut the first hour of one day of the year does not exist.
        ("day", "Asia/Beirut", "2026-03-29T12:00", "2026-03-29T01:00", "2026-03-30T00:00", 23),
    ],
)
def test_period_around(unit: Any, zone: str, now: str, start: str, end: str, hours: int) -> None:
    found = period_around(moment(now, zone), unit, ZoneInfo(zone))
    assert found == (moment(start, zone), moment(end, zone))
    assert found[1] - found[0] == hours * 3600


@pytest.mark.parametrize("unit", ["hour", "day", "week", "month"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "America/Sao_Paulo", "UTC"])
def test_period_around__follows_without_gaps(unit: Any, zone: str) -> None:
    if (unit, zone) == ("hour", "Australia/Lord_Howe"):
        return  # its clocks change by half an hour: two hours of the year share a half
    tz = ZoneInfo(zone)
    _, end = period_around(moment("2026-01-01T00:00", zone), unit, tz)
    for _ in range(2 * 8760 if unit == "hour" else 400):
        start, following = period_around(end, unit, tz)
        assert start == end
        assert period_around(following - 1, unit, tz) == (start, following)
        end = following


def test_quota__begins_anew_with_the_local_month() -> None:
    quota = Quota(5, "month", timezone="Europe/Berlin")
    last_second = moment("2026-03-31T23:59:59", "Europe/Berlin") * 1_000_000
    assert quota.terms(last_second)[3] == moment("2026-04-01T00:00", "Europe/Berlin")
    assert quota.terms(last_second + 1_000_000)[2] == moment("2026-04-01T00:00", "Europe/Berlin")
