"""
The settings of this package, read on access, so that ``override_settings`` works.

    UPSTASH = {"default": {"URL": "rediss://default:…@eu1-x.upstash.io:6379", "TIMEOUT": 5.0}}

Only this module reads ``django.conf.settings``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_upstash import (
    admin_options,
    cache_location,
    idempotency_options,
    ratelimit_options,
    redis_arguments,
    session_settings,
    validation,
)
from django_upstash.admin_options import AdminSettings
from django_upstash.hosts import is_loopback
from django_upstash.idempotency_options import IdempotencySettings
from django_upstash.ratelimit_options import RateLimitSettings
from django_upstash.session_settings import SessionSettings
from django_upstash.validation import ROUTE_BY_SCHEME, Mistake, Namer, RouteName

__all__ = [
    "CACHE_BACKEND",
    "DEFAULT_ALIAS",
    "ROUTE_BY_SCHEME",
    "SESSION_ENGINE",
    "ConnectionSettings",
    "IdempotencySettings",
    "Mistake",
    "RateLimitSettings",
    "RouteName",
    "SessionCookie",
    "SessionSettings",
    "aliases",
    "base_dir",
    "cache_location_mistakes",
    "cache_location_settings",
    "caches",
    "connection_settings",
    "embedded_allowed",
    "entries",
    "idempotency_mistakes",
    "idempotency_settings",
    "is_loopback",
    "make_settings",
    "mistakes",
    "read_session_settings",
    "session_cookie",
    "session_mistakes",
    "setting_mistakes",
    "signing_secrets",
    "uses_idempotency",
    "uses_sessions",
]

DEFAULT_ALIAS = "default"
CACHE_BACKEND = "django_upstash.cache.UpstashCache"
SESSION_ENGINE = "django_upstash.sessions"


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """
    One entry of ``settings.UPSTASH``, checked and typed. Times are in seconds, sizes in bytes.

    The field names are the lower-case forms of the setting's keys; secrets are left out of ``repr``.
    """

    alias: str
    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    timeout: float = 5.0  # of one operation, retries included
    connect_timeout: float | None = None  # None: as `timeout`
    pool_timeout: float | None = None  # wait for a free connection; None: as `timeout`
    max_connections: int = 10  # per process, and per event loop over REST
    retries: int = 1  # only where nothing can happen twice
    max_request_size: int = 10 * 1024 * 1024  # Upstash's limit, requests and replies
    read_your_writes: bool = True
    telemetry: bool = False
    ca_certs: str | None = None  # a PEM file beside the system's authorities
    verify_tls: bool = True
    allow_plaintext: bool = False  # http:// or redis:// to a public host
    allow_embedded: bool = False  # embedded:// outside DEBUG and test runs
    verify: bool = False  # at first use, ask the server who it is, and log it
    source: str | None = None  # where the URL comes from, such as an environment variable: named in messages

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def scheme(self) -> str:
        return self.parts.scheme.lower()

    @property
    def route(self) -> RouteName:
        return ROUTE_BY_SCHEME[self.scheme]

    @property
    def connect_seconds(self) -> float:
        return self.timeout if self.connect_timeout is None else self.connect_timeout

    @property
    def pool_seconds(self) -> float:
        return self.timeout if self.pool_timeout is None else self.pool_timeout

    @property
    def user_and_password(self) -> tuple[str | None, str | None]:
        """The native route's credentials, percent-decoded; None for what is not given."""
        in_url = (unquote(self.parts.username or ""), unquote(self.parts.password or ""))
        return self.username or in_url[0] or None, self.password or in_url[1] or None

    @property
    def database(self) -> int:
        """The number of the database; Upstash has only 0."""
        return redis_arguments.database(self.parts) or 0

    @property
    def safe_url(self) -> str:
        """The URL without user, password, query and fragment, fit to be shown."""
        parts = self.parts
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        if parts.port:
            host = f"{host}:{parts.port}"
        return f"{self.scheme}://{host}{parts.path}"

    @property
    def secrets(self) -> frozenset[str]:
        """All that must never be shown, to be cut from texts that others wrote."""
        given = (self.token, self.password, self.parts.password, unquote(self.parts.password or ""))
        return frozenset(text for text in given if text)


def admin_settings() -> AdminSettings:
    """Return ``settings.UPSTASH_ADMIN`` typed; raise ``ImproperlyConfigured`` for the first mistake."""
    _raise_first(admin_mistakes())
    return admin_options.typed(getattr(settings, "UPSTASH_ADMIN", {}))


def admin_mistakes() -> Iterator[Mistake]:
    """Yield what is wrong with ``UPSTASH_ADMIN`` by itself."""
    return admin_options.mistakes(getattr(settings, "UPSTASH_ADMIN", {}))


