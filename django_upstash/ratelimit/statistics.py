"""
How many decisions there were, of which kind, and whose: counted in the process, and written now and then.

One text for each tenant and five minutes, which lives a week: how many decisions there were, how many were allowed and
denied in each scope, and who was denied most. A decision of several policies is counted once in the total; a denial is
charged to the scopes that refused, and to no other. The text is written in the round trip of a decision, once in thirty
decisions at most, for three commands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote

from django_upstash.exceptions import ResponseError
from django_upstash.forks import ForkSafeLock
from django_upstash.log import get_logger
from django_upstash.operations import Operation, Reply, only, scripts
from django_upstash.operations.capabilities import Capabilities
from django_upstash.ratelimit.keys import family_key
from django_upstash.ratelimit.policies import MICROSECONDS
from django_upstash.wire.refusals import reports

logger = get_logger("django_upstash.ratelimit")

BUCKET_SECONDS = 300
KEPT_SECONDS = 7 * 86400
MOST_IDENTITIES = 50
_FEWEST, _MANY, _SECONDS = 30, 300, 10.0
_MOST_NAMES = 2000
_MOST_TENANTS = 1000
_ALLOWED, _DENIED, _TOP = "allowed", "denied", "top"
# Earlier versions have no lines of totals, and pass over those that they read.
_TOTAL = {True: "total-allowed/", False: "total-denied/"}
_LINE = re.compile(r"^(allowed|denied|top)/([^/\s]+)(?:/(\S+))? (\d{1,15})$", re.ASCII | re.MULTILINE)
_TOTAL_LINE = re.compile(r"^(total-(?:allowed|denied)/) (\d{1,15})$", re.ASCII | re.MULTILINE)


@dataclass
class ScopeStatistics:
    """
    What happened in one scope in the five minutes from ``start``, in seconds since 1970.

    ``denied`` is how often this scope refused; what another scope refused is counted there alone.
    """

    scope: str
    start: int
    allowed: int = 0
    denied: int = 0
    top_denied: dict[str, int] = field(default_factory=dict)
    tenant: str = ""


@dataclass(frozen=True)
class Stretch:
    """How many decisions were made in the five minutes from ``start``, in seconds since 1970, each counted once."""

    start: int
    allowed: int = 0
    denied: int = 0


@dataclass
class Statistics:
    """What was written about a tenant, oldest first: the decisions, and what happened in each scope."""

    stretches: list[Stretch] = field(default_factory=list)
    scopes: list[ScopeStatistics] = field(default_factory=list)


class Tallies:
    """What a process has counted and not yet written, by tenant; of very many, those first counted are forgotten."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self.after_fork()

    def after_fork(self) -> None:
        # What the parent has counted, the parent writes.
        self._counts: dict[str, Counter[str]] = {}
        self._decisions: Counter[str] = Counter()
        self._since: dict[str, float] = {}  # when the first of those was made
        self._written_at: dict[str, float] = {}
        self._again: dict[str, Operation[Any]] = {}

    def count(self, tenant: str, allowed: bool, identities: Iterable[tuple[str, str]]) -> None:
        """Count one decision: with the identities of all scopes where it is allowed, of those that refused if not."""
        with self._lock:
            if tenant not in self._counts and len(self._counts) >= _MOST_TENANTS:
                first = next(iter(self._counts))
                del self._counts[first], self._decisions[first], self._since[first]
            counts = self._counts.setdefault(tenant, Counter())
            self._decisions[tenant] += 1
            self._since.setdefault(tenant, monotonic())
            counts[_TOTAL[allowed]] += 1
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

    def tenants(self, *, overdue: bool = False) -> list[str]:
        """Return the tenants of whom something has been counted; those alone who have waited long enough."""
        with self._lock:
            oldest = monotonic() - _SECONDS if overdue else inf
            return [tenant for tenant in self._counts if self._since.get(tenant, -inf) <= oldest]

    def wrote(self, tenant: str, writing: Operation[Any], replies: list[Reply]) -> None:
        """Take the replies to ``writing``: where the server has not seen the script, the next decision sends it."""
        # What the server refuses is lost: statistics must not break a decision.
        try:
            following = writing.parse(replies)
        except ResponseError as error:
            reports.report(logger, f"tenant {tenant}", "Statistics of rate limits are lost without the server", error)
            return
        if isinstance(following, Operation):
            self._again[tenant] = following

    def writing(self, tenant: str, capabilities: Capabilities, now: int) -> Operation[Any] | None:
        """Return the operation that writes all that has been counted, or None where that is nothing."""
        with self._lock:
            counts = self._counts.pop(tenant, Counter())
            self._decisions.pop(tenant, None)
            self._since.pop(tenant, None)
            if len(self._written_at) >= _MOST_TENANTS:
                self._written_at.clear()
            self._written_at[tenant] = monotonic()
        return _add(tenant, capabilities, now, counts) if counts else None


def statistics(tenant: str, now: int, seconds: int) -> Operation[Statistics]:
    """Return what was written about the last ``seconds`` before ``now``, which is in microseconds, oldest first."""
    last = _start(now)
    starts = list(range(max(last - seconds // BUCKET_SECONDS * BUCKET_SECONDS, last - KEPT_SECONDS), last + 1, 300))
    keys = [_key(tenant, start) for start in starts]

    def parse(replies: list[Reply]) -> Statistics:
        found: list[Reply] = only(replies)
        result = Statistics()
        for start, reply in zip(starts, found, strict=True):
            text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
            scopes = _parsed(tenant, start, text)
            result.scopes += scopes
            result.stretches += _total(start, text, scopes)
        return result

    return Operation((("MGET", *keys),), parse)


def _add(tenant: str, capabilities: Capabilities, now: int, counts: Counter[str]) -> Operation[Any]:
    pairs = [part for name, count in counts.items() for part in (name, str(count))]
    arguments = [str(KEPT_SECONDS * 1000), str(MOST_IDENTITIES), *pairs]
    return scripts.load("ratelimit/count").operation(capabilities, [_key(tenant, _start(now))], arguments)


def _start(now: int) -> int:
    return now // MICROSECONDS // BUCKET_SECONDS * BUCKET_SECONDS


def _key(tenant: str, start: int) -> str:
    return f"{family_key('stats', tenant)}:{start}"


def _parsed(tenant: str, start: int, text: str) -> list[ScopeStatistics]:
    scopes: dict[str, ScopeStatistics] = {}
    for kind, scope, identity, count in _LINE.findall(text):
        found = scopes.setdefault(scope, ScopeStatistics(unquote(scope), start, tenant=tenant))
        if kind == _ALLOWED:
            found.allowed += int(count)
        elif kind == _DENIED:
            found.denied += int(count)
        else:
            found.top_denied[identity] = int(count)
    return list(scopes.values())


def _total(start: int, text: str, scopes: list[ScopeStatistics]) -> list[Stretch]:
    """Return the decisions of five minutes; an earlier version has counted them by scope alone."""
    told = {name: int(count) for name, count in _TOTAL_LINE.findall(text)}
    if told:
        return [Stretch(start, told.get(_TOTAL[True], 0), told.get(_TOTAL[False], 0))]
    if not scopes:
        return []
    return [Stretch(start, sum(one.allowed for one in scopes), sum(one.denied for one in scopes))]
