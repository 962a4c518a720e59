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
from typing import Any, Literal, TypeVar

from django.core.exceptions import ImproperlyConfigured

from django_upstash.credentials import Secret, Variables, secret, secret_entry, split_credentials
from django_upstash.log import get_logger
from django_upstash.settings import environment_values as values
from django_upstash.settings import preview_deployments
from django_upstash.settings.conf import CACHE_BACKEND, DEFAULT_ALIAS, SESSION_ENGINE, ConnectionSettings
from django_upstash.settings.validation import ROUTE_BY_SCHEME

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
# URL and token; the first pair whose URL is set counts.
REST_NAMES = (
    ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"),
    ("KV_REST_API_URL", "KV_REST_API_TOKEN"),
    ("REDIS_REST_API_URL", "REDIS_REST_API_TOKEN"),
)
NATIVE_NAMES = ("UPSTASH_REDIS_URL", "REDIS_URL", "KV_URL")
# Set by Vercel, AWS Lambda and Google Cloud Run: instances come and go, and REST keeps no connection open.
SERVERLESS_NAMES = ("VERCEL", "AWS_LAMBDA_FUNCTION_NAME", "K_SERVICE")

Environment = Mapping[str, str]
Value = TypeVar("Value")
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
        found = {name: _read(environ, variable, parse) for name, (variable, parse) in _VARIABLES.items()}
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
    return {DEFAULT_ALIAS: {**_address(environ, default, prefix), **_limits(environ), **entry}}


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


def _address(environ: Variables, default: str | None, prefix: str) -> dict[str, Any]:
    protocol = _read(environ, "REDIS_PROTOCOL", values.choice("native", "rest"))
    finders = [_native_address, _rest_address]
    if protocol == "rest" or (protocol is None and _is_serverless(environ)):
        finders.reverse()
    for find in finders[:1] if protocol else finders:
        found = find(environ, prefix)
        if found:
            return found
    if protocol is None and default is not None:
        return {"URL": default}
    raise ImproperlyConfigured(_missing(environ, protocol, prefix))


def _is_serverless(environ: Variables) -> bool:
    return any(_get(environ, name) for name in SERVERLESS_NAMES)


def _missing(environ: Variables, protocol: str | None, prefix: str) -> str:
    """Return the sentence for an environment that names no Redis, or none for the protocol that it asks for."""
    native = " or ".join(prefix + name for name in NATIVE_NAMES)
    rest = " with ".join(prefix + name for name in REST_NAMES[0])
    if protocol == "native":
        return f"REDIS_PROTOCOL is native, but the environment has no redis:// or rediss:// address: set {native}."
    if protocol == "rest":
        return f"REDIS_PROTOCOL is rest, but the environment has no https:// address: set {rest}."
    found = _prefix_in(environ)
    if found is not None and found != prefix:
        return f'The environment names Redis with the prefix {found}: call config_from_env(prefix="{found}").'
    return f"The environment names no Redis: set {native}, or {rest}, or REDIS_ENABLE=false to run without."


def _prefix_in(environ: Variables) -> str | None:
    """Return the prefix of a name that is known but for that prefix; None where no such name is set."""
    urls = [*NATIVE_NAMES, *(url for url, _ in REST_NAMES)]
    # The longest ending first: STORAGE_KV_URL has the prefix STORAGE_, and so has STORAGE_KV_REST_API_URL.
    for ending in sorted(urls, key=len, reverse=True):
        for name in sorted(environ):
            if name.endswith(f"_{ending}") and ROUTE_BY_SCHEME.get(_scheme(_get(environ, name))):
                return name.removesuffix(ending)
    return None


def _native_address(environ: Variables, prefix: str) -> dict[str, Any]:
    for name in (prefix + name for name in NATIVE_NAMES):
        url = _get(environ, name)
        if url and not _is_rest(url):
            return {**_separated(url, _get(environ, f"{prefix}REDIS_PASSWORD")), "SOURCE": name}
    return {}


def _separated(url: str, other_password: str) -> dict[str, Any]:
    """Return ``URL``, ``USERNAME`` and ``PASSWORD`` of a native URL; ``other_password`` is for one that has none."""
    bare, username, password = split_credentials(url)
    if "@" in bare:
        return {"URL": Secret(bare)}  # it has a character that must be percent-encoded; the system checks say so
    if password is None and not url.lower().startswith("embedded:"):
        password = other_password or None
    found = {"USERNAME": username, "PASSWORD": password and Secret(password)}
    return {"URL": Secret(bare), **{key: value for key, value in found.items() if value}}


def _rest_address(environ: Variables, prefix: str) -> dict[str, Any]:
    pairs = [(prefix + url, prefix + token) for url, token in REST_NAMES]
    for url_name, token_name in pairs:
        url = _get(environ, url_name)
        if url:
            token = Secret(_rest_token(environ, url_name, token_name))
            return {"URL": url, "SOURCE": url_name, "TOKEN": token}
    # Some put the https:// address into the native names.
    for name in (prefix + name for name in NATIVE_NAMES):
        url = _get(environ, name)
        if _is_rest(url):
            token = Secret(_rest_token(environ, name, *(token_name for _, token_name in pairs)))
            return {"URL": url, "SOURCE": name, "TOKEN": token}
    return {}


def _rest_token(environ: Variables, url_name: str, *names: str) -> str:
    for name in names:
        token = _get(environ, name)
        if token:
            return token
    raise ImproperlyConfigured(f"{url_name} is a REST address, which needs a token: set {' or '.join(names)}.")


def _is_rest(url: str) -> bool:
    return ROUTE_BY_SCHEME.get(_scheme(url)) == "rest"


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _limits(environ: Variables) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    pool_size = _read(environ, "REDIS_MAX_POOL_SIZE", values.count)
    if pool_size is not None:
        limits["MAX_CONNECTIONS"] = pool_size
    connect_timeout = _read(environ, "REDIS_CONNECTION_TIMEOUT", values.timeout)
    if connect_timeout is not None:
        limits["CONNECT_TIMEOUT"] = connect_timeout
        # An operation that has to connect first must have the time for it.
        if connect_timeout > ConnectionSettings.timeout:
            limits["TIMEOUT"] = connect_timeout
    return limits


def _get(environ: Variables, name: str) -> str:
    return Secret(environ.get(name).strip())


def _read(environ: Variables, name: str, parse: Callable[[str], Value]) -> Value | None:
    text = _get(environ, name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        words = str(error)
    # Raised here, for the frames of the parser hold what may be a secret.
    raise ImproperlyConfigured(f"{name} must be {words}.") from None


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
