"""One look at a database through a connection of little patience, shared by all looks of this process."""

from __future__ import annotations

from dataclasses import dataclass

from django_upstash.connections import connections
from django_upstash.diagnostics.command_counter import Spending
from django_upstash.diagnostics.health_check import limited
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.server import limit_server
from django_upstash.ratelimit.settings import ratelimit_settings
from django_upstash.settings import conf


@dataclass(frozen=True)
class Sight:
    """A connection that counts what this look costs, and what this process remembers of the server's limits."""

    settings: conf.ConnectionSettings
    spending: Spending
    memory: Memory


def sight_of(alias: str, seconds: float, *, is_automatic: bool = False) -> Sight:
    """
    Return a look at a connection of ``UPSTASH`` whose every request ends after so many seconds.

    With ``is_automatic`` a server that did not answer a moment ago is left alone.

    Raises ``ConnectionError`` where the site runs without Redis, and ``ImproperlyConfigured`` for wrong settings.
    """
    limits = limit_server(alias, ratelimit_settings())
    settings = limited(limits.base.settings, min(seconds, limits.base.settings.timeout))
    return Sight(settings, Spending(connections.for_settings(settings), is_automatic=is_automatic), limits.memory)
