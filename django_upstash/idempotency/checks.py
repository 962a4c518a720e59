"""System checks of ``UPSTASH_IDEMPOTENCY``. They open no connection; docs/idempotency.md lists the ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from django_upstash.idempotency.settings import SCHEMA, IdempotencySettings, idempotency_settings, uses_idempotency
from django_upstash.sessions import settings as session_settings
from django_upstash.settings import conf
from django_upstash.settings.rules import Mistake

MIDDLEWARE = "django_upstash.idempotency.middleware.IdempotencyMiddleware"
_ALSO = "django_upstash.idempotency.IdempotencyMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def check_idempotency(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings of idempotency keys, and the position of their middleware."""
    found = list(SCHEMA.site_mistakes())
    if not found and not any(session_settings.SCHEMA.site_mistakes()) and not any(conf.setting_mistakes()):
        found = [*_of_settings(idempotency_settings()), *_of_middleware(conf.setting("MIDDLEWARE"))]
    return [Error(mistake.text, hint=mistake.hint, id=f"django_upstash.{mistake.id}") for mistake in found]


def _of_settings(settings: IdempotencySettings) -> Iterator[Mistake]:
    # A site without any connection runs without Redis, by ON_FAILURE.
    if uses_idempotency() and conf.aliases() and settings.alias not in conf.aliases():
        known = ", ".join(map(repr, conf.aliases()))
        text = f'UPSTASH_IDEMPOTENCY["ALIAS"] is {settings.alias!r}, which UPSTASH does not have.'
        yield Mistake("E428", text, f"UPSTASH has: {known}.")
    if uses_idempotency() and settings.encryption_keys and find_spec("cryptography") is None:
        text = "Stored responses are to be encrypted, and the package cryptography is not installed."
        yield Mistake("E427", text, "pip install 'django-upstash[crypto]'")


def _of_middleware(middleware: list[str]) -> Iterator[Mistake]:
    own = next((path for path in middleware if path in (MIDDLEWARE, _ALSO)), None)
    if own is not None and AUTHENTICATION in middleware[middleware.index(own) :]:
        text = f"{own} is above Django's AuthenticationMiddleware, so it does not know whose requests it sees."
        yield Mistake("E429", text, "Put it below, at the end of MIDDLEWARE for instance.")
