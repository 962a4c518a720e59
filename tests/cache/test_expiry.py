"""Seconds become milliseconds: never zero by rounding, never more than servers take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from django_upstash.cache import expiry

pytestmark = pytest.mark.matrix


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        *((None, None), (1, 1000), (300, 300_000), (100.2, 100_200), (0.0015, 1), (True, 1000)),
        *((0.0001, 1), (5e-324, 1), (Decimal("0.0001"), 1), (Fraction(1, 10**9), 1), (Decimal(2), 2000)),
        *((0, 0), (-0.0, 0), (-1, -1000), (-0.0001, 0), (float("-inf"), -1)),
        *((float("inf"), expiry.LONGEST), (1e300, expiry.LONGEST), (10**400, expiry.LONGEST)),
        *((expiry.LONGEST // 1000, expiry.LONGEST // 1000 * 1000), (expiry.LONGEST, expiry.LONGEST)),
    ],
    ids=repr,
)
def test_milliseconds(timeout: Any, expected: int | None) -> None:
    assert expiry.milliseconds(timeout) == expected


@pytest.mark.parametrize("timeout", ["60", b"60", [], 1j, timedelta(1), datetime.now(UTC)])
def test_milliseconds__no_number(timeout: Any) -> None:
    hint = r"timedelta; use its total_seconds\(\)" if isinstance(timeout, timedelta) else type(timeout).__name__
    with pytest.raises(TypeError, match=f"must be a number or None, not {hint}"):
        expiry.milliseconds(timeout)


@pytest.mark.parametrize("timeout", [float("nan"), Decimal("NaN")])
def test_milliseconds__not_a_number(timeout: Any) -> None:
    with pytest.raises(ValueError, match="not NaN"):
        expiry.milliseconds(timeout)


def test_options() -> None:
    assert expiry.options(None) == ()
    assert expiry.options(0.0001) == ("PX", "1")
    assert expiry.options(0) is expiry.options(-1) is None


def test_duration() -> None:
    assert expiry.duration(1.5, expiry.SECOND) == expiry.duration(timedelta(seconds=1.5), expiry.MILLISECOND) == 1500
    assert expiry.duration(1500, expiry.MILLISECOND) == 1500


def test_moment() -> None:
    when = datetime(2030, 1, 1, tzinfo=UTC)
    assert expiry.moment(when, expiry.SECOND) == expiry.moment(when.timestamp(), expiry.SECOND) == 1893456000000
