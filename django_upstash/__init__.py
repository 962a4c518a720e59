"""Django's cache, sessions and DRF throttles on Upstash Redis, over the native protocol or over HTTPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_upstash.version import __version__

if TYPE_CHECKING:
    from django_upstash.health.verification import averify, verify

__all__ = ["__version__", "averify", "verify"]


def __getattr__(name: str) -> Any:
    # Imported at first use: importing this package is free, and Django does it before there are settings.
    if name in ("averify", "verify"):
        from django_upstash.health import verification

        return getattr(verification, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
