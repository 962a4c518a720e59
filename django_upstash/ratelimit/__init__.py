"""
Rate limits that are exact under races and clocks, in one round trip.

    from django_upstash.ratelimit import RateLimiter, SlidingWindow, TokenBucket
    limiter = RateLimiter([SlidingWindow("1000/day", scope="sustained"), TokenBucket("10/s", burst=50, scope="burst")])
    if not limiter.hit("user:42").allowed: ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

if TYPE_CHECKING:
    from django_upstash.ratelimit.decisions import Decision, Outcome, Reason
    from django_upstash.ratelimit.limiter import RateLimiter
    from django_upstash.ratelimit.limiter_base import Identity
    from django_upstash.ratelimit.policies import (
        Concurrency,
        FixedWindow,
        Policy,
        Quota,
        SlidingWindow,
        TokenBucket,
        default_policy,
    )
    from django_upstash.ratelimit.rates import Rate, parse_rate
    from django_upstash.ratelimit.signals import limited, unavailable

__all__ = [
    "Concurrency",
    "Decision",
    "FixedWindow",
    "Identity",
    "Outcome",
    "Policy",
    "Quota",
    "Rate",
    "RateLimiter",
    "Reason",
    "SlidingWindow",
    "TokenBucket",
    "default_policy",
    "limited",
    "parse_rate",
    "unavailable",
]

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.ratelimit.policies": [
            "Concurrency",
            "FixedWindow",
            "Policy",
            "Quota",
            "SlidingWindow",
            "TokenBucket",
            "default_policy",
        ],
        "django_upstash.ratelimit.decisions": ["Decision", "Outcome", "Reason"],
        "django_upstash.ratelimit.limiter_base": ["Identity"],
        "django_upstash.ratelimit.rates": ["Rate", "parse_rate"],
        "django_upstash.ratelimit.limiter": ["RateLimiter"],
        "django_upstash.ratelimit.signals": ["limited", "unavailable"],
    },
)
