"""What ``LIMITERS`` of a test names."""

from __future__ import annotations

from django_upstash.ratelimit import FixedWindow, RateLimiter


def limiters() -> list[RateLimiter]:
    return [RateLimiter(FixedWindow("4/h", scope="few"))]
