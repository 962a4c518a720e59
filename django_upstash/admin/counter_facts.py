"""What is known beside the counters: statistics, and what is ruled while the site is running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from django.utils.translation import gettext as _

from django_upstash import conf
from django_upstash.admin.charts import chart
from django_upstash.admin.wording import duration, number
from django_upstash.inspection.counters import Reading
from django_upstash.ratelimit.catalogue import catalogue
from django_upstash.ratelimit.policies import MICROSECONDS
from django_upstash.ratelimit.rules import FOREVER

MOST_DENIED = 10


def counts_statistics() -> bool:
    """Tell whether some limiter of this process counts decisions."""
    return conf.ratelimit_settings().statistics or catalogue.counts()


def statistics_context(reading: Reading, seconds: int) -> dict[str, Any]:
    """Return the charts of what was allowed and denied, and of who was denied most."""
    if not counts_statistics():
        return {"has_statistics": False}
    now = reading.now / MICROSECONDS
    top = Counter[tuple[str, str]]()
    for one in reading.statistics:
        for identity, count in one.top_denied.items():
            top[one.scope, identity] += count
    most = top.most_common(MOST_DENIED)
    return {
        "has_statistics": True,
        "chart": chart(reading.statistics, now, seconds),
        "period_words": duration(seconds),
        "top_denied": [(scope, identity, count) for (scope, identity), count in most],
        "top_most": most[0][1] if most else 1,
    }


@dataclass(frozen=True)
class Ruling:
    """One thing that is ruled while the site is running, as the page shows it."""

    kind: str  # "block", "allow" or "limit"
    tenant: str
    scope: str
    identity: str
    words: str


def rulings_of(reading: Reading) -> Iterator[Ruling]:
    """Yield what is ruled for the tenants that were read."""
    for tenant, rules in reading.rules.items():
        for kind, listing in (("block", rules.blocked), ("allow", rules.allowed)):
            for name, ends in (*listing.identities.items(), *listing.networks.items()):
                if ends == FOREVER or ends > reading.now:
                    left = (ends - reading.now) / MICROSECONDS
                    words = _("without end") if ends == FOREVER else _("for %(time)s") % {"time": duration(left)}
                    yield Ruling(kind, tenant, "", str(name), words)
        for name, limit in rules.limits.items():
            scope, _space, identity = name.partition(" ")
            yield Ruling("limit", tenant, unquote(scope), identity, number(limit))
