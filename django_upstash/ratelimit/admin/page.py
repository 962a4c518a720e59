"""The page of rate-limit counters: who is limited, how full the limits are, and what was denied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse

from django_upstash.admin.actions import Action
from django_upstash.admin.pages import ALIAS, LIVE, RedisPageAdmin
from django_upstash.diagnostics.admin_connection import AdminConnection
from django_upstash.diagnostics.formatting import escaped
from django_upstash.models import RateLimitCounter
from django_upstash.ratelimit.admin import detail
from django_upstash.ratelimit.admin.actions import ACTIONS
from django_upstash.ratelimit.admin.facts import rulings_of
from django_upstash.ratelimit.admin.forms import DURATIONS, USUAL
from django_upstash.ratelimit.admin.list import CounterListing, at_limit, navigation, tiles_of
from django_upstash.ratelimit.admin.rows import PER_PAGE, CounterPage, packed, rows, sort, unpacked
from django_upstash.ratelimit.admin.statistics import counts_statistics, statistics_context
from django_upstash.ratelimit.admin.wanted import ROWS, WantedCounters
from django_upstash.ratelimit.limiter_base import DEFAULT_TENANT
from django_upstash.ratelimit.report import limiters
from django_upstash.ratelimit.report.counters import MOST_TENANTS, FoundCounters, Reading, find, lifetimes, named, read
from django_upstash.ratelimit.server import memory_for
from django_upstash.settings.admin import admin_settings

_CHEAP_PAGES, _CHEAP_COUNTERS = 2, 200


class RateLimitCounterAdmin(RedisPageAdmin):
    """The page of rate-limit counters."""

    change_list_template = "admin/django_upstash/ratelimitcounter/change_list.html"
    change_form_template = "admin/django_upstash/ratelimitcounter/change_form.html"
    confirm_template = "admin/django_upstash/ratelimitcounter/confirm.html"
    live_template = "admin/django_upstash/ratelimitcounter/live.html"
    actions_by_name: ClassVar[Mapping[str, Action]] = ACTIONS

    def prepare(self) -> None:
        limiters.load_all()

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> RateLimitCounter | None:
        return None if named(object_id) is None else RateLimitCounter(key=object_id)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one counter."""
        return detail.show(self, request, unquote(object_id))

    def look(self, request: HttpRequest, connection: AdminConnection) -> dict[str, Any]:
        wanted = WantedCounters(request.GET)
        is_again = ROWS in request.GET
        listing = self._shown_again(connection, wanted) if is_again else self._listing(connection, wanted)
        return {
            "wanted": wanted,
            "scope": escaped(wanted.scope or ""),
            "listing": listing,
            "rows": rows(self, request, listing.shown, f"?{urlencode({ALIAS: self._alias(request)})}"),
            "tiles": [tile for tile in tiles_of(listing) if not is_again or tile.is_live],
            "clear_url": self.changelist_url + f"?{urlencode({ALIAS: self._alias(request)})}",
            **navigation(wanted, listing),
            "counts_again": listing.counts_again,
            "rulings": list(rulings_of(listing.reading)),
            "tenant": wanted.tenant or DEFAULT_TENANT,
            "durations": DURATIONS,
            "usual_seconds": USUAL,
            **statistics_context(listing.statistics, listing.reading.now, wanted.seconds),
            **self._live(request, connection, listing),
        }

    def _listing(self, connection: AdminConnection, wanted: WantedCounters) -> CounterListing:
        settings, search = admin_settings(), wanted.search
        found = find(connection.spending, memory_for(connection.alias), search, settings.scan_pages, settings.timeout)
        reading = self._read(connection, wanted, found)
        fitting = sort([counter for counter in reading.counters if wanted.fits(counter)], wanted.order)
        page = max(1, min(wanted.page, -(-len(fitting) // PER_PAGE)))
        shown = connection.spending.run(lifetimes(fitting[(page - 1) * PER_PAGE : page * PER_PAGE]))
        others = at_limit(reading.counters) - at_limit(shown)
        return CounterListing(wanted, search, found, reading, shown, fitting, len(reading.counters), others, page)

    def _shown_again(self, connection: AdminConnection, wanted: WantedCounters) -> CounterListing:
        """Look again at the counters of a page that is shown already."""
        page = unpacked(wanted.given.get(ROWS, ""))
        found = FoundCounters(page.stored)
        reading = self._read(connection, wanted, found)
        shown = connection.spending.run(lifetimes(reading.counters))
        looked_at, others = page.looked_at, page.others_at_limit
        return CounterListing(wanted, wanted.search, found, reading, shown, shown, looked_at, others, is_again=True)

    def _read(self, connection: AdminConnection, wanted: WantedCounters, found: FoundCounters) -> Reading:
        seconds = wanted.seconds if counts_statistics() else 0
        return connection.spending.run(
            read(memory_for(connection.alias), found.stored, [wanted.tenant or DEFAULT_TENANT], seconds)
        )

    def _live(self, request: HttpRequest, connection: AdminConnection, listing: CounterListing) -> dict[str, Any]:
        """Look again in full where that is cheap, and else at the counters on the page alone."""
        is_cheap = listing.found.pages <= _CHEAP_PAGES and len(listing.found.stored) <= _CHEAP_COUNTERS
        if is_cheap and ROWS not in request.GET:
            url = listing.wanted.url(**{LIVE: "1"})
            return self.live_context(url, connection.spending.requests, connection.spending.commands)
        keys = [counter.stored.key for counter in listing.shown]
        again = packed(CounterPage(keys, listing.looked_at, listing.others_at_limit))
        tenants = {counter.stored.tenant for counter in listing.shown} | {listing.wanted.tenant or DEFAULT_TENANT}
        unknown = sum(counter.policy is None for counter in listing.shown)
        per_tenant = 2 if counts_statistics() else 1
        commands = 2 + per_tenant * min(len(tenants), MOST_TENANTS) + unknown
        return self.live_context(listing.wanted.url(**{LIVE: "1", ROWS: again}), 2 if unknown else 1, commands)
