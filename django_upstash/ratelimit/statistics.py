"""
How many decisions there were, of which kind, and whose: counted in the process, and written now and then.

One text for each tenant and five minutes, which lives a week: how many were allowed and denied in each scope, and who
was denied most. It is written in the round trip of a decision, once in thirty decisions at most, for three commands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote

from django_upstash import scripts
from django_upstash.capabilities import Capabilities
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Operation, Reply, only
from django_upstash.ratelimit.keys import family_key
from django_upstash.ratelimit.policies import MICROSECONDS

BUCKET_SECONDS = 300
KEPT_SECONDS = 7 * 86400
MOST_IDENTITIES = 50
_FEWEST, _MANY, _SECONDS = 30, 300, 10.0
_MOST_NAMES = 2000
_MOST_TENANTS = 1000
_ALLOWED, _DENIED, _TOP = "allowed", "denied", "top"
_LINE = re.compile(r"^(allowed|denied|top)/([^/\s]+)(?:/(\S+))? (\d{1,15})$", re.ASCII | re.MULTILINE)


@dataclass
class ScopeStatistics:
    """What happened in one scope in the five minutes from ``start``, in seconds since 1970."""

    scope: str
    start: int
    allowed: int = 0
    denied: int = 0
    top_denied: dict[str, int] = field(default_factory=dict)


class Tallies:
    """What a process has counted and not yet written, by tenant; of very many, those first counted are forgotten."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        # What the parent has counted, the parent writes.
        self._lock = Lock()
        self._counts: dict[str, Counter[str]] = {}
        self._decisions: Counter[str] = Counter()
        self._written_at: dict[str, float] = {}
        self._again: dict[str, Operation[Any]] = {}

    def count(self, tenant: str, allowed: bool, identities: Iterable[tuple[str, str]]) -> None:
        """Count one decision about the identities of some scopes."""
        with self._lock:
            if tenant not in self._counts and len(self._counts) >= _MOST_TENANTS:
                first = next(iter(self._counts))
                del self._counts[first], self._decisions[first]
            counts = self._counts.setdefault(tenant, Counter())
            self._decisions[tenant] += 1
            for scope, identity in identities:
                name = quote(scope.encode("utf-8", "surrogatepass"), safe="")
                counts[f"{_ALLOWED if allowed else _DENIED}/{name}"] += 1
                top = f"{_TOP}/{name}/{identity}"
                if not allowed and (top in counts or len(counts) < _MOST_NAMES):
                    counts[top] += 1

    def due(self, tenant: str, capabilities: Capabilities, now: int) -> Operation[Any] | None:
        """Return the operation that writes what has been counted, where it is time for that."""
        if again := self._again.pop(tenant, None):
            return again
        decisions = self._decisions[tenant]
        if decisions < _FEWEST:
            return None
        if decisions < _MANY and monotonic() - self._written_at.setdefault(tenant, monotonic()) < _SECONDS:
            return None
        return self.writing(tenant, capabilities, now)

    def wrote(self, tenant: str, writing: Operation[Any], replies: list[Reply]) -> None:
        """Take the replies to ``writing``: where the server has not seen the script, the next decision sends it."""
        # What the server refuses is lost: statistics must not stand in the way of a decision.
        with suppress(ResponseError):
            following = writing.parse(replies)
            if isinstance(following, Operation):
                self._again[tenant] = following

    def writing(self, tenant: str, capabilities: Capabilities, now: int) -> Operation[Any] | None:
        """Return the operation that writes all that has been counted, or None where that is nothing."""
        with self._lock:
            counts = self._counts.pop(tenant, Counter())
            self._decisions.pop(tenant, None)
            if len(self._written_at) >= _MOST_TENANTS:
                self._written_at.clear()
            self._written_at[tenant] = monotonic()
        return _add(tenant, capabilities, now, counts) if counts else None


def statistics(tenant: str, now: int, seconds: int) -> Operation[list[ScopeStatistics]]:
    """Return what was written about the last ``seconds`` before ``now``, which is in microseconds, oldest first."""
    last = _start(now)
    starts = list(range(max(last - seconds // BUCKET_SECONDS * BUCKET_SECONDS, last - KEPT_SECONDS), last + 1, 300))
    keys = [_key(tenant, start) for start in starts]

    def parse(replies: list[Reply]) -> list[ScopeStatistics]:
        found: list[Reply] = only(replies)
        return [
            scope
            for start, text in zip(starts, found, strict=True)
            if isinstance(text, bytes)
            for scope in _parsed(start, text.decode("utf-8", "replace"))
        ]

    return Operation((("MGET", *keys),), parse)


def _add(tenant: str, capabilities: Capabilities, now: int, counts: Counter[str]) -> Operation[Any]:
    pairs = [part for name, count in counts.items() for part in (name, str(count))]
    arguments = [str(KEPT_SECONDS * 1000), str(MOST_IDENTITIES), *pairs]
    return scripts.load("ratelimit_statistics").operation(capabilities, [_key(tenant, _start(now))], arguments)


def _start(now: int) -> int:
    return now // MICROSECONDS // BUCKET_SECONDS * BUCKET_SECONDS


def _key(tenant: str, start: int) -> str:
    return f"{family_key('stats', tenant)}:{start}"


def _parsed(start: int, text: str) -> list[ScopeStatistics]:
    scopes: dict[str, ScopeStatistics] = {}
    for kind, scope, identity, count in _LINE.findall(text):
        found = scopes.setdefault(scope, ScopeStatistics(unquote(scope), start))
        if kind == _ALLOWED:
            found.allowed += int(count)
        elif kind == _DENIED:
            found.denied += int(count)
        else:
            found.top_denied[identity] = int(count)
    return list(scopes.values())
