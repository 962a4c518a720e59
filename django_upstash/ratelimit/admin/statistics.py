"""What was allowed and denied over time, of those counters that a page's filters leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from django_upstash.admin.components import Tile
from django_upstash.admin.formatting import duration, number
from django_upstash.ratelimit.admin.charts import chart
from django_upstash.ratelimit.admin.wanted import WantedCounters
from django_upstash.ratelimit.policies import MICROSECONDS
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.report.counters import Counter as FoundCounter
from django_upstash.ratelimit.report.counters import Reading, Search
from django_upstash.ratelimit.settings import ratelimit_settings
from django_upstash.ratelimit.statistics import ScopeStatistics, Stretch

MOST_DENIED = 10
_HOUR = 3600
_Fits = Callable[[ScopeStatistics, str], bool]


@dataclass(frozen=True)
class Narrowed:
    """
    The statistics that fit what a page asks for.

    Of single clients only denials are counted, and only of those denied most: then ``knows_allowed`` is false.
    """

    stretches: Sequence[Stretch]
    scopes: Sequence[ScopeStatistics]
    knows_allowed: bool = True


def counts_statistics() -> bool:
    """Tell whether some limiter of this process counts decisions."""
    return ratelimit_settings().statistics or catalogue.counts()


def of_scope(reading: Reading, tenant: str, scope: str) -> Narrowed:
    """Return the statistics of one scope."""
    scopes = [one for one in reading.statistics if (one.tenant, one.scope) == (tenant, scope)]
    return Narrowed(list(_stretches(scopes)), scopes)


def narrowed(reading: Reading, wanted: WantedCounters, fitting: Collection[FoundCounter]) -> Narrowed:
    """Return the statistics of the counters that a list asks for; ``fitting`` are those counters."""
    scopes = [one for one in reading.statistics if _fits(one, wanted)]
    if wanted.identity:
        scopes = _of_clients(scopes, _named_by(wanted.search))
    if wanted.standing:
        found = {(one.stored.tenant, one.stored.scope, one.stored.identity) for one in fitting}
        scopes = _of_clients(scopes, lambda one, identity: (one.tenant, one.scope, identity) in found)
    if wanted.identity or wanted.standing:
        return Narrowed([Stretch(one.start, 0, sum(one.top_denied.values())) for one in scopes], scopes, False)
    if wanted.scope or wanted.algorithm:
        return Narrowed(list(_stretches(scopes)), scopes)
    return Narrowed(reading.stretches, scopes)


def statistics_context(found: Narrowed, now: int, seconds: int) -> dict[str, Any]:
    """Return the chart of what was allowed and denied, and who was denied most; ``now`` is in microseconds."""
    if not counts_statistics():
        return {"has_statistics": False}
    top = Counter[tuple[str, str]]()
    for one in found.scopes:
        for identity, count in one.top_denied.items():
            top[one.scope, identity] += count
    most = top.most_common(MOST_DENIED)
    return {
        "has_statistics": True,
        "knows_allowed": found.knows_allowed,
        "chart": chart(found.stretches, now / MICROSECONDS, seconds),
        "period_words": duration(seconds),
        "top_denied": [(scope, identity, count) for (scope, identity), count in most],
        "top_most": most[0][1] if most else 1,
    }


def denied_tile(found: Narrowed, now: int, *, is_live: bool) -> Tile:
    """Return how much of the last hour was denied."""
    label = _("Denied in the last hour")
    if not counts_statistics():
        return Tile("denied", label, _("off"), _("statistics are not counted"))
    recent = [one for one in found.stretches if one.start >= now / MICROSECONDS - _HOUR]
    denied, allowed = sum(one.denied for one in recent), sum(one.allowed for one in recent)
    note = _("of %(count)s decisions") % {"count": number(denied + allowed)}
    return Tile(
        "denied", label, number(denied), note if found.knows_allowed else _("of these clients"), is_live=is_live
    )


def _fits(one: ScopeStatistics, wanted: WantedCounters) -> bool:
    if wanted.tenant not in (None, one.tenant) or wanted.scope not in (None, one.scope):
        return False
    policy = catalogue.policy(one.tenant, one.scope) if wanted.algorithm else None
    return wanted.algorithm is None or (policy is not None and policy.algorithm == wanted.algorithm)


def _named_by(search: Search) -> _Fits:
    if search.identity.endswith("*"):
        return lambda _one, identity: identity.startswith(search.identity[:-1])
    names = search.identities
    return lambda _one, identity: identity in names


def _of_clients(scopes: Sequence[ScopeStatistics], fits: _Fits) -> list[ScopeStatistics]:
    return [
        replace(one, top_denied={name: count for name, count in one.top_denied.items() if fits(one, name)})
        for one in scopes
    ]


def _stretches(scopes: Sequence[ScopeStatistics]) -> Iterator[Stretch]:
    for one in scopes:
        yield Stretch(one.start, one.allowed, one.denied)
