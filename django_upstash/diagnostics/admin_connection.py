"""A connection for one page of the admin: it waits little, and counts what the page costs."""

from __future__ import annotations

from dataclasses import dataclass

from django_upstash.connections import connections
from django_upstash.diagnostics.command_counter import Spending
from django_upstash.diagnostics.health_check import limited
from django_upstash.settings import conf


@dataclass(frozen=True)
class AdminConnection:
    """A connection of ``UPSTASH``, and what has been sent over it for this page."""

    settings: conf.ConnectionSettings
    spending: Spending

    @property
    def alias(self) -> str:
        return self.settings.alias


def admin_connection(alias: str, seconds: float, *, is_automatic: bool = False) -> AdminConnection:
    """
    Return a connection whose every request ends after so many seconds.

    With ``is_automatic`` a server that did not answer a moment ago is left alone.

    Raises ``ConnectionError`` where the site runs without Redis, and ``ImproperlyConfigured`` for wrong settings.
    """
    base = connections.named(alias).settings
    settings = limited(base, min(seconds, base.timeout))
    return AdminConnection(settings, Spending(connections.for_settings(settings), is_automatic=is_automatic))
