"""
The cache's operations on all keys that match a pattern: SCAN page by page, never KEYS.

A page looks at about ``count`` keys of the database, whichever it matches, so that no request holds the server up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from django_upstash.cache.keyspace import Keyspace
from django_upstash.operations import Command, Operation, Reply, checked, then

PAGE_SIZE = 1000
START = "0"


class Sweep(Operation[Any]):
    """An operation that removes keys which it has to find first: what it removes is known to the server alone."""

    __slots__ = ()


class Page(NamedTuple):
    """What one SCAN found, and the cursor of the next one; None after the last."""

    keys: list[str]
    cursor: str | None


class Swept(NamedTuple):
    """How many keys a sweep has removed, and the cursor at which another one finds the rest; None at the end."""

    removed: int
    cursor: str | None


Progress: TypeAlias = Callable[[Swept], object]


def page(
    space: Keyspace,
    search: str,
    cursor: str = START,
    itersize: int | None = None,
    version: Any = None,
    client: Any = None,
) -> Operation[Page]:
    """Return one page of the keys that match ``search``, as the cache's methods take them. A key may come twice."""
    scanning = _scan(space.pattern(search, version), cursor, itersize)

    def parse(replies: list[Reply]) -> Page:
        found, following = _read(checked(replies)[0])
        return Page([space.reverse(stored) for stored in found], following)

    return Operation((scanning,), parse)


def keys(space: Keyspace, search: str, version: Any = None, client: Any = None) -> Operation[list[str]]:
    """Return the keys that match ``search``, each once."""

    def go_on(found: dict[str, None], cursor: str) -> Operation[Any]:
        def after(found_now: Page) -> Any:
            found.update(dict.fromkeys(found_now.keys))
            return list(found) if found_now.cursor is None else go_on(found, found_now.cursor)

        return then(page(space, search, cursor, version=version), after)

    return go_on({}, START)


def delete_pattern(
    space: Keyspace,
    pattern: str,
    version: Any = None,
    prefix: str | None = None,
    client: Any = None,
    itersize: int | None = None,
    *,
    cursor: str = START,
    progress: Progress | None = None,
) -> Operation[int]:
    """
    Remove the keys that match ``pattern``, and return how many there were.

    Each request removes what the one before has found, and looks at ``itersize`` more keys of the database.
    ``progress`` is called with a ``Swept`` after each; with its ``cursor``, a later call goes on at that place.
    """
    sweeping = _sweep(space.pattern(pattern, version, prefix), itersize, lambda stored: True, cursor, progress)
    return Sweep(sweeping.commands, sweeping.parse)


def clear(
    space: Keyspace, *, itersize: int | None = None, cursor: str = START, progress: Progress | None = None
) -> Operation[None]:
    """Remove every key of this cache, of all versions, and nothing else; as ``delete_pattern`` does."""
    pattern, belongs = space.everything()
    sweeping = then(_sweep(pattern, itersize, belongs, cursor, progress), lambda removed: None)
    return Sweep(sweeping.commands, sweeping.parse)


def _sweep(
    pattern: str, count: int | None, belongs: Callable[[str], Any], start: str, progress: Progress | None
) -> Operation[int]:
    """Remove page by page: each round trip removes what the one before found, and finds more."""

    def go_on(doomed: list[str], cursor: str | None, removed: int) -> Operation[int]:
        unlinking: list[Command] = [("UNLINK", *doomed)] if doomed else []
        scanning: list[Command] = [] if cursor is None else [_scan(pattern, cursor, count)]

        def parse(replies: list[Reply]) -> Any:
            checked(replies)
            total = removed + (replies[0] if doomed else 0)  # type: ignore[operator]
            if progress is not None:
                progress(Swept(total, cursor))
            if cursor is None:
                return total
            found, following = _read(replies[-1])
            doomed_next = [stored for stored in found if belongs(stored)]
            return go_on(doomed_next, following, total) if doomed_next or following is not None else total

        return Operation((*unlinking, *scanning), parse)

    return go_on([], start, 0)


def _scan(pattern: str, cursor: str, count: int | None) -> Command:
    return "SCAN", cursor, "MATCH", pattern, "COUNT", str(count or PAGE_SIZE)


def _read(reply: Any) -> Page:
    cursor, found = reply
    following = cursor.decode() if isinstance(cursor, bytes) else str(cursor)
    return Page(list(texts(found)), None if following == START else following)


def texts(found: Iterable[bytes]) -> Iterator[str]:
    """Yield those of the names that are text, as all of a cache's own are."""
    for stored in found:
        try:
            yield stored.decode()
        except UnicodeDecodeError:
            continue
