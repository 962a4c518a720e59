"""
Locks among processes and machines: leases with tokens, renewal, and fencing numbers.

    with Lock("nightly-report", lease=30):
        ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

if TYPE_CHECKING:
    from django_upstash.locks.lock import Lock

__all__ = [
    "Lock",
]

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.locks.lock": ["Lock"],
    },
)
