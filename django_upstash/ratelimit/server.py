"""The server that limits are kept on, with the little time a decision has to reach it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django_upstash.connections import Connection, connections
from django_upstash.ratelimit.process_state import Memory, memory_of
from django_upstash.ratelimit.settings import RateLimitSettings, ratelimit_settings


@dataclass(frozen=True, slots=True)
class LimitServer:
    """A connection of its own for decisions, and what this process remembers of the server behind it."""

    base: Connection
    timeout: float
    connection: Connection
    memory: Memory


def limit_server(alias: str, settings: RateLimitSettings, known: LimitServer | None = None) -> LimitServer:
    """
    Return the server of an alias; the same as ``known`` where nothing has changed.

    Raises ``ConnectionError`` where the site runs without Redis, and ``ImproperlyConfigured`` for a wrong alias.
    """
    base = connections.named(alias)
    if known is not None and known.base is base and known.timeout == settings.timeout:
        return known
    timeout = min(settings.timeout, base.settings.timeout)
    impatient = replace(base.settings, timeout=timeout, connect_timeout=timeout, pool_timeout=timeout)
    connection = connections.for_settings(impatient)
    return LimitServer(base, settings.timeout, connection, memory_of(connection, settings.remembered))


def memory_for(alias: str) -> Memory:
    """Return what this process remembers of the limits on a connection."""
    return limit_server(alias, ratelimit_settings()).memory
