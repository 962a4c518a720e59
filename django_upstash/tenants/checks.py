"""System checks of ``UPSTASH_TENANTS``. They open no connection and import no client library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from django_upstash.settings import conf
from django_upstash.settings.rules import Mistake
from django_upstash.tenants.settings import SCHEMA, TenantSettings

TAG = "django_upstash"


def check_tenants(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the setting by itself, and whether what it names is there."""
    found = list(SCHEMA.site_mistakes()) or list(_missing(SCHEMA.read()) if conf.setting(SCHEMA.name) else ())
    return [Error(mistake.text, hint=mistake.hint, id=f"{TAG}.{mistake.id}") for mistake in found]


def _missing(settings: TenantSettings) -> Iterator[Mistake]:
    if any(conf.setting_mistakes()):
        return
    if settings.alias not in conf.aliases():
        text = f'{SCHEMA.name}["ALIAS"] is {settings.alias!r}, which is no connection of UPSTASH.'
        yield Mistake("E484", text, f"It has: {', '.join(map(repr, conf.aliases())) or 'none'}.")
    if "CACHE" in conf.setting(SCHEMA.name) and settings.cache not in conf.caches():
        text = f'{SCHEMA.name}["CACHE"] is {settings.cache!r}, which is no cache of this package in CACHES.'
        yield Mistake("E484", text, f"Give it the BACKEND {conf.CACHE_BACKEND!r}, or name another.")
