"""What a request for the list of counters asks to see."""

from __future__ import annotations

from django.http import QueryDict

from django_upstash.admin.pages import ALIAS, LIVE
from django_upstash.admin.query import Parameters
from django_upstash.ratelimit.admin.rows import SORTS
from django_upstash.ratelimit.admin.words import ALGORITHMS
from django_upstash.ratelimit.report.counters import Counter, CounterStanding, Search

ROWS = "rows"
PERIODS = HOUR, DAY = 3600, 86_400  # of the chart, in seconds


class WantedCounters(Parameters):
    """What a request asks to see."""

    passing = (LIVE, ROWS)
    lasting = (ALIAS, "o", "period")

    def __init__(self, given: QueryDict) -> None:
        super().__init__(given)
        self.tenant = given.get("tenant") or None
        self.scope = given.get("scope") or None
        self.identity = given.get("q", "").strip()
        self.algorithm = self.one_of("kind", ALGORITHMS)
        self.standing = self.one_of("state", list(map(str, CounterStanding)))
        self.order = self.one_of("o", [sign + name for name in SORTS for sign in ("", "-")]) or "used"
        self.cursor = str(self.number("cursor", 0))
        self.seconds = DAY if given.get("period") == str(DAY) else HOUR

    @property
    def search(self) -> Search:
        return Search(
            tenant=self.tenant,
            scope=self.scope,
            identity=self.identity,
            cursor=self.cursor,
            everywhere="everywhere" in self.given,
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.tenant or self.scope or self.identity or self.algorithm or self.standing)

    def fits(self, counter: Counter) -> bool:
        return self.algorithm in (None, counter.algorithm) and self.standing in (None, counter.standing)
