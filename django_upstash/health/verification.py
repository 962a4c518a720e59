"""
Verifying at a time of one's own choosing, such as in wsgi.py, that the servers are there.

    application = get_wsgi_application()
    django_upstash.verify()
"""

from __future__ import annotations

from django_upstash.connections import Connection, connections
from django_upstash.diagnostics.handshake import Handshake, ashake_hands, shake_hands
from django_upstash.settings import conf


def verify(*aliases: str) -> list[Handshake]:
    """
    Connect to the servers of these aliases of ``UPSTASH``, of all where none is named, and log what they are.

    Raises the first failure with its cause and the next step: a subclass of ``UpstashError`` (exceptions.py), or
    ``ImproperlyConfigured`` for wrong settings. Costs two requests of one command for each.
    """
    return [shake_hands(connection) for connection in _named(aliases)]


async def averify(*aliases: str) -> list[Handshake]:
    """Async version of ``verify``."""
    return [await ashake_hands(connection) for connection in _named(aliases)]


def _named(aliases: tuple[str, ...]) -> list[Connection]:
    found = [connections[alias] for alias in aliases or conf.aliases()]
    for connection in found:
        connection.be_verified()
    return found
