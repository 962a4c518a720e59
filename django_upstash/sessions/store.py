"""The session engine: Django's ``SessionBase`` on operations, each method described once for its two forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import CreateError
from django.dispatch import receiver

from django_upstash.exceptions import ConnectionError, ProtocolError, ServerAwayError, UpstashError
from django_upstash.log import get_logger
from django_upstash.operations import Operation
from django_upstash.operations.steps import Flow, Method, twins
from django_upstash.sessions import operations, succession, user_sessions
from django_upstash.sessions.bodies import SessionRecord
from django_upstash.sessions.conflicts import merged
from django_upstash.sessions.migration import OldEngine
from django_upstash.sessions.operations import Writing
from django_upstash.sessions.searching import OWNER
from django_upstash.sessions.session_keys import digest, now
from django_upstash.sessions.stored_session import StoredSession
from django_upstash.sessions.succession import GONE, Predecessor, SessionGone

if TYPE_CHECKING:
    from django.http import HttpRequest

# Of n that write one session at the same time, one succeeds in each round.
_MERGE_ATTEMPTS = 100
logger = get_logger("django_upstash.sessions")
# Ids are random: a second one is hardly ever needed.
_NEW_IDS = 10


class SessionStore(StoredSession):
    """
    A session in the database, under the SHA-256 of its id, signed or encrypted for that key.

    Raises ``UpdateError`` where another request has removed the session, and ``UpstashError`` where the database
    cannot be reached. With ``ON_FAILURE`` "anonymous", reading in an outage returns an empty session instead, which
    keeps its id, has ``is_unavailable`` set, and refuses to be saved.
    """

    # Reading

    def _load(self) -> Flow[dict[str, Any]]:
        """Return the stored data; nothing, and let go of the id, if there is none."""
        if self.session_key is None:
            return {}
        try:
            data = yield from self._find(self._old_engine(self.session_key))
        except UpstashError as error:
            return self._unreadable(error)
        if data is None:
            self._session_key = None
        return data or {}

    def _find(self, old: OldEngine | None) -> Flow[dict[str, Any] | None]:
        body = yield self._space.ask(operations.read(self._name))
        if body is None and old is not None:
            return (yield from self._move_in(old))
        return self._opened(body)

    def _move_in(self, old: OldEngine) -> Flow[dict[str, Any] | None]:
        """
        Take a session over from the engine it was in before.

        It is written here before it is looked for there once more: a logout, which removes it there first and here
        then, is final wherever it comes in between.
        """
        data: dict[str, Any] = yield old.load()
        if not data:
            return None
        self._session_cache = data
        if not (yield from self._write(operations.create)):
            return self._opened((yield self._space.run(operations.read(self._name))))
        was_there_still: bool = yield old.exists()
        yield old.delete()
        if was_there_still:
            return data
        yield self._space.run(succession.removal(self._space, self.session_key or "", self._record.owner))
        self._begin_anew()
        return None

    def _loaded(self, *, is_new: bool = False) -> Flow[dict[str, Any]]:
        """Return the data, read if need be; of a new session there is nothing to read."""
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self._session_cache = {} if is_new else (yield from self._load())
        data: dict[str, Any] = self._session_cache
        return data

    def _exists(self, session_key: str | None) -> Flow[bool]:
        """Tell whether there is a session with this id; the one that this session had before counts no more."""
        if not session_key or (self._predecessor is not None and session_key == self._predecessor.session_key):
            return False
        found: bool = yield self._space.run(operations.exists(self._space.name(session_key)))
        old = self._old_engine(session_key)
        return found or (old is not None and bool((yield old.exists())))

    # Writing

    def _create(self) -> Flow[None]:
        """Store a new session under a new id, with the data there is in this object."""
        for _ in range(_NEW_IDS):
            self._refuse_where_unavailable()
            self._take_new_id()
            try:
                yield from self._save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return
        raise ProtocolError("The server refuses every new session as one that exists already, and cannot be right.")

    def _save(self, must_create: bool = False) -> Flow[None]:
        """
        Store the session: a new one where its id is new, and any other only where it is still there.

        Raises ``CreateError`` where a new one's id is in use, and ``UpdateError`` where the session is gone.
        """
        self._refuse_where_unavailable()
        if self.session_key is None:
            return (yield from self._create())
        is_new = must_create or self._is_uncreated
        yield from self._loaded(is_new=is_new)
        self._refuse_where_unavailable()
        if is_new:
            if not (yield from self._write(operations.create)):
                raise CreateError
        elif not self.session_key or not (self._is_unchanged() or (yield from self._replace())):
            raise SessionGone(GONE)
        return None

    def _replace(self) -> Flow[bool]:
        if self._space.settings.merge and self._body is not None:
            return (yield from self._merge())
        return bool((yield from self._write(operations.replace)))

    def _merge(self) -> Flow[bool]:
        """Store the session where nobody else has since it was read, and otherwise this request's changes on theirs."""
        for _ in range(_MERGE_ATTEMPTS):
            base, before = self._record, self._body or b""
            outcome = yield from self._write(partial(operations.replace_if_unchanged, self._space, before=before))
            if outcome is True:
                return True
            theirs = self._opened(outcome)
            if theirs is None:
                return False
            self._session_cache = merged(self._deserialized(base.payload), self._session_cache, theirs)
        raise SessionGone("The session was changed by so many other requests that it could not be saved.")

    def _write(self, make: Callable[[Writing], Operation[Any]]) -> Flow[Any]:
        """Store the data as it is in this object; return whether that was done, or what is there instead."""
        writing, record = yield from self._prepared()
        joins = bool(record.owner) and record.owner != self._record.owner
        try:
            outcome = yield self._space.ask(make(writing))
        except ConnectionError as error:
            # The reply may be what was lost: nobody is to be shown a session of a login that has failed.
            if self._predecessor is not None and not isinstance(error, ServerAwayError):
                yield from succession.take_back(self._space, self.session_key or "", record.owner)
            raise
        if outcome is True:
            self._remember(record, writing.body, self._session_cache)
            if self._predecessor is not None:
                yield from self._replace_predecessor(self._predecessor)
            if joins:
                yield from user_sessions.keep_limit(self._space, record.owner, digest(self.session_key or ""))
        return outcome

    def _replace_predecessor(self, left: Predecessor) -> Flow[None]:
        """
        Remove the session whose data this one, which has just been stored, goes on with.

        Where that fails, or a logged-in one is gone, which is a logout, this one is removed again and the error raised.
        """
        try:
            removing = succession.remove_predecessor(self._space, left, self._old_engine(left.session_key))
            if not (yield from removing) and left.was_logged_in:
                raise SessionGone(GONE)
        except Exception as error:
            owner, staying = self._record.owner, None if isinstance(error, SessionGone) else left
            self._forget_stored()
            yield from succession.take_back(self._space, self.session_key or "", owner, staying)
            raise
        self._predecessor = None

    def _prepared(self) -> Flow[tuple[Writing, SessionRecord]]:
        data, space, moment = self._session_cache, self._space, now()
        age = yield Method(self, "get_expiry_age")
        record = replace(
            self._record,
            created=min(self._record.created or moment, moment),
            saved=moment,
            lifetime=int(age * 1000),
            owner=str(data.get(OWNER, "")) if space.settings.keeps_index else "",
            payload=self.serializer().dumps(data),
        )
        beside = operations.index_changes(space, digest(self.session_key or ""), self._record.owner, record.owner)
        is_named = record.owner and record.owner == self._record.owner
        named_by = space.index_name(record.owner) if is_named else ""
        body = space.seal(self._name, record)
        return Writing(self._name, body, space.milliseconds_left(record, moment), beside, named_by), record

    # Ending

    def _delete(self, session_key: str | None = None) -> Flow[None]:
        """Remove the session with this id, without one this session."""
        yield from self._remove(session_key or self.session_key)

    def _flush(self) -> Flow[None]:
        """Remove the session, and begin another."""
        self.clear()
        yield from self._remove(self.session_key)
        self._session_key = None
        self._failure = None
        self._begin_anew()

    def _cycle_key(self) -> Flow[None]:
        """
        Go on with the session's data under a new id: the next saving stores it there, and then removes what is here.

        Until then the session is what it was. The saving raises ``UpdateError`` where a logged-in session is gone by
        then, and where removing fails, stores nothing.
        """
        data = yield from self._loaded()
        self._refuse_where_unavailable()
        if self.session_key is not None and not self._is_uncreated:
            self._predecessor = Predecessor(self.session_key, self._record.owner, self._is_logged_in)
        self._take_new_id()
        self._session_cache = data
        self.modified = True

    def _remove(self, session_key: str | None) -> Flow[bool]:
        owner = self._record.owner if session_key == self.session_key else ""
        if session_key == self.session_key and self._is_uncreated:
            # What is stored of this session is under the id that it had before.
            left = self._predecessor
            session_key, owner = (None, "") if left is None else (left.session_key, left.owner)
        if session_key is None:
            return False
        old = self._old_engine(session_key)
        if old is not None:
            yield old.delete()
        removed: bool = yield self._space.run(succession.removal(self._space, session_key, owner))
        return removed

    load, aload = twins(_load)
    exists, aexists = twins(_exists)
    create, acreate = twins(_create)
    save, asave = twins(_save)
    delete, adelete = twins(_delete)
    flush, aflush = twins(_flush)
    cycle_key, acycle_key = twins(_cycle_key)

    @classmethod
    def clear_expired(cls) -> None:
        """Take sessions that have ended out of the users' indexes; the database removes the sessions by itself."""
        user_sessions.trim_indexes()

    @classmethod
    async def aclear_expired(cls) -> None:
        """Async version of ``clear_expired``."""
        await user_sessions.atrim_indexes()


@receiver(user_logged_in, dispatch_uid="django_upstash.sessions")
def note_login(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
    """Let a session begin at the login."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.note_login(request)
