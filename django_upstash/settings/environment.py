"""
Settings from environment variables, for use in ``settings.py``.

    UPSTASH = config_from_env()
    CACHES = caches_from_env(KEY_PREFIX="shop")
    SESSION_ENGINE = session_engine_from_env()
    UPSTASH_SESSIONS = sessions_from_env()
    SESSION_CACHE_ALIAS = "sessions"
    UPSTASH_KEY_PREFIX = key_prefix_from_env()

Each name is one that people already have. Empty means unset, and white space around a value is no part of it. A value
that cannot be read raises ``ImproperlyConfigured`` naming the variable, never showing what it holds. Addresses and
tokens are judged where they are used: by the system checks, and when a connection is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from django_upstash.credentials import Variables, secret, secret_entry
from django_upstash.log import get_logger
from django_upstash.settings import environment_values as values
from django_upstash.settings import preview_deployments
from django_upstash.settings.conf import CACHE_BACKEND, DEFAULT_ALIAS, SESSION_ENGINE, ConnectionSettings
from django_upstash.settings.environment_address import address, read

__all__ = [
    "EnvironmentSettings",
    "breaker_from_env",
    "caches_from_env",
    "config_from_env",
    "idempotency_from_env",
    "key_prefix_from_env",
    "ratelimit_from_env",
    "session_engine_from_env",
    "sessions_from_env",
]

LOCAL_SESSION_ENGINE = "django.contrib.sessions.backends.cache"
LOCAL_CACHE_BACKEND = "django.core.cache.backends.locmem.LocMemCache"
SESSIONS_CACHE = "sessions"

Environment = Mapping[str, str]
logger = get_logger("django_upstash")


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
    def from_env(cls, environ: Environment | Variables = os.environ) -> EnvironmentSettings:
        """Read every name at once; raise ``ImproperlyConfigured`` for the first that cannot be read."""
        environ = Variables(environ)
        found = {name: read(environ, variable, parse) for name, (variable, parse) in _VARIABLES.items()}
        return cls(**{name: value for name, value in found.items() if value is not None})


def config_from_env(
    environ: Environment | Variables = os.environ, *, default: str | None = None, prefix: str = "", **entry: Any
) -> dict[str, dict[str, Any]]:
    """
    Return ``UPSTASH`` for ``settings.py``: one connection named ``default``, or none where ``REDIS_ENABLE`` is false.

    A native URL is preferred to a REST one, except on a serverless platform (``SERVERLESS_NAMES``);
    ``REDIS_PROTOCOL`` overrides both. A user and password in a native URL are returned as ``USERNAME`` and
    ``PASSWORD``, which Django's error pages hide, unlike ``URL``. ``prefix`` is what the names of address and token
    begin with, such as ``"STORAGE_"``. ``default`` is the URL to use where the environment names none and asks for no
    protocol, such as ``"embedded://"`` for development. ``entry`` is added to the connection, such as ``TIMEOUT=2``.
    Raises ``ImproperlyConfigured`` naming the variables that are missing.
    """
    environ, default, entry = Variables(environ), secret(default), secret_entry(entry)
    if not _redis_enabled(environ):
        return {}
    return {DEFAULT_ALIAS: {**address(environ, default, prefix), **_limits(environ), **entry}}


def caches_from_env(environ: Environment | Variables = os.environ, **entry: Any) -> dict[str, dict[str, Any]]:
    """
    Return ``CACHES`` for ``settings.py``: ``default`` and ``sessions``, which are cleared apart from each other.

    ``entry`` is what both shall have besides, such as ``KEY_PREFIX`` or ``TIMEOUT``. Without Redis both are local to
    the process, and so is ``sessions`` where ``SESSION_STORAGE`` is ``memory``.
    """
    environ, entry = Variables(environ), secret_entry(entry)
    enabled = _redis_enabled(environ)
    local_sessions = not enabled or EnvironmentSettings.from_env(environ).session_storage == "memory"
    prefix = entry.get("KEY_PREFIX", "")
    sessions = {**entry, "KEY_PREFIX": f"{prefix}-{SESSIONS_CACHE}" if prefix else SESSIONS_CACHE}
    return {
        "default": _cache(entry) if enabled else _local_cache(entry, "default"),
        SESSIONS_CACHE: _local_cache(sessions, SESSIONS_CACHE) if local_sessions else _cache(sessions),
    }


def session_engine_from_env(environ: Environment | Variables = os.environ) -> str:
    """
    Return ``SESSION_ENGINE`` for ``settings.py``: this package's.

    Without Redis, or where ``SESSION_STORAGE`` is ``memory``, it is Django's, which keeps them in the process, in the
    cache that ``SESSION_CACHE_ALIAS`` names. Raises ``ImproperlyConfigured`` for variables that cannot be read.
    """
    environ = Variables(environ)
    is_local = not _redis_enabled(environ) or EnvironmentSettings.from_env(environ).session_storage == "memory"
    return LOCAL_SESSION_ENGINE if is_local else SESSION_ENGINE


def sessions_from_env(environ: Environment | Variables = os.environ, **entry: Any) -> dict[str, Any]:
    """Return ``UPSTASH_SESSIONS`` for ``settings.py``: ``entry``, and the keys of ``TOKEN_ENCRYPTION_KEY``."""
    environ, entry = Variables(environ), secret_entry(entry)
    keys = EnvironmentSettings.from_env(environ).token_encryption_keys
    return {**entry, "ENCRYPTION_KEYS": list(keys)}


def idempotency_from_env(environ: Environment | Variables = os.environ, **entry: Any) -> dict[str, Any]:
    """Return ``UPSTASH_IDEMPOTENCY`` for ``settings.py``: ``entry``, and ``TOKEN_ENCRYPTION_KEY``'s keys if set."""
    environ, entry = Variables(environ), secret_entry(entry)
    keys = EnvironmentSettings.from_env(environ).token_encryption_keys
    return {"ENCRYPTION_KEYS": list(keys), **entry} if keys else entry


