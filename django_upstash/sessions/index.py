"""
A user's index: the set of their sessions' digests, written with each real save of a session.

It has no lifetime, and may go all the same: evicted, or deleted by hand. A session that is saved and has to join an
index again which named it before notes in it that it is incomplete, until a search has looked at all sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django_upstash.diagnostics.server import read_info
from django_upstash.operations import Command, Operation, Reply, checked, only
from django_upstash.sessions.session_keys import SessionKeyspace

INCOMPLETE = "incomplete"
_DIGEST = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a user's index holds; ``junk`` is what is no digest of a session."""

    digests: tuple[str, ...] = ()
    is_incomplete: bool = False
    junk: tuple[bytes, ...] = ()

    @property
    def is_missing(self) -> bool:
        return not (self.digests or self.is_incomplete or self.junk)


class IndexReading(NamedTuple):
    """An index, and whether sessions may live that it does not name."""

    named: Index
    may_be_short: bool


def read(space: SessionKeyspace, owner: str) -> Operation[Index]:
    """Return what a user's index holds."""
    return Operation((("SMEMBERS", space.index_name(owner)),), lambda replies: _index(only(replies)))


def examine(space: SessionKeyspace, owner: str) -> Operation[IndexReading]:
    """Return what a user's index holds, and whether it may be short; a server that does not tell may have evicted."""

    def parse(replies: list[Reply]) -> IndexReading:
        index = _index(only(replies))
        return IndexReading(index, index.is_missing or index.is_incomplete or _may_evict(replies[1]))

    return Operation((("SMEMBERS", space.index_name(owner)), ("INFO",)), parse)


def may_evict_indexes() -> Operation[bool]:
    """Tell whether the server may drop keys that have no lifetime, or does not say."""
    return Operation((("INFO",),), lambda replies: _may_evict(replies[0]))


def end(space: SessionKeyspace, owner: str, digests: Sequence[str]) -> Operation[int]:
    """Remove sessions, and their digests from a user's index; return how many lived."""
    commands = (("DEL", *map(space.named, digests)), ("SREM", space.index_name(owner), *digests))
    return Operation(commands, lambda replies: int(checked(replies)[0]))


def note_search(space: SessionKeyspace, owner: str, found: Iterable[str], *, is_complete: bool) -> Operation[None]:
    """Have the index name what a search has found, and say whether that was everything."""
    name, digests = space.index_name(owner), tuple(found)
    joining: tuple[Command, ...] = (("SADD", name, *digests),) if digests else ()
    noting: Command = ("SREM" if is_complete else "SADD", name, INCOMPLETE)
    return Operation((*joining, noting), _nothing)


def _nothing(replies: list[Reply]) -> None:
    checked(replies)


def _may_evict(reply: Reply) -> bool:
    if not isinstance(reply, bytes):
        return True
    info = read_info(reply, keys=0)
    return info.eviction_policy is None or info.evicts_lasting_keys


def _index(members: Iterable[bytes]) -> Index:
    given = frozenset(members)
    digests = sorted(member.decode() for member in given if _DIGEST.fullmatch(member))
    noted = INCOMPLETE.encode()
    junk = sorted(member for member in given if member != noted and not _DIGEST.fullmatch(member))
    return Index(digests=tuple(digests), is_incomplete=noted in given, junk=tuple(junk))
