"""
The settings of this package, read on access, so that ``override_settings`` works.

    UPSTASH = {"default": {"URL": "rediss://default:…@eu1-x.upstash.io:6379", "TIMEOUT": 5.0}}

Only this module reads ``django.conf.settings``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from django_upstash.credentials import Secret, hide_entry, hide_secrets, secret, split_credentials, type_name
from django_upstash.settings import cache_location, redis_arguments, validation
from django_upstash.settings.connection import ConnectionSettings
from django_upstash.settings.hosts import is_loopback, normal_url
from django_upstash.settings.rules import Mistake
from django_upstash.settings.validation import ROUTE_BY_SCHEME, Namer, RouteName

__all__ = [
    "CACHE_BACKEND",
    "DEFAULT_ALIAS",
    "ROUTE_BY_SCHEME",
    "SESSION_ENGINE",
    "ConnectionSettings",
    "RouteName",
    "aliases",
    "base_dir",
    "cache_location_mistakes",
    "cache_location_settings",
    "caches",
    "connection_settings",
    "embedded_allowed",
    "entries",
    "is_loopback",
    "make_settings",
    "mistakes",
    "setting_mistakes",
    "signing_secrets",
]

DEFAULT_ALIAS = "default"
SESSION_ENGINE = "django_upstash.sessions"
CACHE_BACKEND = "django_upstash.cache.UpstashCache"


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


def hide_credentials() -> None:
    """Have passwords, tokens, keys and URLs in the settings not shown by reports; their values stay the same."""
    configured = getattr(settings, "UPSTASH", {})
    if not isinstance(configured, Mapping):
        settings.UPSTASH = secret(configured)
    elif isinstance(configured, MutableMapping):
        for alias, entry in list(configured.items()):
            if isinstance(entry, Mapping):
                hide_entry(entry)
            else:
                configured[alias] = secret(entry)  # a text by mistake
    for entry in caches().values():
        hide_secrets(entry)
    for name in ("UPSTASH_SESSIONS", "UPSTASH_IDEMPOTENCY"):
        hide_secrets(getattr(settings, name, None))


def caches() -> dict[str, Mapping[str, Any]]:
    """Return the entries of ``settings.CACHES`` whose backend is this package's."""
    return {alias: entry for alias, entry in settings.CACHES.items() if entry.get("BACKEND") == CACHE_BACKEND}


def base_dir() -> Path:
    """Return the project's folder: ``settings.BASE_DIR``, or else the working directory."""
    return Path(getattr(settings, "BASE_DIR", None) or Path.cwd())


def embedded_allowed() -> bool:
    """Tell whether this is development or a test run, where ``embedded://`` needs no ``ALLOW_EMBEDDED``."""
    # Test runners turn DEBUG off.
    is_django_test = hasattr(sys.modules.get("django.core.mail"), "outbox")
    return bool(settings.DEBUG or is_django_test or {"PYTEST_VERSION", "PYTEST_CURRENT_TEST"} & os.environ.keys())


def setting(name: str, default: Any = None) -> Any:
    """Return one of the site's settings as it is written."""
    return getattr(settings, name, default)


def signing_secrets() -> tuple[str | bytes, ...]:
    """Return the site's secrets: the one that signs, and those whose signatures are still accepted."""
    return tuple(map(secret, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)))


def make_settings(alias: str, given: Mapping[str, Any]) -> ConnectionSettings:
    """Check one entry of ``UPSTASH`` and return it typed; raise ``ImproperlyConfigured`` for the first mistake."""
    _raise_first(mistakes(alias, given))
    return _typed(alias, given)


def setting_mistakes() -> Iterator[Mistake]:
    """Yield what is wrong with ``UPSTASH`` as a whole."""
    configured = getattr(settings, "UPSTASH", {})
    if not isinstance(configured, Mapping):
        text = f"UPSTASH must be a dict of dicts, not {type_name(configured)}."
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
        text = f"{where} must be a dict, not {type_name(given)}."
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


def _entry_mistakes(given: Mapping[str, Any], name: Namer, where: str) -> Iterator[Mistake]:
    found = list(validation.entry_mistakes(given, name, where))
    yield from found
    if not found and _typed("", given).route == "embedded" and not (given.get("ALLOW_EMBEDDED") or embedded_allowed()):
        text = f"{name('URL')} is embedded://, a server for development, and DEBUG is off."
        yield Mistake("E027", text, "Name a server, or set ALLOW_EMBEDDED to True.")


def _typed(alias: str, given: Mapping[str, Any]) -> ConnectionSettings:
    scheme, _, address = normal_url(given["URL"].strip()).partition("://")
    address, _, query = address.partition("?")
    arguments = redis_arguments.query(query)
    values = {key.lower(): value for key, value in {**redis_arguments.entry(arguments), **given}.items()}
    for name in ("token", "username", "password", "source"):
        values[name] = (values.get(name) or "").strip() or None
    address, username, password = split_credentials(f"{scheme.lower()}://{address}")
    values["username"] = values["username"] or username
    values["password"] = values["password"] or password
    for name in ("token", "password"):
        values[name] = values[name] and Secret(values[name])
    if values.get("ca_certs") is not None:
        values["ca_certs"] = os.fspath(values["ca_certs"])
    # Of the query's arguments, only the database is left for the route to read.
    address += f"?db={arguments['db']}" if "db" in arguments else ""
    values["url"] = address.rstrip("/") if ROUTE_BY_SCHEME[scheme.lower()] == "rest" else address
    return ConnectionSettings(alias=alias, **values)


def _raise_first(found: Iterator[Mistake]) -> None:
    for mistake in found:
        raise ImproperlyConfigured(str(mistake))
