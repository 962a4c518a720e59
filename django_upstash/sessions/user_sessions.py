"""
Users and their sessions: who is logged in where, and how to end it.

What a user's index says is checked against the sessions themselves, so that one which has ended, or was never theirs,
does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from django.core.exceptions import ImproperlyConfigured

from django_upstash.exceptions import ResponseError
from django_upstash.log import get_logger
from django_upstash.operations import Operation, only
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import START, Progress, Swept, collect
from django_upstash.operations.keys import glob_escape
from django_upstash.operations.steps import Flow, twins
from django_upstash.sessions import index
from django_upstash.sessions.bodies import SessionRecord
from django_upstash.sessions.index import Index
from django_upstash.sessions.searching import FoundSessions, living, search, sessions_of
from django_upstash.sessions.session_keys import SessionKeyspace, digest, keyspace

# How many keys of a database are looked at where an index has been lost: about 1,000 in a request.
MOST_KEYS = 1_000_000
MOST_KEYS_AT_LOGIN = 20_000
logger = get_logger("django_upstash.sessions")


@dataclass(frozen=True, kw_only=True)
class UserSession:
    """
    One living session of a user. ``id`` is the digest of its session id, which cannot be used to log in.

    ``created`` is the time of the login. ``last_seen`` is the last time the session was stored, so it is exact where
    every request saves, up to RENEW_AFTER. Address and user agent are those of the login.
    """

    id: str
    created: datetime
    last_seen: datetime
    expires: datetime
    ip_address: str
    user_agent: str

    def is_session(self, session_key: str | None) -> bool:
        """Tell whether this is the session with this id, such as ``request.session.session_key``."""
        return session_key is not None and self.id == digest(session_key)


def _sessions_for(user: Any) -> Flow[list[UserSession]]:
    """
    Return a user's living sessions, the one seen last first. ``user`` is a user or the primary key of one.

    Raises ``ImproperlyConfigured`` where no index is kept.
    """
    space = _indexed()
    alive = yield from _look_up(space, owner_id(user))
    found = [_as_user_session(space, known, record) for known, record in alive.items()]
    return sorted(found, key=lambda session: session.last_seen, reverse=True)


def _count_sessions(user: Any = None) -> Flow[int]:
    """Return how many living sessions a user has, or, without one, how many sessions there are, by a whole SCAN."""
    if user is not None:
        return len((yield from _look_up(_indexed(), owner_id(user))))
    space = keyspace()
    return len((yield from collect(space.connection, sessions_of(space))).keys)


def _log_out(user: Any, session_id: str) -> Flow[bool]:
    """End one of a user's sessions, by the ``id`` of a ``UserSession``; return whether it was theirs and alive."""
    space = _indexed()
    owner = owner_id(user)
    if session_id not in (yield from _look_up(space, owner)):
        return False
    ended = yield space.run(index.end(space, owner, [session_id]))
    return bool(ended)


class LoggedOut(int):
    """
    How many sessions were ended.

    ``was_searched`` is whether all sessions were looked at, for the user's index may have lost some. ``cursor`` is None
    where the search has come to its end, and otherwise what ``log_out_everywhere`` goes on with.
    """

    was_searched: bool
    cursor: str | None

    def __new__(cls, ended: int, *, was_searched: bool = False, cursor: str | None = None) -> Self:
        made = super().__new__(cls, ended)
        made.was_searched, made.cursor = was_searched, cursor
        return made

    @property
    def is_complete(self) -> bool:
        """Whether no session of the user is left."""
        return self.cursor is None


def _log_out_everywhere(
    user: Any,
    except_key: str | None = None,
    *,
    cursor: str | None = None,
    most_keys: int = MOST_KEYS,
    progress: Progress | None = None,
) -> Flow[LoggedOut]:
    """
    End all sessions of a user but the one with the id ``except_key``; return how many were ended.

    Where the user's index is missing, or may not name them all, all sessions of the database are looked at, about
    ``most_keys`` keys at most. ``progress`` is called after each page, and with the ``cursor`` of what it is given or
    of the result, another call goes on there.
    """
    space, owner = _indexed(), owner_id(user)
    spared = None if except_key is None else digest(except_key)
    ended = 0
    if cursor is None:
        ended, may_be_short = yield from _end_named(space, owner, spared)
        if not may_be_short:
            return LoggedOut(ended)
    return (yield from _search_and_end(space, owner, spared, _Ending(ended, cursor or START, most_keys, progress)))


def _end_named(space: SessionKeyspace, owner: str, spared: str | None) -> Flow[tuple[int, bool]]:
    """End the sessions that a user's index names; return how many, and whether it may not name them all."""
    reading: index.IndexReading = yield space.run(index.examine(space, owner))
    ending = [known for known in reading.named.digests if known != spared]
    ended: int = (yield space.run(index.end(space, owner, ending))) if ending else 0
    return ended, reading.may_be_short


@dataclass
class _Ending:
    """How far a search has come that ends sessions."""

    ended: int
    cursor: str
    most_keys: int
    progress: Progress | None


