"""
Locks among processes and machines: leases with tokens, renewal, and fencing numbers.

    with Lock("nightly-report", lease=30):
        ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_upstash.locks.lock import Lock

__all__ = [
    "Lock",
]

_MODULES = {
    "Lock": "django_upstash.locks.lock",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: what the feature declares is imported at start-up.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
