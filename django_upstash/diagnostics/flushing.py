"""
What of a database belongs to which feature of this site, so that one can be emptied and nothing else.

Features are known by the beginning of their keys. FLUSHDB is never sent: other projects may share the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django_upstash.connections import Connection
from django_upstash.diagnostics import selftest
from django_upstash.features import FlushTarget, features
from django_upstash.operations.key_scan import START, Progress, Swept, beginning_with, page, removal
from django_upstash.settings import conf

CACHE = "cache"


@dataclass
class Count:
    """How many keys a target has; of a part of the database where it is not ``complete``."""

    keys: int = 0
    is_complete: bool = True


def targets() -> dict[str, FlushTarget]:
    """Return what can be flushed, by name: what the features declare, and the leftovers of self-tests."""
    found = [target for feature in features() for target in feature.flush_targets()]
    found.append(FlushTarget(name="health", kinds=lambda: beginning_with(selftest.beginning())))
    return {target.name: target for target in found}


def target(name: str) -> FlushTarget:
    """Return what a name means, ``cache`` the default one; raise ``LookupError`` with the names there are."""
    found = targets()
    name = f"{CACHE}:{conf.DEFAULT_ALIAS}" if name in (CACHE, f"{CACHE}:") else name
    if name not in found:
        raise LookupError(f"{name!r} is nothing that can be flushed; there is {', '.join(found)}.")
    return found[name]


def count(connection: Connection, found: FlushTarget, limit: int) -> Count:
    """Count a target's keys, up to about ``limit``."""
    counted = Count()
    for kind in found.kinds():
        seen: set[str] = set()
        cursor: str | None = START
        while cursor is not None:
            keys, cursor = connection.run(page(kind, cursor))
            seen.update(keys)
            if counted.keys + len(seen) >= limit and cursor is not None:
                return Count(counted.keys + len(seen), is_complete=False)
        counted.keys += len(seen)
    return counted


def remove(connection: Connection, found: FlushTarget, place: str, progress: Callable[[int, str], None]) -> int:
    """
    Remove a target's keys and return how many there were.

    ``place`` is where to begin, ``0`` or what ``progress`` was last given; ``progress`` gets the number so far too.
    """
    first, _, cursor = place.rpartition("/")
    removed = 0
    kinds = found.kinds()
    for number in range(int(first or 0), len(kinds)):
        swept = connection.run(removal(kinds[number], cursor, progress=_telling(progress, removed, number)))
        removed, cursor = removed + swept.removed, START
    return removed


def _telling(progress: Callable[[int, str], None], before: int, number: int) -> Progress:
    def tell(swept: Swept) -> None:
        progress(before + swept.removed, f"{number}/{swept.cursor or START}")

    return tell
