"""
Counting the keys of one kind, and a closer look at a sample of them.

Counting costs one SCAN for hundreds of keys. What is known of one key costs commands of its own, so it is asked for a
sample, a hundred keys a request.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from django_upstash.diagnostics.arguments import is_count
from django_upstash.diagnostics.formatting import counted, duration, size
from django_upstash.operations import Operation
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import pages

if TYPE_CHECKING:
    from django_upstash.connections import Connection

MOST_KEYS = 10_000_000
GONE = -2  # what PTTL says of a key that is missing
_WITHOUT_TTL = -1
_KEYS_PER_REQUEST = 100


class CloseLook(Protocol):
    """Makes the operation that looks at some keys and adds what it finds to the survey."""

    def __call__(self, keys: Sequence[str], /) -> Operation[None]: ...


@dataclass(frozen=True)
class Extent:
    """How many keys to count, about, and how many of them to look at. Raises ``ValueError`` for other numbers."""

    limit: int
    sample: int

    def __post_init__(self) -> None:
        if not (is_count(self.limit, 1, MOST_KEYS) and is_count(self.sample, 0, MOST_KEYS)):
            raise ValueError(f"--limit must be from 1, and --sample from 0, to {MOST_KEYS:,} keys.")


@dataclass
class Survey:
    """
    What was found of one kind of keys. Lifetimes are in seconds, sizes in bytes of the values.

    ``is_complete`` is whether all keys were counted; ``count`` is of those seen otherwise.
    """

    count: int = 0
    is_complete: bool = True
    without_ttl: int = 0
    lifetimes: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def measured(self) -> int:
        """How many keys were looked at closely."""
        return len(self.sizes)

    @property
    def more(self) -> str:
        """What goes with the count in words, where it is not of all keys."""
        return "" if self.is_complete else " or more"

    def add(self, milliseconds: int, size: int) -> None:
        """Add the reply of PTTL and the size of one key."""
        self.sizes.append(size)
        if milliseconds == _WITHOUT_TTL:
            self.without_ttl += 1
        else:
            self.lifetimes.append(milliseconds / 1000)

    def spreads(self) -> dict[str, Any]:
        """Return how lifetimes and sizes are spread, for a JSON object."""
        return {"without_ttl": self.without_ttl, "ttl_seconds": _spread(self.lifetimes), "bytes": _spread(self.sizes)}

    def spread_rows(self) -> Iterator[tuple[str, str]]:
        """Yield the same for a table."""
        yield "TTL", _spread_text(self.lifetimes, duration)
        yield "size", _spread_text(self.sizes, size)

    def warnings(self, noun: str) -> Iterator[str]:
        """Yield a warning about keys that would never go."""
        if self.without_ttl:
            yield f"{counted(self.without_ttl, noun)} of {self.measured} measured have no TTL and would stay."


def conduct(
    connection: Connection,
    kind: Kind,
    found: Survey,
    look: CloseLook,
    extent: Extent,
    progress: Callable[[int], object],
) -> None:
    """Count the keys of a kind, telling ``progress`` how many there are so far, and look at some of them."""
    seen: dict[str, None] = {}  # SCAN may name a key twice
    for page in pages(connection.run, kind):
        seen.update(dict.fromkeys(page.keys))
        found.count, found.is_complete = len(seen), page.cursor is None
        progress(found.count)
        if found.count >= extent.limit:
            break
    names = list(seen)[: extent.sample]
    for start in range(0, len(names), _KEYS_PER_REQUEST):
        connection.run(look(names[start : start + _KEYS_PER_REQUEST]))


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """Return the least, the median and the most of some values, None of none."""
    if not values:
        return None
    return {"min": min(values), "median": round(statistics.median(values), 3), "max": max(values)}


def _spread_text(values: Sequence[float], show: Callable[[float], str]) -> str:
    found = _spread(values)
    return "-" if found is None else f"{show(found['min'])} to {show(found['max'])}, median {show(found['median'])}"
