"""
Rate limits that are exact under races and clocks, in one round trip.

    from django_upstash.ratelimit import RateLimiter, SlidingWindow, TokenBucket
    limiter = RateLimiter([SlidingWindow("1000/day", scope="sustained"), TokenBucket("10/s", burst=50, scope="burst")])
    if not limiter.hit("user:42").allowed: ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

_MODULES = {
    "Concurrency": "django_upstash.ratelimit.policies",
    "Decision": "django_upstash.ratelimit.decisions",
    "FixedWindow": "django_upstash.ratelimit.policies",
    "Identity": "django_upstash.ratelimit.limiter_base",
    "Outcome": "django_upstash.ratelimit.decisions",
    "Policy": "django_upstash.ratelimit.policies",
    "Quota": "django_upstash.ratelimit.policies",
    "Rate": "django_upstash.ratelimit.rates",
    "RateLimiter": "django_upstash.ratelimit.limiter",
    "Reason": "django_upstash.ratelimit.decisions",
    "SlidingWindow": "django_upstash.ratelimit.policies",
    "TokenBucket": "django_upstash.ratelimit.policies",
    "default_policy": "django_upstash.ratelimit.policies",
    "limited": "django_upstash.ratelimit.signals",
    "parse_rate": "django_upstash.ratelimit.rates",
    "unavailable": "django_upstash.ratelimit.signals",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: the settings and checks of this package need none of it.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