def breaker_from_env(environ: Environment | Variables = os.environ, **entry: Any) -> dict[str, Any]:
    """
    Return ``UPSTASH_BREAKER`` for ``settings.py``: ``CIRCUIT_BREAKER_ENABLED``, ``_FAILURE_THRESHOLD`` and the like.

    ``entry`` is what it shall have besides, such as ``BREAKERS``.
    """
    environ, entry = Variables(environ), secret_entry(entry)
    found = EnvironmentSettings.from_env(environ)
    numbers = {
        "FAILURE_THRESHOLD": found.circuit_breaker_failure_threshold,
        "SUCCESS_THRESHOLD": found.circuit_breaker_success_threshold,
        "TIMEOUT": found.circuit_breaker_timeout,
    }
    given = {name: number for name, number in numbers.items() if number is not None}
    return {"ENABLED": found.circuit_breaker_enabled, **given, **entry}


def ratelimit_from_env(environ: Environment | Variables = os.environ, **entry: Any) -> dict[str, Any]:
    """
    Return ``UPSTASH_RATELIMIT`` for ``settings.py``: whether limits apply, and the default policy's rate and burst.

    ``entry`` is what it shall have besides, such as ``ON_FAILURE``.
    """
    environ, entry = Variables(environ), secret_entry(entry)
    found = EnvironmentSettings.from_env(environ)
    numbers = {"REQUESTS_PER_MINUTE": found.rate_limit_requests_per_minute, "BURST_SIZE": found.rate_limit_burst_size}
    given = {name: number for name, number in numbers.items() if number is not None}
    return {"ENABLED": found.rate_limit_enabled, **given, **entry}


def key_prefix_from_env(environ: Environment = os.environ) -> str:
    """
    Return ``UPSTASH_KEY_PREFIX`` for ``settings.py``: "" in production, and another text in each preview.

    The variable ``UPSTASH_KEY_PREFIX`` overrides what Vercel, Heroku and Render say of the deployment.
    """
    return preview_deployments.key_prefix(environ)


def _cache(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"BACKEND": CACHE_BACKEND, "LOCATION": DEFAULT_ALIAS, **entry}


def _local_cache(entry: Mapping[str, Any], location: str) -> dict[str, Any]:
    kept = {key: value for key, value in entry.items() if key != "OPTIONS"}
    return {"BACKEND": LOCAL_CACHE_BACKEND, "LOCATION": location, **kept}


def _redis_enabled(environ: Variables) -> bool:
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


def _limits(environ: Variables) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    pool_size = read(environ, "REDIS_MAX_POOL_SIZE", values.count)
    if pool_size is not None:
        limits["MAX_CONNECTIONS"] = pool_size
    connect_timeout = read(environ, "REDIS_CONNECTION_TIMEOUT", values.timeout)
    if connect_timeout is not None:
        limits["CONNECT_TIMEOUT"] = connect_timeout
        # An operation that has to connect first must have the time for it.
        if connect_timeout > ConnectionSettings.timeout:
            limits["TIMEOUT"] = connect_timeout
    return limits


_VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "redis_enabled": ("REDIS_ENABLE", values.boolean),
    "session_storage": ("SESSION_STORAGE", values.choice("redis", "memory")),
    "session_ttl": ("SESSION_TTL", values.lifetime),
    "token_encryption_keys": ("TOKEN_ENCRYPTION_KEY", values.keys),
    "rate_limit_enabled": ("RATE_LIMIT_ENABLED", values.boolean),
    "rate_limit_requests_per_minute": ("RATE_LIMIT_REQUESTS_PER_MINUTE", values.count),
    "rate_limit_burst_size": ("RATE_LIMIT_BURST_SIZE", values.count),
    "circuit_breaker_enabled": ("CIRCUIT_BREAKER_ENABLED", values.boolean),
    "circuit_breaker_failure_threshold": ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", values.count),
    "circuit_breaker_success_threshold": ("CIRCUIT_BREAKER_SUCCESS_THRESHOLD", values.count),
    "circuit_breaker_timeout": ("CIRCUIT_BREAKER_TIMEOUT", values.timeout),
}
