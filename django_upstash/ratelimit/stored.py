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
_PARTS = re.compile(r"s\d+((?: \d+)*)", re.ASCII)


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


def described(state: str) -> str:
    """Return what a state says: how much had been used when it was written."""
    if state.isascii() and state.isdigit() and len(state) > 9:
        return f"{read_window(int(state))[1]:,} used in the window"
    if match := _PARTS.fullmatch(state):
        return f"{sum(map(int, match[1].split())):,} used, sliding"
    if match := _TOKENS.fullmatch(state):
        return f"{-(-int(match[1]) // max(1, int(match[2]))):,} tokens used"
    if state == "l" or state.startswith("l "):
        return f"{len(_LEASE.findall(state)):,} places held"
    return "not a counter of this version"


def _encoded(part: str | None) -> str:
    return "*" if part is None else glob_escape(quote(part.encode("utf-8", "surrogatepass"), safe=""))
