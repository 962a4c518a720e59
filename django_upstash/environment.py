"""
Settings from environment variables, for use in ``settings.py``.

    UPSTASH = config_from_env()
    CACHES = caches_from_env(KEY_PREFIX="shop")
    SESSION_ENGINE = session_engine_from_env()
    UPSTASH_SESSIONS = sessions_from_env()
    SESSION_CACHE_ALIAS = "sessions"

Each name is one that people already have. Empty means unset, and white space around a value is no part of it. A value
that cannot be read raises ``ImproperlyConfigured`` naming the variable, never showing what it holds. Addresses and
tokens are judged where they are used: by the system checks, and when a connection is made.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, Literal, TypeVar

from django.core.exceptions import ImproperlyConfigured

from django_upstash.conf import CACHE_BACKEND, DEFAULT_ALIAS, SESSION_ENGINE, ConnectionSettings
from django_upstash.session_settings import encryption_key
from django_upstash.validation import LONGEST_TIMEOUT, ROUTE_BY_SCHEME

__all__ = [
    "EnvironmentSettings",
    "breaker_from_env",
    "caches_from_env",
    "config_from_env",
    "idempotency_from_env",
    "ratelimit_from_env",
    "session_engine_from_env",
    "sessions_from_env",
]

LOCAL_SESSION_ENGINE = "django.contrib.sessions.backends.cache"
LOCAL_CACHE_BACKEND = "django.core.cache.backends.locmem.LocMemCache"
SESSIONS_CACHE = "sessions"
# URL and token; the first pair of which the URL is set counts.
REST_NAMES = (("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"), ("KV_REST_API_URL", "KV_REST_API_TOKEN"))
NATIVE_NAMES = ("UPSTASH_REDIS_URL", "REDIS_URL")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

Environment = Mapping[str, str]
Value = TypeVar("Value")
logger = logging.getLogger("django_upstash")


@dataclass(frozen=True, kw_only=True)
class EnvironmentSettings:
    """
    What the environment says besides the address. Times are in seconds; None leaves the choice to the feature.

    ``redis_enabled`` False is a site that runs without Redis: caches and sessions of each process for itself, and rate
    limits by their failure policy.
    """

    redis_enabled: bool = True
    session_storage: Literal["redis", "memory"] = "redis"
    session_ttl: int = 1_209_600  # as Django's SESSION_COOKIE_AGE
    token_encryption_keys: tuple[bytes, ...] = field(default=(), repr=False)
    rate_limit_enabled: bool = True
    rate_limit_requests_per_minute: int | None = None
    rate_limit_burst_size: int | None = None
    circuit_breaker_enabled: bool = True
    circuit_breaker_failure_threshold: int | None = None
    circuit_breaker_success_threshold: int | None = None
    circuit_breaker_timeout: float | None = None

    @property
    def token_encryption_key(self) -> bytes | None:
        """The key that encrypts; those after it only decrypt."""
        return self.token_encryption_keys[0] if self.token_encryption_keys else None

    @classmethod
    def from_env(cls, environ: Environment = os.environ) -> EnvironmentSettings:
        """Read every name at once; raise ``ImproperlyConfigured`` for the first that cannot be read."""
        found = {name: _read(environ, variable, parse) for name, (variable, parse) in _VARIABLES.items()}
        return cls(**{name: value for name, value in found.items() if value is not None})


def config_from_env(environ: Environment = os.environ, *, default: str | None = None) -> dict[str, dict[str, Any]]:
    """
    Return ``UPSTASH`` for ``settings.py``: one connection named ``default``, or none where ``REDIS_ENABLE`` is false.

    A native URL is preferred to a REST one unless ``REDIS_PROTOCOL`` decides. ``default`` is the URL to use where the
    environment names none and asks for no protocol, such as ``"embedded://"`` for development. Raises
    ``ImproperlyConfigured`` naming the variables that are missing.
    """
    if not _redis_enabled(environ):
        return {}
    return {DEFAULT_ALIAS: {**_address(environ, default), **_limits(environ)}}


def caches_from_env(environ: Environment = os.environ, **entry: Any) -> dict[str, dict[str, Any]]:
    """
    Return ``CACHES`` for ``settings.py``: ``default`` and ``sessions``, which are cleared apart from each other.

    ``entry`` is what both shall have besides, such as ``KEY_PREFIX`` or ``TIMEOUT``. Without Redis both are local to
    the process, and so is ``sessions`` where ``SESSION_STORAGE`` is ``memory``.
    """
    enabled = _redis_enabled(environ)
    local_sessions = not enabled or EnvironmentSettings.from_env(environ).session_storage == "memory"
    prefix = entry.get("KEY_PREFIX", "")
    sessions = {**entry, "KEY_PREFIX": f"{prefix}-{SESSIONS_CACHE}" if prefix else SESSIONS_CACHE}
    return {
        "default": _cache(entry) if enabled else _local_cache(entry, "default"),
        SESSIONS_CACHE: _local_cache(sessions, SESSIONS_CACHE) if local_sessions else _cache(sessions),
    }


def session_engine_from_env(environ: Environment = os.environ) -> str:
    """
    Return ``SESSION_ENGINE`` for ``settings.py``: this package's.

    Without Redis, or where ``SESSION_STORAGE`` is ``memory``, it is Django's, which keeps them in the process, in the
    cache that ``SESSION_CACHE_ALIAS`` names. Raises ``ImproperlyConfigured`` for variables that cannot be read.
    """
    is_local = not _redis_enabled(environ) or EnvironmentSettings.from_env(environ).session_storage == "memory"
    return LOCAL_SESSION_ENGINE if is_local else SESSION_ENGINE


def sessions_from_env(environ: Environment = os.environ, **entry: Any) -> dict[str, Any]:
    """Return ``UPSTASH_SESSIONS`` for ``settings.py``: ``entry``, and the keys of ``TOKEN_ENCRYPTION_KEY``."""
    keys = EnvironmentSettings.from_env(environ).token_encryption_keys
    return {**entry, "ENCRYPTION_KEYS": list(keys)}


def idempotency_from_env(environ: Environment = os.environ, **entry: Any) -> dict[str, Any]:
    """Return ``UPSTASH_IDEMPOTENCY`` for ``settings.py``: ``entry``, and ``TOKEN_ENCRYPTION_KEY``'s keys if set."""
    keys = EnvironmentSettings.from_env(environ).token_encryption_keys
    return {"ENCRYPTION_KEYS": list(keys), **entry} if keys else entry


