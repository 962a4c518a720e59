"""The session engine: Django's ``SessionBase`` on operations, each method described once for its two forms."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.dispatch import receiver

from django_upstash import conf
from django_upstash.effects import Flow, Method, twins
from django_upstash.exceptions import ResponseError, SessionUnavailableError, UpstashError
from django_upstash.operations import Operation
from django_upstash.sessions import operations, people
from django_upstash.sessions.bodies import Record, Rejected
from django_upstash.sessions.keyspace import Keyspace, digest, keyspace, now
from django_upstash.sessions.merging import merged
from django_upstash.sessions.moving import OldEngine
from django_upstash.sessions.operations import Writing

if TYPE_CHECKING:
    from django.http import HttpRequest

# Of n that write one session at the same time, one succeeds in each round.
_MERGE_ATTEMPTS = 100
_LONGEST_USER_AGENT = 250
_KEY_LENGTH = 32
_NUMBER_OF_KEYS = len(VALID_KEY_CHARS) ** _KEY_LENGTH
OWNER = "_auth_user_id"  # where django.contrib.auth keeps the user's id
_GONE = "The session was removed by another request; the user may have logged out in the meantime."
security_logger = logging.getLogger("django.security.SuspiciousSession")
logger = logging.getLogger("django_upstash.sessions")


class SessionGone(UpdateError, SessionInterrupted):
    """The session was removed by another request in the meantime; unhandled, it is answered with 400."""


class SessionStore(SessionBase):
    """
    A session in the database, under the SHA-256 of its id, signed or encrypted for that key.

    Raises ``UpdateError`` where another request has removed the session, and ``UpstashError`` where the database
    cannot be reached. With ``ON_FAILURE`` "anonymous", reading in an outage returns an empty session instead, which
    keeps its id, has ``is_unavailable`` set, and refuses to be saved.
    """

    def __init__(self, session_key: str | None = None) -> None:
        self._failure: UpstashError | None = None
        self._record = Record()
        self._body: bytes | None = None
        self._is_uncreated = False
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

    # What is known of the stored session: `_body` is what was last read or written, None where nothing was; `_record`
    # is what stood in it, and what the next writing takes over.

    def _begin_anew(self) -> None:
        """Know nothing of any session."""
        self._body, self._record, self._is_uncreated = None, Record(), False

    def _take_new_id(self) -> None:
        """Have an id under which nothing is stored yet, and go on with what the session is."""
        self._session_key = self._get_new_session_key()
        self._body, self._record, self._is_uncreated = None, replace(self._record, owner=""), True

    def _remember(self, record: Record, body: bytes) -> None:
        self._body, self._record, self._is_uncreated = body, record, False

    @property
    def _space(self) -> Keyspace:
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

    # Reading

    def _load(self) -> Flow[dict[str, Any]]:
        """Return the stored data; nothing, and let go of the id, where there is none."""
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

    def _unreadable(self, error: UpstashError) -> dict[str, Any]:
        if isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE"):
            _log_rejected("it is no string")
            self._session_key = None
            return {}
        if self._space.settings.on_failure == "error":
            raise error
        logger.warning("A request goes on without its session, which cannot be read: %s.", type(error).__name__)
        self._failure = error
        return {}

    def _opened(self, body: bytes | None) -> dict[str, Any] | None:
        """Return the data of a stored body and remember it; None where there is none that counts."""
        if body is None:
            return None
        try:
            record = self._space.open(self._name, body)
            if self._space.milliseconds_left(record, now()) <= 0:
                return None
            data = self._deserialized(record.payload)
        except Rejected as error:
            _log_rejected(str(error))
            return None
        self._remember(record, body)
        return data

    def _deserialized(self, payload: bytes) -> dict[str, Any]:
        try:
            data = self.serializer().loads(payload)
        except Exception as error:  # whatever a serializer, or a class it makes anew, does
            raise Rejected(f"reading it with SESSION_SERIALIZER ended in {type(error).__name__}") from None
        if not isinstance(data, dict):
            raise Rejected("SESSION_SERIALIZER made no dict of it")
        return data

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
        yield self._space.run(self._removing(self.session_key or ""))
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
        """Tell whether there is a session with this id."""
        if not session_key:
            return False
        found: bool = yield self._space.run(operations.exists(self._space.name(session_key)))
        old = self._old_engine(session_key)
        return found or (old is not None and bool((yield old.exists())))

    # Writing

    def _create(self) -> Flow[None]:
        """Store a new session under a new id, with the data there is in this object."""
        while True:
            self._refuse_where_unavailable()
            self._take_new_id()
            try:
                yield from self._save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

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
            raise SessionGone(_GONE)
        return None

    def _is_unchanged(self) -> bool:
        """Tell whether saving can wait: where every request saves, what was stored lately and is the same."""
        if self.modified or self._body is None or not conf.session_cookie().is_saved_every_request:
            return False
        age = (now() - self._record.saved) / 1000
        is_recent = age < self._space.settings.renewal_seconds(self._record.lifetime / 1000)
        return is_recent and bool(self.serializer().dumps(self._session_cache) == self._record.payload)

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
        outcome = yield self._space.ask(make(writing))
        if outcome is True:
            self._remember(record, writing.body)
            if joins:
                yield from people.keep_limit(self._space, record.owner)
        return outcome

    def _prepared(self) -> Flow[tuple[Writing, Record]]:
        data, space, moment = self._session_cache, self._space, now()
        age = yield Method(self, "get_expiry_age")
        record = replace(
            self._record,
            created=self._record.created or moment,
            saved=moment,
            lifetime=int(age * 1000),
            owner=str(data.get(OWNER, "")) if space.settings.keeps_index else "",
            payload=self.serializer().dumps(data),
        )
        beside = operations.index_changes(space, digest(self.session_key or ""), self._record.owner, record.owner)
        body = space.seal(self._name, record)
        return Writing(self._name, body, space.milliseconds_left(record, moment), beside), record

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
        Remove the session and go on with its data under a new id, under which the next saving stores it.

        The two ids never count at the same time. Raises ``UpdateError`` where the session was gone already.
        """
        data = yield from self._loaded()
        self._refuse_where_unavailable()
        if self.session_key is not None and not self._is_uncreated and not (yield from self._remove(self.session_key)):
            raise SessionGone(_GONE)
        self._take_new_id()
        self._session_cache = data
        self.modified = True

    def _remove(self, session_key: str | None) -> Flow[bool]:
        if session_key is None:
            return False
        old = self._old_engine(session_key)
        if old is not None:
            yield old.delete()
        if session_key == self.session_key and self._is_uncreated:
            return False
        removed: bool = yield self._space.run(self._removing(session_key))
        return removed

    def _removing(self, session_key: str) -> Operation[bool]:
        owner = self._record.owner if session_key == self.session_key else ""
        beside = operations.index_changes(self._space, digest(session_key), owner, "")
        return operations.remove([self._space.name(session_key)], beside)

    def _refuse_where_unavailable(self) -> None:
        if self._failure is not None:
            raise SessionUnavailableError(
                "The session could not be read in this request, so it is not saved: what is stored would be lost."
            ) from self._failure

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
        people.trim_indexes()

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do as ``clear_expired`` does, awaited."""
        await people.atrim_indexes()


def random_key() -> str:
    """Return an id like Django's: as random, and made of one read of the system's randomness, not one a character."""
    number, characters = secrets.randbelow(_NUMBER_OF_KEYS), []
    for _ in range(_KEY_LENGTH):
        number, place = divmod(number, len(VALID_KEY_CHARS))
        characters.append(VALID_KEY_CHARS[place])
    return "".join(characters)


def _log_rejected(reason: str) -> None:
    security_logger.warning("A stored session was rejected: %s.", reason)


@receiver(user_logged_in, dispatch_uid="django_upstash.sessions")
def note_login(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
    """Let a session begin at the login."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.note_login(request)
