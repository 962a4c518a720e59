"""
Credentials that error reports do not show.

Django's debug page, its error mails and error trackers show settings and the variables of frames by their ``repr``.
Django hides settings by name (``PASSWORD``, ``TOKEN``), frames of production by decorators, and nothing in a URL. So
passwords, tokens, keys and URLs that hold them are ``Secret`` here, or ``SecretBytes``: equal to what they hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "********"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+]{1,15}")
# A host, a port and the number of a database, or the path of a local server: anything else may be part of a password.
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]*)(:[0-9]{1,5})?(/[0-9]{0,9})?")
_LOCAL_PLACE = re.compile(r"[^@?#]*")
_LOCAL_SCHEMES = frozenset({"unix", "embedded"})
_AMBIGUOUS = frozenset("@/?#")  # each ends an address or its credentials, unless it is percent-encoded
_NAMES_OF_SECRETS = re.compile("PASS|TOKEN|USER|URL|LOCATION|SECRET|AUTH|KEYS", re.IGNORECASE)
_SHORTEST = 4  # characters; the letters of a shorter secret are in every text, so cutting them out would show it
_SHOWN = frozenset({"SOURCE", "CA_CERTS"})  # of an entry's texts


class Secret(str):
    """A text whose ``repr`` hides it: all of it, or of a URL all but where it leads."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(hidden(self))


class SecretBytes(bytes):
    """Bytes that are a secret or hold one, such as an encryption key or a request with its token."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


class SecretInt(int):
    """A number where a secret text belongs, such as a password of digits without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__


class SecretFloat(float):
    """A number with a point where a secret text belongs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__


_HIDING_BY_TYPE: dict[Any, Any] = {
    str: Secret,
    bytes: SecretBytes,
    bytearray: SecretBytes,
    int: SecretInt,
    float: SecretFloat,
}
_HIDING = frozenset(_HIDING_BY_TYPE.values())


class _Known:
    """The passwords and tokens of the connections that were opened, the longest first."""

    def __init__(self) -> None:
        self._texts: tuple[str, ...] = ()

    def add(self, secrets: Iterable[str]) -> None:
        texts = {*self._texts, *(Secret(text) for text in secrets if len(text) >= _SHORTEST)}
        self._texts = tuple(sorted(texts, key=len, reverse=True))

    def cut_from(self, text: str) -> str:
        """Return a text that others wrote, such as a server's error, without what it echoes of these."""
        for secret in self._texts:
            text = text.replace(secret, HIDDEN)
        return text


known = _Known()


class Variables:
    """An environment that reports do not show; what it returns are secrets, for any variable may hold one."""

    def __init__(self, environ: Mapping[str, str] | Variables) -> None:
        self._environ: Mapping[str, str] | Variables = environ

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def get(self, name: str, default: str = "") -> str:
        return Secret(self._environ.get(name, default))


def type_name(value: object) -> str:
    """Return the name of a value's type as the author of a setting knows it."""
    kind = type(value)
    return (kind.__base__ or kind).__name__ if kind in _HIDING else kind.__name__


def hidden(text: str) -> str:
    """Return where a URL leads, without user, password and query; what is no such URL is hidden whole."""
    scheme, separator, address = str(text).partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return HIDDEN
    _, at, place = address.rpartition("@")
    pattern = _LOCAL_PLACE if scheme.lower() in _LOCAL_SCHEMES else _PLACE
    place = place if pattern.fullmatch(place) else HIDDEN
    return f"{scheme}://{HIDDEN}@{place}" if at else f"{scheme}://{place}"


def split_credentials(url: str) -> tuple[str, str | None, str | None]:
    """
    Return a URL without its credentials, the user and the password, both percent-decoded; None for what it lacks.

    A URL with a character in its credentials that has to be percent-encoded is returned as it is.
    """
    scheme, separator, address = url.partition("://")
    credentials, at, host = address.rpartition("@")
    if not at or not _AMBIGUOUS.isdisjoint(credentials):
        return url, None, None
    username, _, password = credentials.partition(":")
    return f"{scheme}{separator}{host}", unquote(username) or None, unquote(password) or None


def secret(value: Any) -> Any:
    """Return a value that reports do not show, equal to this one; of other types than these, the value as it is."""
    for kind, hiding in _HIDING_BY_TYPE.items():
        if isinstance(value, kind) and not isinstance(value, bool):
            return hiding(value)
    if type(value) in (list, tuple):
        return type(value)(map(secret, value))
    return {key: secret(item) for key, item in value.items()} if type(value) is dict else value


def secret_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of settings in which what is named like a secret is not shown by reports."""
    copied = dict(entry)
    hide_secrets(copied)
    return copied


def hide_entry(entry: object) -> None:
    """Replace the texts of an entry of ``UPSTASH`` by equal ones that reports do not show, the misplaced ones too."""
    if isinstance(entry, MutableMapping):
        for key, value in list(entry.items()):
            is_number = isinstance(value, int | float) and not (isinstance(key, str) and _NAMES_OF_SECRETS.search(key))
            if key not in _SHOWN and not is_number:
                entry[key] = secret(value)


def hide_secrets(settings: object) -> None:
    """Replace what is named like a secret in a dict of settings, and in those within it, as ``hide_entry`` does."""
    if not isinstance(settings, MutableMapping):
        return
    for key, value in list(settings.items()):
        if isinstance(value, MutableMapping):
            hide_secrets(value)
        elif isinstance(key, str) and _NAMES_OF_SECRETS.search(key):
            settings[key] = value if _is_name(key, value) else secret(value)


def _is_name(key: str, value: object) -> bool:
    """Tell whether this is a cache's location that is an alias or another cache's place."""
    return key == "LOCATION" and isinstance(value, str) and "://" not in value and "@" not in value