def breaker_from_env(environ: Environment = os.environ, **entry: Any) -> dict[str, Any]:
    """
    Return ``UPSTASH_BREAKER`` for ``settings.py``: ``CIRCUIT_BREAKER_ENABLED``, ``_FAILURE_THRESHOLD`` and the like.

    ``entry`` is what it shall have besides, such as ``BREAKERS``.
    """
    found = EnvironmentSettings.from_env(environ)
    numbers = {
        "FAILURE_THRESHOLD": found.circuit_breaker_failure_threshold,
        "SUCCESS_THRESHOLD": found.circuit_breaker_success_threshold,
        "TIMEOUT": found.circuit_breaker_timeout,
    }
    given = {name: number for name, number in numbers.items() if number is not None}
    return {"ENABLED": found.circuit_breaker_enabled, **given, **entry}


def ratelimit_from_env(environ: Environment = os.environ, **entry: Any) -> dict[str, Any]:
    """
    Return ``UPSTASH_RATELIMIT`` for ``settings.py``: whether limits apply, and the default policy's rate and burst.

    ``entry`` is what it shall have besides, such as ``ON_FAILURE``.
    """
    found = EnvironmentSettings.from_env(environ)
    numbers = {"REQUESTS_PER_MINUTE": found.rate_limit_requests_per_minute, "BURST_SIZE": found.rate_limit_burst_size}
    given = {name: number for name, number in numbers.items() if number is not None}
    return {"ENABLED": found.rate_limit_enabled, **given, **entry}


def _cache(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"BACKEND": CACHE_BACKEND, "LOCATION": DEFAULT_ALIAS, **entry}


def _local_cache(entry: Mapping[str, Any], location: str) -> dict[str, Any]:
    kept = {key: value for key, value in entry.items() if key != "OPTIONS"}
    return {"BACKEND": LOCAL_CACHE_BACKEND, "LOCATION": location, **kept}


def _redis_enabled(environ: Environment) -> bool:
    if EnvironmentSettings.from_env(environ).redis_enabled:
        return True
    _warn_that_redis_is_off()
    return False


@cache
def _warn_that_redis_is_off() -> None:
    logger.warning(
        "REDIS_ENABLE is false: caches and sessions are local to each process, are lost when it ends, and rate limits "
        "follow their failure policy."
    )


def _address(environ: Environment, default: str | None) -> dict[str, Any]:
    protocol = _read(environ, "REDIS_PROTOCOL", _choice("native", "rest"))
    found = {}
    if protocol != "rest":
        found = _native_address(environ)
    if not found and protocol != "native":
        found = _rest_address(environ)
    if not found and protocol is None and default is not None:
        found = {"URL": default}
    if not found:
        raise ImproperlyConfigured(_MISSING[protocol])
    return found


_NATIVE = " or ".join(NATIVE_NAMES)
_REST = " with ".join(REST_NAMES[0])
_MISSING = {
    "native": f"REDIS_PROTOCOL is native, but the environment has no redis:// or rediss:// address: set {_NATIVE}.",
    "rest": f"REDIS_PROTOCOL is rest, but the environment has no https:// address: set {_REST}.",
    None: f"The environment names no Redis: set {_NATIVE}, or {_REST}, or REDIS_ENABLE=false to run without.",
}