def ratelimit_settings() -> RateLimitSettings:
    """Return ``settings.UPSTASH_RATELIMIT`` typed; raise ``ImproperlyConfigured`` for the first mistake."""
    return ratelimit_options.typed(getattr(settings, "UPSTASH_RATELIMIT", {}))


def ratelimit_mistakes() -> Iterator[Mistake]:
    """Yield what is wrong with ``UPSTASH_RATELIMIT`` by itself."""
    return ratelimit_options.mistakes(getattr(settings, "UPSTASH_RATELIMIT", {}))


def breaker_setting() -> Mapping[str, Any]:
    """Return ``settings.UPSTASH_BREAKER`` as it is written; ``breaker_options`` says what may stand there."""
    return getattr(settings, "UPSTASH_BREAKER", {})


def rest_framework() -> Mapping[str, Any]:
    """Return the settings of Django REST framework, as they are written."""
    return getattr(settings, "REST_FRAMEWORK", None) or {}


def entries() -> Mapping[str, Any]:
    """Return ``settings.UPSTASH`` as it is written; raise ``ImproperlyConfigured`` where it is no dict of names."""
    _raise_first(setting_mistakes())
    configured: Mapping[str, Any] = getattr(settings, "UPSTASH", {})
    return configured


def aliases() -> list[str]:
    """Return the names of the configured connections."""
    return list(entries())


def connection_settings(alias: str) -> ConnectionSettings:
    """
    Return the settings of one connection.

    Raises ``ImproperlyConfigured`` with one sentence naming the mistake and its mend.
    """
    configured = entries()
    if alias not in configured:
        known = ", ".join(map(repr, configured)) or "none"
        raise ImproperlyConfigured(
            f"UPSTASH has no connection {alias!r} (it has: {known}); add it, or use one of these."
        )
    return make_settings(alias, configured[alias])


def caches() -> dict[str, Mapping[str, Any]]:
    """Return the entries of ``settings.CACHES`` whose backend is this package's."""
    return {alias: entry for alias, entry in settings.CACHES.items() if entry.get("BACKEND") == CACHE_BACKEND}


def base_dir() -> Path:
    """Return the project's folder: ``settings.BASE_DIR``, or else the working directory."""
    return Path(getattr(settings, "BASE_DIR", None) or Path.cwd())


def embedded_allowed() -> bool:
    """Tell whether this is development or a test run, where ``embedded://`` needs no ``ALLOW_EMBEDDED``."""
    # Test runners turn DEBUG off. Django's gives the mail an outbox; pytest names itself in the environment.
    is_django_test = hasattr(sys.modules.get("django.core.mail"), "outbox")
    return bool(settings.DEBUG or is_django_test or {"PYTEST_VERSION", "PYTEST_CURRENT_TEST"} & os.environ.keys())


def setting(name: str, default: Any = None) -> Any:
    """Return one of the site's settings as it is written."""
    return getattr(settings, name, default)


def signing_secrets() -> tuple[str | bytes, ...]:
    """Return the site's secrets: the one that signs, and those whose signatures are still accepted."""
    return settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS


def make_settings(alias: str, given: Mapping[str, Any]) -> ConnectionSettings:
    """Check one entry of ``UPSTASH`` and return it typed; raise ``ImproperlyConfigured`` for the first mistake."""
    _raise_first(mistakes(alias, given))
    return _typed(alias, given)


def setting_mistakes() -> Iterator[Mistake]:
    """Yield what is wrong with ``UPSTASH`` as a whole."""
    configured = getattr(settings, "UPSTASH", {})
    if not isinstance(configured, Mapping):
        text = f"UPSTASH must be a dict of dicts, not {type(configured).__name__}."
        yield Mistake("E001", text, 'Write UPSTASH = {"default": {"URL": "rediss://…"}}.')
        return
    for alias in configured:
        if not isinstance(alias, str) or not alias:
            text = f"UPSTASH has a connection whose name is {alias!r}."
            yield Mistake("E001", text, 'Name connections by text, such as "default".')


def mistakes(alias: str, given: object) -> Iterator[Mistake]:
    """Yield what is wrong with one entry of ``UPSTASH``, the most basic first. Never shows a secret."""
    where = f"UPSTASH[{alias!r}]"
    if not isinstance(given, Mapping):
        text = f"{where} must be a dict, not {type(given).__name__}."
        yield Mistake("E002", text, 'Write {"URL": "rediss://…"}.')
        return
    source = given.get("SOURCE")
    origin = f" (from {source})" if isinstance(source, str) and source else ""
    yield from _entry_mistakes(given, lambda key: f'{where}["{key}"]{origin if key == "URL" else ""}', where)


