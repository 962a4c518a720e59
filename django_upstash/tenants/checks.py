"""System checks of ``UPSTASH_TENANTS``. They open no connection and import no client library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from django_upstash import conf, tenant_options
from django_upstash.conf import Mistake

TAG = "django_upstash"


def check_tenants(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the setting by itself, and whether what it names is there."""
    given = conf.setting(tenant_options.SETTING, {})
    found = list(tenant_options.mistakes(given)) or list(_missing(tenant_options.typed(given)) if given else ())
    return [Error(mistake.text, hint=mistake.hint, id=f"{TAG}.{mistake.id}") for mistake in found]


def _missing(settings: tenant_options.TenantSettings) -> Iterator[Mistake]:
    if any(conf.setting_mistakes()):
        return
    if settings.alias not in conf.aliases():
        text = f'{tenant_options.SETTING}["ALIAS"] is {settings.alias!r}, which is no connection of UPSTASH.'
        yield Mistake("E484", text, f"It has: {', '.join(map(repr, conf.aliases())) or 'none'}.")
    if "CACHE" in conf.setting(tenant_options.SETTING) and settings.cache not in conf.caches():
        text = f'{tenant_options.SETTING}["CACHE"] is {settings.cache!r}, which is no cache of this package in CACHES.'
        yield Mistake("E484", text, f"Give it the BACKEND {conf.CACHE_BACKEND!r}, or name another.")
