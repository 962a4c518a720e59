"""
Work that is done once, however often it is asked for.

    from django_upstash.idempotency import IdempotencyStore, idempotent
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_upstash.features import require

if TYPE_CHECKING:
    from django_upstash.idempotency.decorators import idempotent
    from django_upstash.idempotency.drf import IdempotentMixin
    from django_upstash.idempotency.middleware import IdempotencyMiddleware
    from django_upstash.idempotency.protection import Protection
    from django_upstash.idempotency.store import IdempotencyStore, Result, State

__all__ = [
    "IdempotencyMiddleware",
    "IdempotencyStore",
    "IdempotentMixin",
    "Protection",
    "Result",
    "State",
    "idempotent",
]

_MODULES = {
    "IdempotencyMiddleware": "middleware",
    "IdempotencyStore": "store",
    "IdempotentMixin": "drf",
    "Protection": "protection",
    "Result": "store",
    "State": "store",
    "idempotent": "decorators",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: they bring redis-py, and one of them needs Django REST framework.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("idempotency")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
