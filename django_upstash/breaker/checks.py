"""System checks of ``UPSTASH_BREAKER``. They open no connection."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage

from django_upstash.breaker.settings import alias_mistakes, breaker_setting, mistakes
from django_upstash.settings import conf
from django_upstash.settings.checks import AppConfigs, error


def check_breakers(app_configs: AppConfigs = None, **kwargs: Any) -> list[CheckMessage]:
    """Check ``UPSTASH_BREAKER``, and that the connections it names are there; a site without any is not wrong."""
    found = list(map(error, mistakes(breaker_setting())))
    if found or any(conf.setting_mistakes()) or not conf.aliases():
        return found
    return list(map(error, alias_mistakes(breaker_setting(), conf.aliases())))
