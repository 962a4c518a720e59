"""Limits as an operator finds them in the database, where no policy is at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from django_upstash.keys import glob_escape
from django_upstash.operations import Command
from django_upstash.ratelimit.algorithms import read_window
from django_upstash.ratelimit.keys import PREFIX

_KEY = re.compile(rf"{PREFIX}:([^:]+):([^:]+):(.+)")
_LEASE = re.compile(r" ([A-Za-z]\w*) (\d+)", re.ASCII)
_TOKENS = re.compile(r"b\d+ (\d+) (\d+)", re.ASCII)
_RING = re.compile(r"r\d+ (\d+)(?: (\d+))?(?: \d+)*", re.ASCII)
_USED = {"window": "used in the window", "sliding": "used, sliding", "bucket": "tokens used", "leases": "places held"}


@dataclass(frozen=True, slots=True)
class StoredLimit:
    """The name of one counter, decoded."""

    key: str
    tenant: str
    scope: str
    identity: str


def parse_key(key: str) -> StoredLimit | None:
    """Return what a key names, or None where it is no counter's."""
    match = _KEY.fullmatch(key)
    return None if match is None else StoredLimit(key, unquote(match[1]), unquote(match[2]), match[3])


def key_pattern(tenant: str | None, scope: str | None, identity: str | None) -> str:
    """Return the pattern of SCAN for the counters of a tenant, a scope and an identity as keys have it; None is any."""
    parts = (_encoded(tenant), _encoded(scope), "*" if identity is None else glob_escape(identity))
    return ":".join((PREFIX, *parts))


def scanning(cursor: str, pattern: str) -> Command:
    """Return the command that looks at the next thousand keys or so."""
    return "SCAN", cursor, "MATCH", pattern, "COUNT", 1000


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


def described(state: str) -> str:
    """Return what a state says: how much had been used when it was written."""
    found = measured(state)
    if found is None:
        return "not a counter of this version"
    algorithm, used = found
    return f"{used:,} {_USED[algorithm]}"


def _encoded(part: str | None) -> str:
    return "*" if part is None else glob_escape(quote(part.encode("utf-8", "surrogatepass"), safe=""))
