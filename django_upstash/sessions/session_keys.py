"""Where sessions live: the connection, the names of their keys, and what seals and opens their bodies."""

from __future__ import annotations

import time
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed

from django_upstash.connections import Connection, connections
from django_upstash.exceptions import ServerAwayError
from django_upstash.operations import Operation
from django_upstash.operations.keys import root
from django_upstash.operations.steps import Method
from django_upstash.sessions.bodies import SessionRecord, SessionSealer
from django_upstash.sessions.settings import SessionSettings, session_settings
from django_upstash.settings import conf
from django_upstash.settings.key_prefix import PREFIX_SETTING

if TYPE_CHECKING:
    from django_upstash.operations.capabilities import Capabilities

_SETTINGS = frozenset({PREFIX_SETTING, "UPSTASH_SESSIONS", "UPSTASH", "SECRET_KEY", "SECRET_KEY_FALLBACKS"})


class SessionKeyspace:
    """
    The sessions of this site in their database.

    A session is known there by the SHA-256 of its id, which 165 random bits make impossible to guess back; an index of
    a user's sessions holds these digests, too.
    """

    def __init__(self, settings: SessionSettings, sealer: SessionSealer) -> None:
        self.settings = settings
        self._sealer = sealer
        self._root = root(settings.prefix)
        self.may_evict_indexes: bool | None = None  # by the server's own words; None where it has not been asked

    @property
    def connection(self) -> Connection:
        return connections[self.settings.alias]

    @property
    def capabilities(self) -> Capabilities:
        return self.connection.capabilities

    def run(self, operation: Operation[Any]) -> Method:
        """Return the step that runs an operation on the sessions' connection."""
        return Method(self.connection, "run", (operation,))

    def ask(self, operation: Operation[Any]) -> Method:
        """
        Return the step that runs an operation, unless the server did not respond recently.

        Raises ``ServerAwayError`` then, and sends nothing: an outage makes a process wait once, and not each request.
        """
        if not self.connection.availability.may_ask():
            raise ServerAwayError()
        return self.run(operation)

    def name(self, session_key: str) -> str:
        """Return the key in the database of the session with this id."""
        return self.named(digest(session_key))

    def named(self, session_digest: str) -> str:
        return f"{self._root}:{session_digest}"

    def index_name(self, owner: str) -> str:
        """Return the key of the set of a user's sessions."""
        return f"{self.index_prefix}{owner}"

    @property
    def index_prefix(self) -> str:
        return f"{self._root}-of:"

    def seal(self, name: str, record: SessionRecord) -> bytes:
        return self._sealer.seal(name, record)

    def open(self, name: str, body: bytes) -> SessionRecord:
        """Return the session of a stored body; raise ``Rejected`` if it is not valid for this key."""
        return self._sealer.open(name, body)

    def milliseconds_left(self, record: SessionRecord, now: int) -> int:
        """Return how long the session still counts, by what was stored and by the time limits of today's settings."""
        ends = [record.saved + record.lifetime]
        if self.settings.idle_timeout is not None:
            ends.append(record.saved + int(self.settings.idle_timeout * 1000))
        if self.settings.absolute_timeout is not None:
            ends.append(record.created + int(self.settings.absolute_timeout * 1000))
        return min(ends) - now


def digest(session_key: str) -> str:
    """Return the SHA-256 of a session's id, by which the database knows it."""
    # A cookie may hold anything, a lone surrogate too.
    return sha256(session_key.encode("utf-8", "surrogatepass")).hexdigest()


def now() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


@cache
def keyspace() -> SessionKeyspace:
    """Return where this site's sessions live; raise ``ImproperlyConfigured`` for settings that make no sense."""
    settings = session_settings()
    return SessionKeyspace(settings, SessionSealer(conf.signing_secrets(), settings.encryption_keys))


def _forget_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in _SETTINGS:
        keyspace.cache_clear()


setting_changed.connect(_forget_changed, dispatch_uid="django_upstash.sessions")
