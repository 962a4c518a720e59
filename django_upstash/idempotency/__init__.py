"""
Work that is done once, however often it is asked for.

    from django_upstash.idempotency import IdempotencyStore, idempotent
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

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

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.idempotency.middleware": ["IdempotencyMiddleware"],
        "django_upstash.idempotency.store": ["IdempotencyStore", "Result", "State"],
        "django_upstash.idempotency.drf": ["IdempotentMixin"],
        "django_upstash.idempotency.protection": ["Protection"],
        "django_upstash.idempotency.decorators": ["idempotent"],
    },
    feature="idempotency",
)
