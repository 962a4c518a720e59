"""The settings of idempotency keys, read once and again when a test changes them."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.signals import setting_changed

from django_upstash.idempotency.settings import IdempotencySettings, idempotency_settings

_SETTINGS = frozenset({"UPSTASH_IDEMPOTENCY", "UPSTASH_SESSIONS"})


@cache
def options() -> IdempotencySettings:
    """Return ``UPSTASH_IDEMPOTENCY`` typed; raise ``ImproperlyConfigured`` for the first mistake."""
    return idempotency_settings()


def _forget_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in _SETTINGS:
        options.cache_clear()


setting_changed.connect(_forget_changed, dispatch_uid="django_upstash.idempotency")
