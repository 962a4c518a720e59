"""What ``UPSTASH_SESSIONS`` may say. Pure: opens no connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django_upstash.settings import conf
from django_upstash.settings.conf import SESSION_ENGINE
from django_upstash.settings.encryption_keys import encryption_keys
from django_upstash.settings.rules import (
    WITHOUT_QUOTES,
    Rule,
    dotted_path,
    flag,
    matching,
    one_of,
    seconds,
    text,
    whole,
)
from django_upstash.settings.schema import Schema, option


def _limit() -> Rule:
    hint = "Write 1800 for half an hour, None for no limit."
    return seconds("E105", "seconds, 1 or more, or a timedelta", hint, least=1).or_none()


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """
    ``settings.UPSTASH_SESSIONS``, checked and typed.

    Times are in seconds. ``renew_after`` below 1 is a share of the session's lifetime.
    """

    alias: str = option(text("E103"), default="default")
    prefix: str = option(
        matching(
            "E103",
            r"[A-Za-z0-9_.:/-]{1,100}",
            "1 to 100 letters, digits or any of _ . : / -",
            'Such as "session" or "shop-session".',
        ),
        default="session",
    )
    on_failure: Literal["error", "anonymous"] = option(
        one_of(
            "E104",
            *("error", "anonymous"),
            hint="While sessions cannot be read, requests fail with the first, and are anonymous with the second.",
        ),
        default="error",
    )
    renew_after: float = option(
        seconds(
            "E105",
            "a share of the lifetime above 0 and below 1, or seconds, or a timedelta",
            "Write 0.1 for a tenth of the lifetime, 300 for five minutes.",
            above=True,
        ),
        default=0.1,
    )
    merge: bool = option(flag("E106", WITHOUT_QUOTES), default=False)
    index: bool = option(flag("E106", WITHOUT_QUOTES), default=False)
    max_per_user: int | None = option(whole("E106", 1).or_none(), default=None)
    idle_timeout: float | None = option(_limit(), default=None)
    absolute_timeout: float | None = option(_limit(), default=None)
    move_from: str | None = option(
        dotted_path(
            "E107", "the dotted path of a session engine", 'Such as "django.contrib.sessions.backends.db".'
        ).or_none(),
        default=None,
    )
    encryption_keys: tuple[bytes, ...] = option(
        encryption_keys("E108", "The first key encrypts, all of them decrypt."), default=(), repr=False
    )

    @property
    def keeps_index(self) -> bool:
        """Whether each user's sessions are written down: a limit on their number needs that too."""
        return self.index or self.max_per_user is not None

    def renewal_seconds(self, lifetime: float) -> float:
        """Return how long after its last writing an unchanged session of this lifetime is written again."""
        return self.renew_after * lifetime if self.renew_after < 1 else self.renew_after


SCHEMA = Schema("UPSTASH_SESSIONS", SessionSettings, "E101", unknown_id="E102")
session_settings = SCHEMA.read


def uses_sessions() -> bool:
    """Tell whether this package keeps the site's sessions."""
    return bool(conf.setting("SESSION_ENGINE") == SESSION_ENGINE)


@dataclass(frozen=True)
class SessionCookie:
    """Django's settings of the session cookie; ``place`` and ``attributes`` are what a response's methods are given."""

    name: str
    place: Mapping[str, Any]
    attributes: Mapping[str, Any]
    is_saved_every_request: bool


def session_cookie() -> SessionCookie:
    """Return Django's settings of the session cookie."""
    place = {
        "path": conf.setting("SESSION_COOKIE_PATH"),
        "domain": conf.setting("SESSION_COOKIE_DOMAIN"),
        "samesite": conf.setting("SESSION_COOKIE_SAMESITE"),
    }
    attributes = {
        "secure": conf.setting("SESSION_COOKIE_SECURE") or None,
        "httponly": conf.setting("SESSION_COOKIE_HTTPONLY") or None,
    }
    name, every = conf.setting("SESSION_COOKIE_NAME"), conf.setting("SESSION_SAVE_EVERY_REQUEST")
    return SessionCookie(name, place, attributes, every)
