"""What ``UPSTASH_ADMIN`` may say. Pure: opens no connection, imports no limiter."""

from __future__ import annotations

from dataclasses import dataclass

from django_upstash.settings.rules import WITHOUT_QUOTES, flag, items, number, whole
from django_upstash.settings.schema import Schema, option


@dataclass(frozen=True, kw_only=True)
class AdminSettings:
    """``settings.UPSTASH_ADMIN``, checked and typed: how the admin's pages look at Redis. Times are in seconds."""

    # Nobody changes anything in the admin, whatever their permissions.
    read_only: bool = option(flag("E303", WITHOUT_QUOTES), default=False)
    # Between a page's refreshes; None: by hand.
    refresh: float | None = option(
        number(
            "E304", 1, 3600, "seconds from 1 to 3600", "None leaves refreshing to the person at the page."
        ).or_none(),
        default=5.0,
    )
    # Of each request, and of all scanning for one page.
    timeout: float = option(number("E305", 0.05, 60, "seconds from 0.05 to 60"), default=2.0)
    # SCAN commands for one page, at most.
    scan_pages: int = option(whole("E306", 1, 1000), default=20)
    # Dotted paths of limiters that this process may not have imported.
    limiters: tuple[str, ...] = option(
        items(
            "E307",
            lambda path: isinstance(path, str) and "." in path,
            "a list of dotted paths",
            'Such as ["shop.limits.checkout_limiter"].',
        ),
        default=(),
    )


SCHEMA = Schema(
    "UPSTASH_ADMIN",
    AdminSettings,
    "E301",
    'Write {"READ_ONLY": True}, or leave it out for the defaults.',
    unknown_id="E302",
)
admin_settings = SCHEMA.read
