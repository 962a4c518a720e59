"""
The cache's operations on all keys that match a pattern: SCAN page by page, never KEYS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_upstash.cache.cache_keys import Keyspace
from django_upstash.operations import Operation, key_scan, then
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import START, Page, Progress, Swept, removal

__all__ = ["START", "Sweep", "clear", "delete_pattern", "keys", "page"]


class Sweep(Operation[Any]):
    """An operation that removes keys which it has to find first: what it removes is known to the server alone."""

    __slots__ = ()


def page(
    space: Keyspace,
    search: str,
    cursor: str = START,
    itersize: int | None = None,
    version: Any = None,
    client: Any = None,
) -> Operation[Page]:
    """Return one page of the keys that match ``search``, as the cache's methods take them. A key may come twice."""
    finding = key_scan.page(Kind(space.pattern(search, version)), cursor, itersize)
    return then(finding, lambda found: Page([space.reverse(stored) for stored in found.keys], found.cursor))


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
    kind = Kind(space.pattern(pattern, version, prefix))
    return _sweep(removal(kind, cursor, progress=progress, count=itersize), lambda swept: swept.removed)


def clear(
    space: Keyspace, *, itersize: int | None = None, cursor: str = START, progress: Progress | None = None
) -> Operation[None]:
    """Remove every key of this cache, of all versions, and nothing else; as ``delete_pattern`` does."""
    kind = Kind(*space.everything())
    return _sweep(removal(kind, cursor, progress=progress, count=itersize), lambda swept: None)


def _sweep(removing: Operation[Swept], result: Callable[[Swept], Any]) -> Sweep:
    sweeping = then(removing, result)
    return Sweep(sweeping.commands, sweeping.parse)
