"""The limits that a process which serves the admin knows of, though it may never have decided by them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from django.utils.module_loading import import_string

from django_upstash import callbacks
from django_upstash.ratelimit import RateLimiter, SlidingWindow
from django_upstash.ratelimit.limiter_base import DEFAULT_TENANT
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.settings import conf
from django_upstash.settings.admin import admin_settings


@cache
def load(path: str) -> tuple[RateLimiter, ...]:
    """Return what a dotted path names; raise ``ImportError`` or ``TypeError`` where that is no limiter."""
    found = import_string(path)
    found = callbacks.call('A function of UPSTASH_ADMIN["LIMITERS"]', found) if callable(found) else found
    limiters = (found,) if isinstance(found, RateLimiter) else found
    kept = tuple(limiters) if isinstance(limiters, Iterable) else (limiters,)
    if not all(isinstance(one, RateLimiter) for one in kept):
        raise TypeError(f"LIMITERS names no RateLimiter, but {type(found).__name__}.")
    return kept


def load_all() -> None:
    """Let the catalogue know what is named, and REST framework's rates; what fails is the system checks' to say."""
    for path in admin_settings().limiters:
        with suppress(ImportError, TypeError):
            load(path)
    for scope, rate in ((conf.setting("REST_FRAMEWORK") or {}).get("DEFAULT_THROTTLE_RATES") or {}).items():
        with suppress(ValueError):
            # As our throttles count unless they say otherwise; those that have decided once are known themselves.
            catalogue.suppose(DEFAULT_TENANT, SlidingWindow(rate, scope=scope))
