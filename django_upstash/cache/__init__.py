"""Django's cache on Upstash: ``"BACKEND": "django_upstash.cache.UpstashCache"``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_upstash.cache.backend import UpstashCache

__all__ = ["UpstashCache"]


def __getattr__(name: str) -> Any:
    # Imported at first use: the backend brings redis-py and django-redis, which other parts of this package need not.
    if name == "UpstashCache":
        from django_upstash.cache.backend import UpstashCache

        globals()[name] = UpstashCache  # for whom this function is not called again
        return UpstashCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
