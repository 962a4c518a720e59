"""
Counting and removing all keys of one kind: SCAN page by page, never KEYS, never FLUSHDB.

A page looks at about a thousand keys of the database, whichever of them match, so that no request holds the server up.
What a pattern cannot say exactly, a function of the key says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from django_upstash.operations import Command, Operation, Reply, checked

PAGE_SIZE = 1000
START = "0"


def _everything(key: str) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """The keys that match a pattern of SCAN, and of which ``belongs`` is true."""

    pattern: str
    belongs: Callable[[str], Any] = _everything

    def of(self, found: Sequence[bytes]) -> list[str]:
        """Return those of the keys that are of this kind; names that are no text are nobody's here."""
        return [key for key in _texts(found) if self.belongs(key)]


class Swept(NamedTuple):
    """How many keys have been removed, and the cursor at which another sweep goes on; None at the end."""

    removed: int
    cursor: str | None


class Page(NamedTuple):
    """The keys that one SCAN found, perhaps one twice, and the cursor of the next; None after the last."""

    keys: list[str]
    cursor: str | None


Progress: TypeAlias = Callable[[Swept], object]


def page(kind: Kind, cursor: str = START) -> Operation[Page]:
    """Return the operation that finds one page of the keys of a kind."""

    def parse(replies: list[Reply]) -> Page:
        return _read(kind, checked(replies)[0])

    return Operation((_scan(kind, cursor),), parse)


def removal(
    kind: Kind, cursor: str = START, *, most: int | None = None, progress: Progress | None = None
) -> Operation[Swept]:
    """
    Return the operation that removes the keys of a kind, in one request for each page.

    Each request removes what the one before has found. ``progress`` is called after each, and with its cursor a later
    removal goes on there. Stops once ``most`` keys are gone, or a page more.
    """

    def go_on(doomed: list[str], cursor: str | None, removed: int) -> Operation[Swept]:
        unlinking: list[Command] = [("UNLINK", *doomed)] if doomed else []
        is_last = cursor is None or (most is not None and removed + len(doomed) >= most)
        scanning: list[Command] = [] if cursor is None or is_last else [_scan(kind, cursor)]

        def parse(replies: list[Any]) -> Any:
            checked(replies)
            swept = Swept(removed + (replies[0] if doomed else 0), cursor)
            if progress is not None:
                progress(swept)
            if is_last:
                return swept
            keys, following = _read(kind, replies[-1])
            if not keys and following is None:
                return Swept(swept.removed, None)
            return go_on(keys, following, swept.removed)

        return Operation((*unlinking, *scanning), parse)

    return go_on([], cursor, 0)


def _scan(kind: Kind, cursor: str) -> Command:
    return "SCAN", cursor, "MATCH", kind.pattern, "COUNT", str(PAGE_SIZE)


def _read(kind: Kind, reply: Any) -> Page:
    cursor, found = reply
    following = cursor.decode() if isinstance(cursor, bytes) else str(cursor)
    return Page(kind.of(found), None if following == START else following)


def _texts(found: Sequence[bytes]) -> Iterator[str]:
    for key in found:
        try:
            yield key.decode()
        except UnicodeDecodeError:
            continue