def _native_address(environ: Environment) -> dict[str, Any]:
    for name in NATIVE_NAMES:
        url = _get(environ, name)
        if url and not _is_rest(url):
            password = _get(environ, "REDIS_PASSWORD")
            beside = {"PASSWORD": password} if password and _takes_password(url) else {}
            return {"URL": url, "SOURCE": name, **beside}
    return {}


def _rest_address(environ: Environment) -> dict[str, Any]:
    for url_name, token_name in REST_NAMES:
        url = _get(environ, url_name)
        if url:
            return {"URL": url, "SOURCE": url_name, "TOKEN": _rest_token(environ, url_name, token_name)}
    # Some put the https:// address into the native names.
    for name in NATIVE_NAMES:
        url = _get(environ, name)
        if _is_rest(url):
            return {
                "URL": url,
                "SOURCE": name,
                "TOKEN": _rest_token(environ, name, *(token for _, token in REST_NAMES)),
            }
    return {}


def _rest_token(environ: Environment, url_name: str, *names: str) -> str:
    for name in names:
        token = _get(environ, name)
        if token:
            return token
    raise ImproperlyConfigured(f"{url_name} is a REST address, which needs a token: set {' or '.join(names)}.")


def _is_rest(url: str) -> bool:
    return ROUTE_BY_SCHEME.get(url.partition("://")[0].lower()) == "rest"


def _takes_password(url: str) -> bool:
    """Tell whether a native URL has room for ``REDIS_PASSWORD``: the password in the URL itself counts."""
    _, _, address = url.partition("://")
    credentials = address.rpartition("@")[0]
    return not credentials.partition(":")[2] and not url.lower().startswith("embedded:")


def _limits(environ: Environment) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    pool_size = _read(environ, "REDIS_MAX_POOL_SIZE", _count)
    if pool_size is not None:
        limits["MAX_CONNECTIONS"] = pool_size
    connect_timeout = _read(environ, "REDIS_CONNECTION_TIMEOUT", _timeout)
    if connect_timeout is not None:
        limits["CONNECT_TIMEOUT"] = connect_timeout
        # An operation that has to connect first must have the time for it.
        if connect_timeout > ConnectionSettings.timeout:
            limits["TIMEOUT"] = connect_timeout
    return limits


def _get(environ: Environment, name: str) -> str:
    return environ.get(name, "").strip()


def _read(environ: Environment, name: str, parse: Callable[[str], Value]) -> Value | None:
    text = _get(environ, name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        # The value may be a secret in the wrong place, and the parser's own words may show it.
        raise ImproperlyConfigured(f"{name} must be {error}.") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("true or false (or 1, 0, yes, no, on, off)")
    return _BOOLEANS[text.lower()]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < 1:
        raise ValueError("a whole number from 1 to 999999999")
    return int(text)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)?", text.lower(), re.ASCII)
    if match is None or float(match[1]) == 0:
        raise ValueError('a time above zero, such as "5s", "500ms", "2h" or "5" for seconds')
    return float(match[1]) * _UNITS[match[2] or "s"]


def _timeout(text: str) -> float:
    seconds = _seconds(text)
    if seconds > LONGEST_TIMEOUT:
        raise ValueError("a time of at most a day")
    return seconds


def _lifetime(text: str) -> int:
    seconds = _seconds(text)
    if seconds != int(seconds) or seconds > timedelta(days=36500).total_seconds():
        raise ValueError('a time in whole seconds, at most a hundred years, such as "30m", "14d" or "1209600"')
    return int(seconds)


def _choice(*known: str) -> Callable[[str], Any]:
    def parse(text: str) -> str:
        if text.lower() not in known:
            raise ValueError(" or ".join(known))
        return text.lower()

    return parse


def _keys(text: str) -> tuple[bytes, ...]:
    return tuple(encryption_key(part) for part in text.split(","))


_VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "redis_enabled": ("REDIS_ENABLE", _boolean),
    "session_storage": ("SESSION_STORAGE", _choice("redis", "memory")),
    "session_ttl": ("SESSION_TTL", _lifetime),
    "token_encryption_keys": ("TOKEN_ENCRYPTION_KEY", _keys),
    "rate_limit_enabled": ("RATE_LIMIT_ENABLED", _boolean),
    "rate_limit_requests_per_minute": ("RATE_LIMIT_REQUESTS_PER_MINUTE", _count),
    "rate_limit_burst_size": ("RATE_LIMIT_BURST_SIZE", _count),
    "circuit_breaker_enabled": ("CIRCUIT_BREAKER_ENABLED", _boolean),
    "circuit_breaker_failure_threshold": ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", _count),
    "circuit_breaker_success_threshold": ("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", _count),
    "circuit_breaker_timeout": ("CIRCUIT_BREAKER_TIMEOUT", _timeout),
}
