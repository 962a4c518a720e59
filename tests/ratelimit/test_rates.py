from __future__ import annotations

from typing import Any

import pytest

from django_upstash.ratelimit import Concurrency, FixedWindow, Quota, SlidingWindow, TokenBucket, parse_rate

UNKNOWN: Any = "year"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        *(("5/s", (5, 1)), ("5/sec", (5, 1)), ("60/min", (60, 60)), ("60/m", (60, 60)), ("10/minute", (10, 60))),
        *(("1000/day", (1000, 86400)), ("1000/d", (1000, 86400)), ("7/h", (7, 3600)), ("7/hour", (7, 3600))),
        *(("10/5m", (10, 300)), ("10/90s", (10, 90)), ("3/30 days", (3, 30 * 86400)), (" 9 / Week ", (9, 604800))),
        *(("0/s", (0, 1)), ("100000000/366d", (100_000_000, 366 * 86400))),
    ],
)
def test_parse_rate__reads_what_drf_writes_and_more(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        *(
            (text, "cannot be read: write it as")
            for text in ("", "10", "10/", "/s", "ten/min", "-1/s", "1.5/s", "1/s/s")
        ),
        *((text, "cannot be read: write it as") for text in ("٣/s", None, 5, "1e3/s", "9" * 5000)),
        ("1000/month", "DRF would take a month for a minute.; use Quota"),
        ("5/year", "whose length is not fixed"),
        ("5/fortnight", "none of s, m, h, d and w"),
        ("5/0s", "a period of 0 s"),
        ("5/400d", "from a second to a year"),
        ("100000001/s", "a whole number from 0 to 100,000,000"),
    ],
)
def test_parse_rate__says_what_is_wrong(text: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("minute.;", r"minute\);")) as caught:
        parse_rate(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SlidingWindow("many"), "rate 'many'"),
        (lambda: FixedWindow("5/h", scope=""), "scope ''"),
        (lambda: TokenBucket("5/s", burst=-1), "limit of -1"),
        (lambda: TokenBucket("99999989/366d", burst=99_999_999), "too large to be counted exactly"),
        (lambda: Quota(-5, "day"), "limit of -5"),
        (lambda: Quota(5, UNKNOWN), 'must be "hour", "day", "week" or "month"'),
        (lambda: Quota(5, "day", timezone="Europe/Atlantis"), "time zone 'Europe/Atlantis' is unknown"),
        (lambda: Quota(5, "day", timezone="../etc/passwd"), "is unknown"),
        (lambda: Concurrency(-1), "limit of -1"),
        (lambda: Concurrency(10_001), "at most 10,000"),
        (lambda: Concurrency(5, lease=0), "lease of 0 s"),
        (lambda: SlidingWindow("5/h", on_failure=UNKNOWN), "on_failure is 'year'"),
    ],
)
def test_policies__say_what_is_wrong(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("policy", "limit", "window"),
    [
        (SlidingWindow("60/min"), 60, 60),
        (TokenBucket("10/s"), 10, 1),
        (TokenBucket("10/s", burst=55), 55, 6),  # the time in which it fills
        (Quota(9, "day"), 9, 86400),
        (Concurrency(3, lease=0.5), 3, 1),
    ],
)
def test_policies__tell_limit_and_window(policy: Any, limit: int, window: int) -> None:
    assert (policy.limit, policy.window) == (limit, window)
    assert policy.limited_to(7).limit == 7
    assert policy.limited_to(policy.limit) == policy
