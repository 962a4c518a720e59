"""One page of the list of counters: what a request asks for, and what surrounds the table."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from django_upstash.admin.components import Choice, Column, Filter, Option, Tile
from django_upstash.admin.formatting import duration, number
from django_upstash.admin.query import steps
from django_upstash.diagnostics.formatting import escaped
from django_upstash.ratelimit.admin.rows import PER_PAGE
from django_upstash.ratelimit.admin.statistics import Narrowed, denied_tile, narrowed
from django_upstash.ratelimit.admin.wanted import PERIODS, WantedCounters
from django_upstash.ratelimit.admin.words import ALGORITHMS, STANDINGS
from django_upstash.ratelimit.limiter_base import DEFAULT_TENANT
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.report.counters import Counter, CounterStanding, FoundCounters, Reading, Search

_MOST_CHOICES = 40


@dataclass
class CounterListing:
    """What was found and read for one page of the list."""

    wanted: WantedCounters
    search: Search
    found: FoundCounters
    reading: Reading
    shown: list[Counter]
    fitting: list[Counter]
    looked_at: int
    others_at_limit: int
    page: int = 1
    is_again: bool = False
    statistics: Narrowed = field(init=False)

    def __post_init__(self) -> None:
        self.statistics = narrowed(self.reading, self.wanted, self.fitting)

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.fitting) // PER_PAGE))

    @property
    def counts_again(self) -> bool:
        """Whether a refresh can tell the statistics: of clients in a state, it knows those of the page alone."""
        return not (self.is_again and self.wanted.standing)

    @property
    def is_complete(self) -> bool:
        return self.found.cursor == "0" and self.search.cursor == "0"

    @property
    def at_limit(self) -> int:
        return self.others_at_limit + at_limit(self.shown)


def at_limit(counters: Iterable[Counter]) -> int:
    return sum(counter.standing is CounterStanding.AT_LIMIT for counter in counters)


def tiles_of(listing: CounterListing) -> Iterator[Tile]:
    found, reading = listing.found, listing.reading
    count = len(reading.counters)
    tracked = _("Found") if listing.wanted.is_narrowed else _("Tracked")
    note, more = (_("counters"), "") if listing.is_complete else (_("counters so far"), "+")
    yield Tile("tracked", tracked, f"{number(count)}{more}", note)
    looked = _("of %(count)s looked at") % {"count": number(listing.looked_at)}
    tone = "alert" if listing.at_limit else ""
    yield Tile("at-limit", _("At limit"), number(listing.at_limit), looked, tone, is_live=True)
    yield denied_tile(listing.statistics, reading.now, is_live=listing.counts_again)
    yield _scan_tile(listing, found)


def _scan_tile(listing: CounterListing, found: FoundCounters) -> Tile:
    label = _("Scan")
    if listing.search.is_exact:
        return Tile("scan", label, _("Not needed"), _("looked up by name"))
    seen, keys = found.pages * 1000, listing.reading.keys or 0
    note = _("about %(seen)s of %(keys)s keys") % {"seen": number(min(seen, keys)), "keys": number(keys)}
    return Tile("scan", label, _("Complete") if found.cursor == "0" else _("Paused"), note)


def columns_of(wanted: WantedCounters) -> Iterator[Column]:
    labels = {
        "scope": _("Scope"),
        "who": _("Who"),
        "used": _("Used"),
        "remaining": _("Remaining"),
        "resets": _("Resets in"),
    }
    for name, label in labels.items():
        is_sorted, is_turned = wanted.order.lstrip("-") == name, wanted.order.startswith("-")
        # The fullest come first, so that ascending is the other way round there.
        rises = is_turned if name == "used" else not is_turned
        direction = ("ascending" if rises else "descending") if is_sorted else ""
        following = f"-{name}" if is_sorted and not is_turned else name
        kind = "number" if name in ("remaining", "resets") else ""
        yield Column(name, label, wanted.url(o=following, p=None), direction, kind)
    yield Column("policy", _("Policy"))
    yield Column("state", _("State"))


def filters_of(listing: CounterListing) -> Iterator[Filter]:
    """Yield the questions by which the counters can be narrowed down."""
    wanted, stored = listing.wanted, listing.found.stored
    known = catalogue.scopes()
    tenants = sorted({tenant for tenant, _scope in known} | {one.tenant for one in stored})
    if tenants not in ([], [DEFAULT_TENANT]):
        yield _filter("tenant", _("Tenant"), wanted.tenant, [(name, name) for name in tenants])
    scopes = sorted({scope for _tenant, scope in known} | {one.scope for one in stored})
    yield _filter("scope", _("Scope"), wanted.scope, [(name, name) for name in scopes])
    yield _filter("kind", _("Policy"), wanted.algorithm, list(ALGORITHMS.items()))
    counts = Tally(counter.standing for counter in listing.reading.counters)
    states = [(str(state), f"{label} ({number(counts[state])})") for state, label in STANDINGS.items()]
    yield _filter("state", _("State"), wanted.standing, states)


def _filter(name: str, title: str, chosen: str | None, values: list[tuple[str, Any]]) -> Filter:
    if chosen is not None and chosen not in dict(values):
        values = [(chosen, escaped(chosen)), *values]
    options = [Option(value, label, chosen == value) for value, label in values[:_MOST_CHOICES]]
    return Filter(name, title, [Option("", _("All"), chosen is None), *options])


def pager_of(listing: CounterListing) -> Iterator[Choice]:
    return steps(listing.page, listing.pages, lambda page: listing.wanted.url(p=str(page)))


def continue_url(listing: CounterListing) -> str:
    return "" if listing.found.cursor == "0" else listing.wanted.url(cursor=listing.found.cursor, p=None)


def periods(wanted: WantedCounters) -> list[Choice]:
    return [
        Choice(duration(seconds), wanted.url(period=str(seconds)), seconds == wanted.seconds) for seconds in PERIODS
    ]


def navigation(wanted: WantedCounters, listing: CounterListing) -> dict[str, Any]:
    """Return what leads from this page of the list to others."""
    is_exact = listing.search.is_exact
    return {
        "columns": list(columns_of(wanted)),
        "filters": list(filters_of(listing)),
        "pager": list(pager_of(listing)),
        "periods": periods(wanted),
        "restart_url": wanted.url(cursor=None, p=None),
        "continue_url": continue_url(listing),
        "is_exact": is_exact,
        "everywhere_url": wanted.url(everywhere="1", p=None, cursor=None) if is_exact else "",
    }
