"""Whose history an action on rate limits belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from django_upstash.diagnostics.formatting import escaped
from django_upstash.models import RateLimitCounter
from django_upstash.ratelimit.keys import key_prefix


def whole_scope(tenant: str, scope: str) -> str:
    """Return the name under which the history keeps what concerns a whole scope."""
    return f"{key_prefix(tenant, scope)}*"


def whole_client(tenant: str, stored: str) -> str:
    """Return the name under which the history keeps what concerns a client in every scope."""
    return f"{key_prefix(tenant, 'x')[:-2]}*:{stored}"


def logged(keys: Sequence[str]) -> list[RateLimitCounter]:
    # A database may refuse what no eye can see.
    return [RateLimitCounter(key=escaped(key)) for key in keys]
