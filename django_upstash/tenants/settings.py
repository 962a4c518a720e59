"""What ``UPSTASH_TENANTS`` may say. Pure: opens no connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from django_upstash.settings.rules import Mistake, Rule, dotted_path, flag, matching, one_of, seconds, whole
from django_upstash.settings.schema import Schema, option

_FINDERS = ("find", "header", "subdomain_of")


def _name() -> Rule:
    return matching("E483", r"[^\s](.*[^\s])?", "a name", 'Such as "default".')


def _time() -> Rule:
    return seconds("E485", "seconds, 0 or more, or a timedelta", "Write 10 for ten seconds.")


def _count() -> Rule:
    words = "a whole number from 1 to 10,000,000"
    return whole("E486", 1, 10_000_000, words, "Write it without quotes.")


def _domain() -> Rule:
    rule = matching("E488", r"\.?[A-Za-z0-9.-]{1,250}", "a domain", 'Such as "example.com".')
    return replace(rule, typed=lambda domain: domain.strip(".").lower())


@dataclass(frozen=True, kw_only=True)
class TenantSettings:
    """``settings.UPSTASH_TENANTS``, checked and typed. Times are in seconds."""

    alias: str = option(_name(), default="default")
    prefix: str = option(
        matching("E483", "[A-Za-z0-9_.:/-]{0,100}", "up to 100 letters, digits or any of _ . : / -", 'Such as "shop".'),
        default="",
    )
    cache: str = option(_name(), default="default")
    refresh: float = option(_time(), default=10.0)  # how long configuration and flags that were read serve a process
    remembered: int = option(_count(), default=1000)  # tenants whose configuration and flags a process keeps
    flush_count: int = option(_count(), default=1000)  # additions to usage after which they are written
    flush_seconds: float = option(_time(), default=10.0)
    # Counters and identified additions that a process holds while the server is away.
    pending: int = option(_count(), default=100_000)
    period: Literal["month", "day"] = option(
        one_of("E487", "month", "day", hint="Usage is counted by it."), default="month"
    )
    keep_usage: float | None = option(
        seconds(
            "E485",
            "seconds, a day or more, or a timedelta",
            "Write timedelta(days=400), or None to keep usage for good.",
            least=timedelta(days=1).total_seconds(),
        ).or_none(),
        default=timedelta(days=400).total_seconds(),
    )
    header: str | None = option(
        matching("E488", "[A-Za-z0-9-]{1,100}", "the name of a header", 'Such as "X-Tenant".').or_none(), default=None
    )
    subdomain_of: str | None = option(_domain().or_none(), default=None)
    find: str | None = option(
        dotted_path(
            "E488",
            "the dotted path of a function of the request",
            'Such as "shop.tenants.of_request", which returns a name or None.',
        ).or_none(),
        default=None,
    )
    required: bool = option(flag("E486"), default=False)


def _contradictions(found: TenantSettings, where: str) -> Iterator[Mistake]:
    named = [name.upper() for name in _FINDERS if getattr(found, name)]
    if len(named) > 1:
        text = f"{where} names several ways to find the tenant of a request: {', '.join(named)}."
        yield Mistake("E489", text, "Keep one of them; FIND can call whatever the others would do.")


SCHEMA = Schema("UPSTASH_TENANTS", TenantSettings, "E481", contradictions=_contradictions, unknown_id="E482")
tenant_settings = SCHEMA.read