def cache_location_settings(location: object, options: Mapping[str, Any] | None = None) -> ConnectionSettings:
    """
    Return the connection that ``LOCATION`` and ``OPTIONS`` of a cache name: one of ``UPSTASH``, or one of its own.

    ``LOCATION`` is an alias of ``UPSTASH`` or a URL, alone or as the only item of a list. Beside a URL, ``OPTIONS`` may
    hold the keys of ``UPSTASH`` and django-redis' names for them. Raises ``ImproperlyConfigured`` for the first
    mistake.
    """
    options = {} if options is None else options
    _raise_first(cache_location_mistakes(location, options))
    name = cache_location.single(location)
    if not cache_location.is_url(name):
        return connection_settings(name)
    typed = _typed("", cache_location.entry(name, options))
    return replace(typed, alias=typed.safe_url)


def cache_location_mistakes(
    location: object, options: Mapping[str, Any], where: str = "CACHES[…]"
) -> Iterator[Mistake]:
    """Yield what is wrong with a cache's ``LOCATION`` and with those of its ``OPTIONS`` that concern the connection."""
    found = list(cache_location.mistakes(location, options, where, aliases()))
    yield from found
    if found:
        return
    name = cache_location.single(location)
    if cache_location.is_url(name):
        namer = cache_location.namer(where, options)
        yield from _entry_mistakes(cache_location.entry(name, options), namer, f'{where}["OPTIONS"]')


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
        "path": settings.SESSION_COOKIE_PATH,
        "domain": settings.SESSION_COOKIE_DOMAIN,
        "samesite": settings.SESSION_COOKIE_SAMESITE,
    }
    attributes = {
        "secure": settings.SESSION_COOKIE_SECURE or None,
        "httponly": settings.SESSION_COOKIE_HTTPONLY or None,
    }
    return SessionCookie(settings.SESSION_COOKIE_NAME, place, attributes, settings.SESSION_SAVE_EVERY_REQUEST)


def read_session_settings() -> SessionSettings:
    """Return ``UPSTASH_SESSIONS`` typed; raise ``ImproperlyConfigured`` with one sentence for the first mistake."""
    _raise_first(session_mistakes())
    return session_settings.typed(getattr(settings, "UPSTASH_SESSIONS", {}))


def session_mistakes() -> Iterator[Mistake]:
    """Yield what is wrong with ``UPSTASH_SESSIONS`` by itself."""
    return session_settings.mistakes(getattr(settings, "UPSTASH_SESSIONS", {}))


def idempotency_settings() -> IdempotencySettings:
    """Return ``UPSTASH_IDEMPOTENCY`` typed; raise ``ImproperlyConfigured`` for the first mistake."""
    _raise_first(idempotency_mistakes())
    keys = read_session_settings().encryption_keys
    return idempotency_options.typed(getattr(settings, "UPSTASH_IDEMPOTENCY", {}), keys)


def idempotency_mistakes() -> Iterator[Mistake]:
    """Yield what is wrong with ``UPSTASH_IDEMPOTENCY`` by itself."""
    return idempotency_options.mistakes(getattr(settings, "UPSTASH_IDEMPOTENCY", {}))


def uses_idempotency() -> bool:
    """Tell whether the site says how idempotency keys are kept."""
    return hasattr(settings, "UPSTASH_IDEMPOTENCY")


def uses_sessions() -> bool:
    """Tell whether this package keeps the site's sessions."""
    return bool(settings.SESSION_ENGINE == SESSION_ENGINE)


def middleware() -> list[str]:
    """Return the dotted paths of the site's middleware."""
    return list(settings.MIDDLEWARE)


def _entry_mistakes(given: Mapping[str, Any], name: Namer, where: str) -> Iterator[Mistake]:
    found = list(validation.entry_mistakes(given, name, where))
    yield from found
    if not found and _typed("", given).route == "embedded" and not (given.get("ALLOW_EMBEDDED") or embedded_allowed()):
        text = f"{name('URL')} is embedded://, a server for development, and DEBUG is off."
        yield Mistake("E027", text, "Name a server, or set ALLOW_EMBEDDED to True.")


def _typed(alias: str, given: Mapping[str, Any]) -> ConnectionSettings:
    scheme, _, address = given["URL"].strip().partition("://")
    address, _, query = address.partition("?")
    arguments = redis_arguments.query(query)
    values = {key.lower(): value for key, value in {**redis_arguments.entry(arguments), **given}.items()}
    for name in ("token", "username", "password", "source"):
        values[name] = (values.get(name) or "").strip() or None
    if values.get("ca_certs") is not None:
        values["ca_certs"] = os.fspath(values["ca_certs"])
    # Of the query's arguments, only the database is left for the route to read.
    address += f"?db={arguments['db']}" if "db" in arguments else ""
    values["url"] = f"{scheme.lower()}://{address}"
    if ROUTE_BY_SCHEME[scheme.lower()] == "rest":
        values["url"] = values["url"].rstrip("/")
    return ConnectionSettings(alias=alias, **values)


def _raise_first(found: Iterator[Mistake]) -> None:
    for mistake in found:
        raise ImproperlyConfigured(str(mistake))
