"""What tells the keys of one kind from all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


def _everything(key: str) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """The keys that match a pattern of SCAN, and of which ``belongs`` is true."""

    pattern: str
    belongs: Callable[[str], Any] = _everything

    def of(self, found: Sequence[bytes]) -> list[str]:
        """Return those of the keys that are of this kind; names that are no text are nobody's here."""
        return [key for key in texts(found) if self.belongs(key)]


def texts(found: Iterable[bytes]) -> Iterator[str]:
    """Yield those of the names that are text, as all of this package's own are."""
    for key in found:
        try:
            yield key.decode()
        except UnicodeDecodeError:
            continue
