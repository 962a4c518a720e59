"""``settings.UPSTASH_RATELIMIT``, checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, kw_only=True)
class RateLimitSettings:
    """
    ``settings.UPSTASH_RATELIMIT``, checked and typed: what limiters do that do not say otherwise. Times are in seconds.

    The field names are the lower-case forms of the setting's keys.
    """

    enabled: bool = True  # False: everything is allowed, and nothing is counted
    on_failure: str = "open"
    timeout: float = 0.25  # of the round trip of a decision
    shadow: bool = False  # count and signal, but never deny
    rules: bool = True  # read limits and lists that change at run time
    statistics: bool = False
    digest_identities: bool = False  # users' keys and addresses too are stored as digests
    remembered: int = 10_000  # denials and windows that a process remembers, at most
    requests_per_minute: int | None = None  # of the policy named "default"
    burst_size: int | None = None


def typed(given: object) -> RateLimitSettings:
    """Return the setting typed; raise ``ImproperlyConfigured`` for the first mistake."""
    known, found = _latest
    if given != known:
        found = _typed(given)
        _latest[:] = dict(given), found  # type: ignore[call-overload]
    return found  # type: ignore[no-any-return]


# Limiters ask for every decision.
_latest: list[Any] = [{}, RateLimitSettings()]


def _typed(given: object) -> RateLimitSettings:
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"UPSTASH_RATELIMIT must be a dict, not {type(given).__name__}.")
    defaults = asdict(RateLimitSettings())
    for key, value in given.items():
        name = str(key).lower()
        if name not in defaults:
            known = ", ".join(map(str.upper, defaults))
            raise ImproperlyConfigured(f"UPSTASH_RATELIMIT has the unknown key {key!r}; it takes {known}.")
        if fault := _fault(name, value, defaults[name]):
            raise ImproperlyConfigured(f"UPSTASH_RATELIMIT[{key!r}] must be {fault}.")
    return RateLimitSettings(**{str(key).lower(): value for key, value in given.items()})


def _fault(name: str, value: object, default: object) -> str | None:
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "True or False"
    if name == "on_failure":
        return None if value in ("open", "closed", "local") else '"open", "closed" or "local"'
    if name == "timeout":
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 60
        return None if fits else "a number of seconds above 0, 60 at most"
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 100_000_000
    return None if fits or (value is None and default is None) else "a whole number above 0, 100,000,000 at most"
