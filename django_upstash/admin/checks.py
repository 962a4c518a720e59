"""System checks of ``UPSTASH_ADMIN``. They open no connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from django_upstash.settings.admin import SCHEMA


def check_admin(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings of the admin pages."""
    return [Error(each.text, hint=each.hint, id=f"django_upstash.{each.id}") for each in SCHEMA.site_mistakes()]
