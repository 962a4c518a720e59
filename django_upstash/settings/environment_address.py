"""Where the environment says that Redis is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from django_upstash.credentials import Secret, Variables, split_credentials
from django_upstash.settings import environment_values as values
from django_upstash.settings.validation import ROUTE_BY_SCHEME

# URL and token; the first pair whose URL is set counts.
REST_NAMES = (
    ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"),
    ("KV_REST_API_URL", "KV_REST_API_TOKEN"),
    ("REDIS_REST_API_URL", "REDIS_REST_API_TOKEN"),
)


NATIVE_NAMES = ("UPSTASH_REDIS_URL", "REDIS_URL", "KV_URL")


# Set by Vercel, AWS Lambda and Google Cloud Run: instances come and go, and REST keeps no connection open.
SERVERLESS_NAMES = ("VERCEL", "AWS_LAMBDA_FUNCTION_NAME", "K_SERVICE")


Value = TypeVar("Value")


def address(environ: Variables, default: str | None, prefix: str) -> dict[str, Any]:
    protocol = read(environ, "REDIS_PROTOCOL", values.choice("native", "rest"))
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


def _get(environ: Variables, name: str) -> str:
    return Secret(environ.get(name).strip())


def read(environ: Variables, name: str, parse: Callable[[str], Value]) -> Value | None:
    text = _get(environ, name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        words = str(error)
    # Raised here, for the frames of the parser hold what may be a secret.
    raise ImproperlyConfigured(f"{name} must be {words}.") from None
