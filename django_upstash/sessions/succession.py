"""
A session that goes on under a new id, as at a login: it is stored there first, and then removed under the old one.

So nothing is lost where a step fails; and where the last one does, the session under the new id is removed again.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted

from django_upstash.exceptions import ConnectionError, UpstashError
from django_upstash.log import get_logger
from django_upstash.operations import Operation
from django_upstash.operations.steps import Flow
from django_upstash.sessions import operations
from django_upstash.sessions.migration import OldEngine
from django_upstash.sessions.session_keys import SessionKeyspace, digest

GONE = "The session was removed by another request; the user may have logged out in the meantime."
logger = get_logger("django_upstash.sessions")


class SessionGone(UpdateError, SessionInterrupted):
    """The session was removed by another request in the meantime; unhandled, it is answered with 400."""


@dataclass(frozen=True)
class Predecessor:
    """A stored session whose data go on under a new id. ``owner`` is the user whose index names it, "" for nobody."""

    session_key: str
    owner: str
    was_logged_in: bool


def removal(space: SessionKeyspace, session_key: str, owner: str) -> Operation[bool]:
    """Remove a session, and its digest from its owner's index; return whether it was there."""
    beside = operations.index_changes(space, digest(session_key), owner, "")
    return operations.remove([space.name(session_key)], beside)


def remove_predecessor(space: SessionKeyspace, left: Predecessor, old: OldEngine | None) -> Flow[bool]:
    """Remove a session that goes on under another id by now; return whether it was there."""
    if old is not None:
        yield old.delete()
    try:
        removed: bool = yield space.run(removal(space, left.session_key, left.owner))
    except ConnectionError:
        # The reply may be what was lost, and not the request: then the data are under the new id and nowhere else.
        is_there: bool = yield space.run(operations.exists(space.name(left.session_key)))
        if is_there or left.was_logged_in:
            raise
        return True
    return removed


def take_back(space: SessionKeyspace, session_key: str, owner: str, staying: Predecessor | None = None) -> Flow[None]:
    """Remove a session that has perhaps been stored, under an id that nobody has been given; keep the one before it."""
    beside = operations.index_changes(space, digest(session_key), owner, "")
    if staying is not None:  # its digest may have been removed, where it could not be
        beside += operations.index_changes(space, digest(staying.session_key), "", staying.owner)
    try:
        yield space.run(operations.take_back(space.name(session_key), beside))
    except UpstashError as error:
        logger.warning("A new session, whose id nobody has, was not removed (%s).", type(error).__name__)
