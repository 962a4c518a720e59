"""
redis-py's keyword arguments, as they appear in the query of a URL and in ``CONNECTION_POOL_KWARGS``.

They are read so that what worked with redis-py and django-redis keeps its meaning here, or is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote

WHY_VERIFY = (
    "Without verification TLS hides the password from nobody who sits in between. Upstash's certificates are publicly "
    "trusted, so leave it out; a private authority goes into CA_CERTS; VERIFY_TLS=False says it on purpose."
)
# What the argument is called in `UPSTASH`.
KEYS = {
    "socket_timeout": "TIMEOUT",
    "socket_connect_timeout": "CONNECT_TIMEOUT",
    "timeout": "POOL_TIMEOUT",
    "max_connections": "MAX_CONNECTIONS",
    "ssl_ca_certs": "CA_CERTS",
    "username": "USERNAME",
    "password": "PASSWORD",
}
_NUMBERS = frozenset({"TIMEOUT", "CONNECT_TIMEOUT", "POOL_TIMEOUT", "MAX_CONNECTIONS"})
_UNDERSTOOD = frozenset({"db", "ssl_cert_reqs", "ssl_check_hostname"})
_VERIFIED = frozenset({"required", "optional", "cert_required", "cert_optional", "verifymode.cert_required", "1", "2"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "none", "off"})


def query(text: str) -> dict[str, str]:
    """Return the arguments in a URL's query, the first of each name, as redis-py does."""
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def database(parts: SplitResult) -> int | None:
    """Return the number of the database a URL names, 0 where it names none, None where that is no number."""
    named = query(parts.query).get("db", "")
    if not named and parts.scheme.lower() != "unix":
        named = unquote(parts.path).strip("/")
    if not named:
        return 0
    return int(named) if re.fullmatch(r"[0-9]{1,9}", named) else None


def entry(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as keys and values of ``UPSTASH``; those without effect are left out."""
    found = {KEYS[name]: value for name, value in arguments.items() if name in KEYS and value is not None}
    return {key: _number(value) if key in _NUMBERS else value for key, value in found.items()}


def without_effect(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the arguments that change nothing here."""
    for name in arguments:
        if name not in KEYS and name not in _UNDERSTOOD:
            yield name


def weakening_tls(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the arguments that switch the verification of the server's certificate off."""
    if "ssl_cert_reqs" in arguments and str(arguments["ssl_cert_reqs"]).lower() not in _VERIFIED:
        yield "ssl_cert_reqs"
    if "ssl_check_hostname" in arguments and str(arguments["ssl_check_hostname"]).lower() in _FALSE:
        yield "ssl_check_hostname"


def _number(value: Any) -> Any:
    """Return the number that a query spells out; other text is left for the key's own rule to refuse."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
