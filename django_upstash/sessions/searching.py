"""The sessions of a user by looking at all sessions there are, where an index may not name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from django.utils.module_loading import import_string

from django_upstash.operations import Operation, only
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import PAGE_SIZE, START, page
from django_upstash.operations.keys import glob_escape
from django_upstash.operations.steps import Flow
from django_upstash.sessions.bodies import Rejected, SessionRecord
from django_upstash.sessions.session_keys import SessionKeyspace, now
from django_upstash.settings import conf

OWNER = "_auth_user_id"  # where django.contrib.auth keeps the user's id
_BODIES_PER_REQUEST = 100
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FoundSessions(NamedTuple):
    """A user's living sessions on one page of a search, and the cursor of the next page; None after the last."""

    sessions: dict[str, SessionRecord]
    cursor: str | None


OnPage: TypeAlias = Callable[[FoundSessions], Flow[None]]


def sessions_of(space: SessionKeyspace) -> Kind:
    """Return the keys of all sessions, by which a SCAN finds them."""
    beginning = space.named("")
    return Kind(f"{glob_escape(beginning)}*", lambda key: _DIGEST.fullmatch(key, len(beginning)))


def search(space: SessionKeyspace, owner: str, cursor: str, most_keys: int, on_page: OnPage) -> Flow[str | None]:
    """
    Look for a user's sessions, at about so many keys of the database, and have ``on_page`` do something with each page.

    Returns the cursor with which another search goes on, None where all keys have been looked at.
    """
    following: str | None = cursor or START
    looked_at = 0
    while following is not None and looked_at < most_keys:
        names, following = yield space.run(page(sessions_of(space), following))
        looked_at += PAGE_SIZE
        digests = [name[len(space.named("")) :] for name in names]
        yield from on_page(FoundSessions((yield from living(space, owner, digests)), following))
    return following


def living(space: SessionKeyspace, owner: str, digests: Sequence[str]) -> Flow[dict[str, SessionRecord]]:
    """Return those of the sessions that are the user's and count still."""
    found: dict[str, SessionRecord] = {}
    for start in range(0, len(digests), _BODIES_PER_REQUEST):
        some = digests[start : start + _BODIES_PER_REQUEST]
        bodies = yield space.run(Operation((("MGET", *map(space.named, some)),), only))
        found |= _of_owner(space, owner, zip(some, bodies, strict=True))
    return found


def _of_owner(space: SessionKeyspace, owner: str, stored: Any) -> Iterator[tuple[str, SessionRecord]]:
    for known, body in stored:
        if body is None:
            continue
        try:
            record = space.open(space.named(known), body)
        except Rejected:
            continue  # the request that uses it logs that
        if owner_of(record) == owner and space.milliseconds_left(record, now()) > 0:
            yield known, record


def owner_of(record: SessionRecord) -> str:
    """Return whose session it is, "" for nobody's; one from before the index was kept says so in its data alone."""
    if record.owner:
        return record.owner
    try:
        data = import_string(conf.setting("SESSION_SERIALIZER"))().loads(record.payload)
    except Exception:  # the request that uses it logs that
        return ""
    return str(data.get(OWNER, "")) if isinstance(data, dict) else ""
