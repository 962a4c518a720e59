"""What ``UPSTASH_TENANTS`` may say, and what can be wrong with it. Pure: reads no settings, opens no connection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal

from django_upstash.validation import Mistake, Rule

SETTING = "UPSTASH_TENANTS"
FINDERS = ("FIND", "HEADER", "SUBDOMAIN_OF")
_LEAST_KEPT = timedelta(days=1).total_seconds()
_LONGEST = timedelta(days=36500).total_seconds()


@dataclass(frozen=True, kw_only=True)
class TenantSettings:
    """
    ``settings.UPSTASH_TENANTS``, checked and typed. The field names are the lower-case forms of its keys.

    Times are in seconds.
    """

    alias: str = "default"
    prefix: str = ""
    cache: str = "default"
    refresh: float = 10.0  # how long configuration and flags that were read serve a process
    remembered: int = 1000  # tenants whose configuration and flags a process keeps
    flush_count: int = 1000  # additions to usage after which they are written
    flush_seconds: float = 10.0
    pending: int = 100_000  # counters and identified additions that a process holds while the server is away
    period: Literal["month", "day"] = "month"
    keep_usage: float | None = timedelta(days=400).total_seconds()
    header: str | None = None
    subdomain_of: str | None = None
    find: str | None = None
    required: bool = False


def typed(given: Mapping[str, Any]) -> TenantSettings:
    """Return the setting typed; it must be free of mistakes."""
    values = {key.lower(): value for key, value in given.items()}
    for name in ("refresh", "flush_seconds", "keep_usage"):
        if values.get(name) is not None:
            values[name] = _seconds(values[name])
    if values.get("subdomain_of"):
        values["subdomain_of"] = values["subdomain_of"].strip(".").lower()
    return TenantSettings(**values)


def mistakes(given: object) -> Iterator[Mistake]:
    """Yield what is wrong with the setting by itself."""
    if not isinstance(given, Mapping):
        text = f"{SETTING} must be a dict, not {type(given).__name__}."
        yield Mistake("E481", text, 'Write {"ALIAS": "default"}, or leave it out for the defaults.')
        return
    for key, value in given.items():
        if key not in RULES:
            yield Mistake("E482", f"{SETTING} has an unknown key {key!r}.", _suggestion(key))
        elif not RULES[key].accepts(value):
            rule = RULES[key]
            yield Mistake(rule.id, f'{SETTING}["{key}"] must be {rule.words}.', rule.hint)
    named = [key for key in FINDERS if given.get(key)]
    if len(named) > 1:
        text = f"{SETTING} names several ways to find the tenant of a request: {', '.join(named)}."
        yield Mistake("E489", text, "Keep one of them; FIND can call whatever the others would do.")


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _is_time(value: Any, least: float = 0) -> bool:
    is_number = isinstance(value, int | float | timedelta) and not isinstance(value, bool)
    return is_number and least <= _seconds(value) <= _LONGEST


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000_000


def _matches(pattern: str) -> Any:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _or_none(accepts: Any) -> Any:
    return lambda value: value is None or accepts(value)


_NAME = Rule("E483", _matches(r"[^\s](.*[^\s])?"), "a name", 'Such as "default".')
_TIME = Rule("E485", _is_time, "seconds, 0 or more, or a timedelta", "Write 10 for ten seconds.")
_COUNT = Rule("E486", _is_count, "a whole number from 1 to 10,000,000", "Write it without quotes.")
RULES: dict[str, Rule] = {
    "ALIAS": _NAME,
    "CACHE": _NAME,
    "PREFIX": Rule(
        "E483", _matches(r"[A-Za-z0-9_.:/-]{0,100}"), "up to 100 letters, digits or any of _ . : / -", 'Such as "shop".'
    ),
    "REFRESH": _TIME,
    "FLUSH_SECONDS": _TIME,
    "KEEP_USAGE": Rule(
        "E485",
        _or_none(lambda value: _is_time(value, _LEAST_KEPT)),
        "None, or seconds, a day or more, or a timedelta",
        "Write timedelta(days=400), or None to keep usage for good.",
    ),
    "REMEMBERED": _COUNT,
    "FLUSH_COUNT": _COUNT,
    "PENDING": _COUNT,
    "REQUIRED": Rule("E486", lambda value: isinstance(value, bool), "True or False", "Write it without quotes."),
    "PERIOD": Rule("E487", lambda value: value in ("month", "day"), '"month" or "day"', "Usage is counted by it."),
    "HEADER": Rule(
        "E488", _or_none(_matches(r"[A-Za-z0-9-]{1,100}")), "None, or the name of a header", 'Such as "X-Tenant".'
    ),
    "SUBDOMAIN_OF": Rule(
        "E488", _or_none(_matches(r"\.?[A-Za-z0-9.-]{1,250}")), "None, or a domain", 'Such as "example.com".'
    ),
    "FIND": Rule(
        "E488",
        _or_none(_matches(r"[^\W\d]\w*(\.[^\W\d]\w*)+")),
        "None, or the dotted path of a function of the request",
        'Such as "shop.tenants.of_request", which returns a name or None.',
    ),
}


def _suggestion(key: object) -> str:
    close = get_close_matches(key.upper(), RULES, n=1) if isinstance(key, str) else []
    known = f"Known are {', '.join(sorted(RULES))}."
    return f"Did you mean {close[0]}? {known}" if close else known
