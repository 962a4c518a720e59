"""
Users and their sessions: who is logged in where, and how to end it.

Each user has an index, the set of their sessions' digests, kept at login and logout only. What it says is checked
against the sessions themselves, so that one which has ended, or was never theirs, does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_upstash.effects import Flow, twins
from django_upstash.keys import glob_escape
from django_upstash.operations import Operation, Reply, checked, only
from django_upstash.sessions.bodies import Record, Rejected
from django_upstash.sessions.keyspace import Keyspace, digest, keyspace, now

_BODIES_PER_REQUEST = 100
_KEYS_PER_SCAN = 1000


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
    _, living = yield from _look_up(space, owner_id(user))
    found = [_as_user_session(space, known, record) for known, record in living.items()]
    return sorted(found, key=lambda session: session.last_seen, reverse=True)


def _count_sessions(user: Any = None) -> Flow[int]:
    """Return how many living sessions a user has, or, without one, how many sessions there are, by a whole SCAN."""
    if user is not None:
        _, living = yield from _look_up(_indexed(), owner_id(user))
        return len(living)
    space = keyspace()
    names: set[bytes] = set()
    yield from _scan(space, space.named(""), names)
    return len(names)


def _log_out(user: Any, session_id: str) -> Flow[bool]:
    """End one of a user's sessions, by the ``id`` of a ``UserSession``; return whether it was theirs and alive."""
    space = _indexed()
    owner = owner_id(user)
    _, living = yield from _look_up(space, owner)
    if session_id not in living:
        return False
    ended = yield space.run(_end(space, owner, [session_id]))
    return bool(ended)


def _log_out_everywhere(user: Any, except_key: str | None = None) -> Flow[int]:
    """End all sessions of a user but the one with the id ``except_key``; return how many were ended."""
    space = _indexed()
    owner = owner_id(user)
    members: list[str] = yield space.run(_members(space, owner))
    spared = None if except_key is None else digest(except_key)
    ending = [member for member in members if member != spared]
    if not ending:
        return 0
    ended: int = yield space.run(_end(space, owner, ending))
    return ended


def _trim_indexes() -> Flow[int]:
    """Take out of every user's index what is no living session of theirs; return how many that were."""
    space = keyspace()
    names: set[bytes] = set()
    yield from _scan(space, space.index_prefix, names)
    trimmed = 0
    for name in sorted(names):
        owner = name.decode()[len(space.index_prefix) :]
        members, living = yield from _look_up(space, owner)
        ended = [member for member in members if member not in living]
        if ended:
            trimmed += yield space.run(Operation((("SREM", name, *ended),), only))
    return trimmed


def keep_limit(space: Keyspace, owner: str) -> Flow[None]:
    """End the oldest of a user's sessions where MAX_PER_USER allows fewer than there are."""
    limit = space.settings.max_per_user
    if limit is None:
        return
    members, living = yield from _look_up(space, owner, more_than=limit)
    # All who look at the same time see the same order, so that of two logins at once the same one stays.
    newest = sorted(living, key=lambda member: (living[member].created, member), reverse=True)[:limit]
    ending = [member for member in members if member not in newest]
    if len(members) > limit and ending:
        yield space.run(_end(space, owner, ending))


def owner_id(user: Any) -> str:
    """Return a user's primary key as the session has it."""
    meta = getattr(user, "_meta", None)
    return str(user) if meta is None else str(meta.pk.value_to_string(user))


def _indexed() -> Keyspace:
    space = keyspace()
    if not space.settings.keeps_index:
        raise ImproperlyConfigured(
            'Which sessions a user has is not written down: set UPSTASH_SESSIONS["INDEX"] to True. It then holds of '
            "every session that is saved from there on."
        )
    return space


def _look_up(space: Keyspace, owner: str, more_than: int = 0) -> Flow[tuple[list[str], dict[str, Record]]]:
    """Return what a user's index names, and what of it lives where it names more than so many."""
    members: list[str] = yield space.run(_members(space, owner))
    living: dict[str, Record] = {}
    for start in range(0, len(members) if len(members) > more_than else 0, _BODIES_PER_REQUEST):
        page = members[start : start + _BODIES_PER_REQUEST]
        bodies = yield space.run(Operation((("MGET", *map(space.named, page)),), only))
        living |= _living(space, owner, zip(page, bodies, strict=True))
    return members, living


def _living(space: Keyspace, owner: str, stored: Any) -> Iterator[tuple[str, Record]]:
    for member, body in stored:
        if body is None:
            continue
        try:
            record = space.open(space.named(member), body)
        except Rejected:
            continue  # whoever uses it will be told
        if record.owner == owner and space.milliseconds_left(record, now()) > 0:
            yield member, record


def _as_user_session(space: Keyspace, known: str, record: Record) -> UserSession:
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


def _members(space: Keyspace, owner: str) -> Operation[list[str]]:
    def parse(replies: list[Reply]) -> list[str]:
        return [member.decode("utf-8", "replace") for member in only(replies)]

    return Operation((("SMEMBERS", space.index_name(owner)),), parse)


def _end(space: Keyspace, owner: str, members: Sequence[str]) -> Operation[int]:
    """Return the operation that removes sessions, and their digests from a user's index; it returns how many lived."""
    commands = (("DEL", *map(space.named, members)), ("SREM", space.index_name(owner), *members))
    return Operation(commands, lambda replies: int(checked(replies)[0]))


def _scan(space: Keyspace, beginning: str, found: set[bytes]) -> Flow[None]:
    """Add all keys that begin so to ``found``."""
    cursor = "0"
    while True:
        scanning = ("SCAN", cursor, "MATCH", f"{glob_escape(beginning)}*", "COUNT", str(_KEYS_PER_SCAN))
        page = yield space.run(Operation((scanning,), only))
        found.update(page[1])
        cursor = page[0].decode()
        if cursor == "0":
            return


sessions_for, asessions_for = twins(_sessions_for)
count_sessions, acount_sessions = twins(_count_sessions)
log_out, alog_out = twins(_log_out)
log_out_everywhere, alog_out_everywhere = twins(_log_out_everywhere)
trim_indexes, atrim_indexes = twins(_trim_indexes)
