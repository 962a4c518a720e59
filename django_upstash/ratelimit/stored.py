"""Limits as an operator finds them in the database, where no policy is at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from django_upstash.operations.keys import glob_escape
from django_upstash.ratelimit.algorithms import read_window
from django_upstash.ratelimit.keys import beginning

_LEASE = re.compile(r" ([A-Za-z]\w*) (\d+)", re.ASCII)
_TOKENS = re.compile(r"b\d+ (\d+) (\d+)(?: [A-Za-z]+)?", re.ASCII)
_RING = re.compile(r"r\d+ (\d+)(?: (\d+))?(?: \d+)*(?: [A-Za-z]+)?", re.ASCII)
_USED = {"window": "used in the window", "sliding": "used, sliding", "bucket": "tokens used", "leases": "places held"}
_USED_ONE = {**_USED, "bucket": "token used", "leases": "place held"}


@dataclass(frozen=True, slots=True)
class StoredLimit:
    """The name of one counter, decoded."""

    key: str
    tenant: str
    scope: str
    identity: str


def parse_key(key: str) -> StoredLimit | None:
    """Return what a key names, or None where it is no counter's."""
    match = _counters(beginning()).fullmatch(key)
    return None if match is None else StoredLimit(key, unquote(match[1]), unquote(match[2]), match[3])


def key_pattern(tenant: str | None, scope: str | None, identity: str | None) -> str:
    """Return the pattern of SCAN for the counters of a tenant, a scope and an identity as keys have it; None is any."""
    parts = (_encoded(tenant), _encoded(scope), "*" if identity is None else glob_escape(identity))
    return glob_escape(beginning()) + ":".join(parts)


def measured(state: str) -> tuple[str, int] | None:
    """Return the algorithm that wrote a state, and how much had been used then; None for what is no state."""
    if state.isascii() and state.isdigit() and len(state) > 9:
        return "window", read_window(int(state))[1]
    if match := _RING.fullmatch(state):
        return "sliding", int(match[1]) + int(match[2] or 0)  # of the older parts, and of the newest
    if match := _TOKENS.fullmatch(state):
        return "bucket", -(-int(match[1]) // max(1, int(match[2])))
    if state == "l" or state.startswith("l "):
        return "leases", len(_LEASE.findall(state))
    return None


def described(algorithm: str | None, used: int | None) -> str:
    """Return in words how much is used by an algorithm; None is what cannot be read."""
    if algorithm is None or used is None:
        return "not a counter of this version"
    return f"{used:,} {(_USED_ONE if used == 1 else _USED)[algorithm]}"


@lru_cache(maxsize=8)
def _counters(start: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(start)}([^:]+):([^:]+):(.+)")


def _encoded(part: str | None) -> str:
    return "*" if part is None else glob_escape(quote(part.encode("utf-8", "surrogatepass"), safe=""))
