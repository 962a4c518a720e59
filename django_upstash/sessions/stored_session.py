"""What a session object knows of the stored session: without I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.contrib.sessions.backends.base import SessionBase

from django_upstash.exceptions import ResponseError, SessionUnavailableError, UpstashError
from django_upstash.sessions.bodies import Rejected, SessionRecord
from django_upstash.sessions.failures import log_rejected, raise_unless_anonymous
from django_upstash.sessions.ids import random_key
from django_upstash.sessions.migration import OldEngine
from django_upstash.sessions.searching import OWNER
from django_upstash.sessions.session_keys import SessionKeyspace, keyspace, now
from django_upstash.sessions.settings import session_cookie
from django_upstash.sessions.succession import Predecessor

if TYPE_CHECKING:
    from django.http import HttpRequest

# In seconds: by how much the clocks of a site's servers may differ.
_SKEW = 60
_LONGEST_USER_AGENT = 250


class StoredSession(SessionBase):
    """
    A session, what was last read or written of it, and whether that can be read.

    ``_body`` is what was last read or written, None where nothing was; ``_record`` is what was in it, and what the next
    writing takes over; ``_is_logged_in`` is whether it was a user's.
    """

    _session_cache: dict[str, Any]

    def __init__(self, session_key: str | None = None) -> None:
        self._failure: UpstashError | None = None
        self._record = SessionRecord()
        self._body: bytes | None = None
        self._is_uncreated = self._is_logged_in = False
        self._predecessor: Predecessor | None = None
        super().__init__(session_key)

    @property
    def is_unavailable(self) -> bool:
        """Whether this request could not read the session, and goes on as an anonymous one."""
        return self._failure is not None

    def note_login(self, request: HttpRequest) -> None:
        """Let the session begin now, at a login, on the device that sent the request."""
        self._record = replace(self._record, created=now())
        if self._space.settings.keeps_index:
            address, agent = (str(request.META.get(name, "")) for name in ("REMOTE_ADDR", "HTTP_USER_AGENT"))
            self._record = replace(self._record, ip_address=address, user_agent=agent[:_LONGEST_USER_AGENT])

    def _begin_anew(self) -> None:
        """Know nothing of any session."""
        self._body, self._record, self._predecessor = None, SessionRecord(), None
        self._is_uncreated = self._is_logged_in = False

    def _take_new_id(self) -> None:
        """Have an id under which nothing is stored yet, and go on with what the session is."""
        self._session_key = self._get_new_session_key()
        self._forget_stored()

    def _forget_stored(self) -> None:
        self._body, self._record, self._is_uncreated = None, replace(self._record, owner=""), True

    def _remember(self, record: SessionRecord, body: bytes, data: dict[str, Any]) -> None:
        self._body, self._record, self._is_uncreated = body, record, False
        self._is_logged_in = OWNER in data

    @property
    def _space(self) -> SessionKeyspace:
        return keyspace()

    @property
    def _name(self) -> str:
        return self._space.name(self.session_key or "")

    def _get_new_session_key(self) -> str:
        # 165 random bits: looking whether they are in use would be a command for nothing, and SET NX looks anyway.
        return random_key()

    async def _aget_new_session_key(self) -> str:
        return self._get_new_session_key()

    def _old_engine(self, session_key: str) -> OldEngine | None:
        path = self._space.settings.move_from
        return None if path is None else OldEngine(path, session_key)

    def _unreadable(self, error: UpstashError) -> dict[str, Any]:
        if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
            log_rejected("it is no string")
            self._session_key = None
            return {}
        raise_unless_anonymous(self._space, error)
        self._failure = error
        return {}

    def _opened(self, body: bytes | None) -> dict[str, Any] | None:
        """Return the data of a stored body and remember it; None if there is none that counts."""
        if body is None:
            return None
        try:
            record = self._space.open(self._name, body)
            if self._space.milliseconds_left(record, now()) <= 0:
                return None
            data = self._deserialized(record.payload)
        except Rejected as error:
            log_rejected(str(error))
            return None
        self._remember(record, body, data)
        return data

    def _deserialized(self, payload: bytes) -> dict[str, Any]:
        try:
            data = self.serializer().loads(payload)
        except Exception as error:  # whatever a serializer, or a class it makes again, does
            raise Rejected(f"reading it with SESSION_SERIALIZER ended in {type(error).__name__}") from None
        if not isinstance(data, dict):
            raise Rejected("SESSION_SERIALIZER made no dict of it")
        return data

    def _is_unchanged(self) -> bool:
        """Tell whether saving can wait: where every request saves, what was stored lately and is the same."""
        if self.modified or self._body is None or not session_cookie().is_saved_every_request:
            return False
        age = (now() - self._record.saved) / 1000
        # What was stored by a clock that was ahead is stored again once the clock is right.
        is_recent = -_SKEW < age < self._space.settings.renewal_seconds(self._record.lifetime / 1000)
        return is_recent and bool(self.serializer().dumps(self._session_cache) == self._record.payload)

    def _refuse_where_unavailable(self) -> None:
        if self._failure is not None:
            raise SessionUnavailableError(
                "The session could not be read in this request, so it is not saved: what is stored would be lost."
            ) from self._failure
