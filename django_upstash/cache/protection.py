"""What ``get_or_set`` is asked to do against computing a value twice or in vain."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Seconds.
LEASE = 10.0


@dataclass(frozen=True, slots=True)
class CacheProtection:
    """
    How ``get_or_set`` protects what it computes.

    ``early`` is XFetch's beta: how eagerly a value is computed again before it expires. ``grace`` is for how many
    seconds after that its copy is there for want of a new one. ``cross_process`` lets one process at a time compute,
    for ``lease`` seconds at most.
    """

    early: float = 0.0
    grace: float = 0.0
    cross_process: bool = False
    lease: float = LEASE
    tags: Iterable[str] = ()

    def __post_init__(self) -> None:
        for name in ("early", "grace"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name} must be a number, 0 for none, not {getattr(self, name)!r}.")
        if not _is_number(self.lease) or self.lease < 0.001:
            raise ValueError(f"lease must be a number of seconds, 0.001 or more, not {self.lease!r}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
