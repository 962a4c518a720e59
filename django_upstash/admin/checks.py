"""System checks of ``UPSTASH_ADMIN``. They open no connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from django_upstash.settings.admin import SCHEMA, admin_settings
from django_upstash.settings.rules import Mistake


def check_admin(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings of the admin pages."""
    found = list(SCHEMA.site_mistakes()) or list(_limiter_mistakes())
    return [Error(mistake.text, hint=mistake.hint, id=f"django_upstash.{mistake.id}") for mistake in found]


def _limiter_mistakes() -> Iterator[Mistake]:
    paths = admin_settings().limiters
    if paths:
        from django_upstash.ratelimit.report.limiters import load  # which imports a client, as what is named there does
    for path in paths:
        try:
            load(path)
        except (ImportError, TypeError) as error:
            text = f'UPSTASH_ADMIN["LIMITERS"] has {path!r}, which cannot be used: {error}'
            yield Mistake("E308", text, "Name a RateLimiter, a list of them, or a function that returns either.")
