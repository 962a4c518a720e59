"""System checks of ``UPSTASH_SESSIONS``. They open no connection; docs/sessions.md lists the ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning

from django_upstash.sessions.settings import (
    SCHEMA,
    SessionSettings,
    session_cookie,
    session_settings,
    uses_sessions,
)
from django_upstash.settings import conf
from django_upstash.settings.rules import Mistake

MIDDLEWARE = "django_upstash.sessions.middleware.SessionMiddleware"


def check_sessions(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings of the sessions, where this package keeps them."""
    found = list(SCHEMA.site_mistakes())
    if not found and uses_sessions():
        found = list(_mistakes(session_settings()))
    return [_message(mistake) for mistake in found]


def _message(mistake: Mistake) -> CheckMessage:
    kind = Warning if mistake.id.startswith("W") else Error
    return kind(mistake.text, hint=mistake.hint, id=f"django_upstash.{mistake.id}")


def _mistakes(settings: SessionSettings) -> Iterator[Mistake]:
    yield from _of_connection(settings)
    yield from _of_modules(settings)
    yield from _of_django(settings)


def _of_connection(settings: SessionSettings) -> Iterator[Mistake]:
    if any(conf.setting_mistakes()):
        return  # said by the checks of UPSTASH
    if settings.alias not in conf.aliases():
        known = ", ".join(map(repr, conf.aliases())) or "none"
        text = f'UPSTASH_SESSIONS["ALIAS"] is {settings.alias!r}, which UPSTASH does not have.'
        yield Mistake("E109", text, f"UPSTASH has: {known}.")
    for alias, entry in conf.caches().items():
        prefix = re.escape(str(entry.get("KEY_PREFIX", "")))
        version = re.escape(str(entry.get("VERSION", 1)))
        if re.match(rf"{prefix}:(-?\d+|{version}):", f"{settings.prefix}:"):
            text = (
                f'UPSTASH_SESSIONS["PREFIX"] begins like the keys of CACHES[{alias!r}], so clearing that ends sessions.'
            )
            yield Mistake("E110", text, "Give the cache another KEY_PREFIX, or the sessions another PREFIX.")


def _of_modules(settings: SessionSettings) -> Iterator[Mistake]:
    if settings.encryption_keys and find_spec("cryptography") is None:
        text = 'UPSTASH_SESSIONS["ENCRYPTION_KEYS"] is set, and the package cryptography is not installed.'
        yield Mistake("E111", text, "pip install 'django-upstash[crypto]'")
    if settings.move_from is not None and not _is_engine(settings.move_from):
        text = f'UPSTASH_SESSIONS["MOVE_FROM"] is {settings.move_from!r}, which is no other session engine here.'
        yield Mistake(
            "E112", text, 'Such as "django.contrib.sessions.backends.db", whose app stays installed until then.'
        )


def _is_engine(path: str) -> bool:
    if path == conf.SESSION_ENGINE:
        return False
    try:
        return find_spec(path) is not None
    except ImportError:
        return False


def _of_django(settings: SessionSettings) -> Iterator[Mistake]:
    saves_every_request = session_cookie().is_saved_every_request
    if settings.idle_timeout is not None and not saves_every_request:
        text = (
            'UPSTASH_SESSIONS["IDLE_TIMEOUT"] needs to know of every request, and SESSION_SAVE_EVERY_REQUEST is False.'
        )
        yield Mistake(
            "E113", text, "Set it to True: unchanged sessions are stored once per RENEW_AFTER, not each time."
        )
    if settings.on_failure == "anonymous" and saves_every_request and MIDDLEWARE not in conf.setting("MIDDLEWARE"):
        text = 'With ON_FAILURE "anonymous" and SESSION_SAVE_EVERY_REQUEST, Django\'s middleware fails every request.'
        yield Mistake("E114", text, f"Put {MIDDLEWARE} in the place of Django's.")
    if settings.move_from is not None and settings.max_per_user is not None:
        text = 'UPSTASH_SESSIONS["MAX_PER_USER"] does not count sessions that MOVE_FROM has not brought here yet.'
        yield Mistake(
            "W101", text, "It is right when all have been used once, or have expired; silence this until then."
        )
