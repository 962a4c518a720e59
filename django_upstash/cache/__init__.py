"""Django's cache on Upstash: ``"BACKEND": "django_upstash.cache.UpstashCache"``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

if TYPE_CHECKING:
    from django_upstash.cache.backend import UpstashCache

__all__ = ["UpstashCache"]

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.cache.backend": ["UpstashCache"],
    },
)