def _search_and_end(space: SessionKeyspace, owner: str, spared: str | None, ending: _Ending) -> Flow[LoggedOut]:
    staying: list[str] = []

    def end(found: FoundSessions) -> Flow[None]:
        staying.extend(known for known in found.sessions if known == spared)
        doomed = [known for known in found.sessions if known != spared]
        if doomed:
            ending.ended += yield space.run(index.end(space, owner, doomed))
        if ending.progress is not None:
            ending.progress(Swept(ending.ended, found.cursor))

    cursor = yield from search(space, owner, ending.cursor, ending.most_keys, end)
    yield space.run(index.note_search(space, owner, staying, is_complete=cursor is None))
    if cursor is not None:
        logger.warning(
            "Not all sessions of a user were ended: %s keys were looked at, and there are more. Call "
            "log_out_everywhere() again with the cursor of its result.",
            ending.most_keys,
        )
    return LoggedOut(ending.ended, was_searched=True, cursor=cursor)


def _trim_indexes() -> Flow[int]:
    """Take out of every user's index what is no living session of theirs; return how many that were."""
    space = keyspace()
    trimmed = 0
    indexes = yield from collect(space.connection, Kind(f"{glob_escape(space.index_prefix)}*"))
    for name in sorted(indexes.keys):
        owner = name[len(space.index_prefix) :]
        try:
            named: Index = yield space.run(index.read(space, owner))
        except ResponseError:
            continue  # somebody else's key, which is no set
        alive = yield from living(space, owner, named.digests)
        ended: list[bytes | str] = [*named.junk, *(known for known in named.digests if known not in alive)]
        if named.is_incomplete and not alive:
            ended.append(index.INCOMPLETE.encode())  # of an index that is missing, nobody needs to be told
        if ended:
            trimmed += yield space.run(Operation((("SREM", name, *ended),), only))
    return trimmed


def keep_limit(space: SessionKeyspace, owner: str, newcomer: str) -> Flow[None]:
    """
    End the oldest of a user's sessions where MAX_PER_USER allows fewer than there are.

    Where the user's index names none but the newcomer, and may have been lost, others are searched for.
    """
    limit = space.settings.max_per_user
    if limit is None:
        return
    named: Index = yield space.run(index.read(space, owner))
    alive: dict[str, SessionRecord] = {}
    if named.is_incomplete or (named.digests == (newcomer,) and (yield from _may_evict_indexes(space))):
        alive = yield from _search_and_name(space, owner)
    elif len(named.digests) > limit:
        alive = yield from living(space, owner, named.digests)
    # All who look at the same time see the same order, so that of two logins at once the same one stays.
    newest = sorted(alive, key=lambda known: (alive[known].created, known), reverse=True)[:limit]
    ending = [known for known in {**dict.fromkeys(named.digests), **alive} if known not in newest]
    if len(alive) > limit or (alive and len(named.digests) > limit):
        yield space.run(index.end(space, owner, ending))


def _may_evict_indexes(space: SessionKeyspace) -> Flow[bool]:
    if space.may_evict_indexes is None:
        space.may_evict_indexes = yield space.run(index.may_evict_indexes())
    return space.may_evict_indexes


def _search_and_name(space: SessionKeyspace, owner: str) -> Flow[dict[str, SessionRecord]]:
    alive: dict[str, SessionRecord] = {}

    def note(found: FoundSessions) -> Flow[None]:
        alive.update(found.sessions)
        yield from ()

    cursor = yield from search(space, owner, START, MOST_KEYS_AT_LOGIN, note)
    yield space.run(index.note_search(space, owner, alive, is_complete=cursor is None))
    if cursor is not None:
        logger.warning(
            "MAX_PER_USER holds of the sessions that were found: the index of a user has been lost, and the database "
            "has more than the %s keys that a login looks at. Call log_out_everywhere(), or give sessions a database "
            "that does not evict.",
            MOST_KEYS_AT_LOGIN,
        )
    return alive


def owner_id(user: Any) -> str:
    """Return a user's primary key as the session has it."""
    meta = getattr(user, "_meta", None)
    return str(user) if meta is None else str(meta.pk.value_to_string(user))


def _indexed() -> SessionKeyspace:
    space = keyspace()
    if not space.settings.keeps_index:
        raise ImproperlyConfigured(
            'No per-user session index is kept. Set UPSTASH_SESSIONS["INDEX"] to True; it covers sessions saved from '
            "then on."
        )
    return space


def _look_up(space: SessionKeyspace, owner: str) -> Flow[dict[str, SessionRecord]]:
    """Return the living sessions that a user's index names."""
    named: Index = yield space.run(index.read(space, owner))
    return (yield from living(space, owner, named.digests))


def _as_user_session(space: SessionKeyspace, known: str, record: SessionRecord) -> UserSession:
    return UserSession(
        id=known,
        created=_moment(record.created),
        last_seen=_moment(record.saved),
        expires=_moment(record.saved + space.milliseconds_left(record, record.saved)),
        ip_address=record.ip_address,
        user_agent=record.user_agent,
    )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


sessions_for, asessions_for = twins(_sessions_for)
count_sessions, acount_sessions = twins(_count_sessions)
log_out, alog_out = twins(_log_out)
log_out_everywhere, alog_out_everywhere = twins(_log_out_everywhere)
trim_indexes, atrim_indexes = twins(_trim_indexes)
