"""The page of one counter: what is left, by which policy, what was denied, and the same client's other counters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _

from django_upstash.admin.pages import ALIAS, LIVE, RedisPageAdmin
from django_upstash.diagnostics.admin_connection import AdminConnection
from django_upstash.ratelimit.admin.facts import rulings_of
from django_upstash.ratelimit.admin.forms import DURATIONS, USUAL
from django_upstash.ratelimit.admin.rows import rows
from django_upstash.ratelimit.admin.statistics import Narrowed, counts_statistics, of_scope, statistics_context
from django_upstash.ratelimit.admin.words import STANDINGS
from django_upstash.ratelimit.keys import key_prefix
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.report.counters import Counter, Reading, lifetimes, named, read
from django_upstash.ratelimit.rules import Rules
from django_upstash.ratelimit.server import memory_for
from django_upstash.ratelimit.stored import StoredLimit

BLOCKING = {"durations": DURATIONS, "usual_seconds": USUAL}
LIVE_TEMPLATE = "admin/django_upstash/ratelimitcounter/live_detail.html"
ANY = "*"
_DAY = 86_400
_MOST_DENIALS = 12


@dataclass(frozen=True)
class ScopeDenials:
    """How often the client was denied in the stretch of time that begins at ``start``."""

    start: datetime
    count: int


def show(page: RedisPageAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Return the page of a counter; of a name that several share, the list of these."""
    stored = named(key)
    if stored is None:
        raise Http404(_("This is no name of a counter."))
    if ANY in (stored.identity, stored.scope):
        return HttpResponseRedirect(f"{page.changelist_url}?{urlencode(_narrowed(stored))}")

    def look(request: HttpRequest, connection: AdminConnection) -> dict[str, Any]:
        return _seen(page, request, connection, stored)

    context = {"title": stored.identity, "subtitle": stored.scope, "stored": stored, **BLOCKING}
    return page.page(request, (str(page.change_form_template), LIVE_TEMPLATE), look, context)


def _narrowed(stored: StoredLimit) -> dict[str, str]:
    if stored.identity == ANY:
        return {"tenant": stored.tenant, "scope": stored.scope}
    return {"tenant": stored.tenant, "q": stored.identity}


def _seen(
    page: RedisPageAdmin, request: HttpRequest, connection: AdminConnection, stored: StoredLimit
) -> dict[str, Any]:
    seconds = _DAY if counts_statistics() else 0
    reading = connection.spending.run(
        read(memory_for(connection.alias), [stored, *_in_other_scopes(stored)], [stored.tenant], seconds)
    )
    counters: list[Counter] = connection.spending.run(lifetimes(reading.counters))
    found = rows(page, request, counters, _query(request))
    row = next((row for row in found if row.key == stored.key), None)
    counted = of_scope(reading, stored.tenant, stored.scope)
    policy = catalogue.policy(stored.tenant, stored.scope)
    return {
        "row": row,
        "others": [row for row in found if row.key != stored.key],
        "policy": policy,
        "policy_limit": None if policy is None else _limit(reading, stored, policy.limit),
        "standing": STANDINGS[row.counter.standing] if row else _("Nothing is used"),
        "rulings": [one for one in rulings_of(reading) if _concerns(one, stored)],
        "is_blocked": _is_blocked(reading.rules.get(stored.tenant), stored, reading.now),
        "denials": list(_denials(counted, stored))[:_MOST_DENIALS],
        **statistics_context(counted, reading.now, _DAY),
        **page.live_context(_live_url(request), connection.spending.requests, connection.spending.commands),
    }


def _in_other_scopes(stored: StoredLimit) -> list[StoredLimit]:
    """Return the counters that the same client may have in the tenant's other scopes."""
    return [
        StoredLimit(key_prefix(tenant, scope) + stored.identity, tenant, scope, stored.identity)
        for tenant, scope in catalogue.scopes()
        if tenant == stored.tenant and scope != stored.scope
    ]


def _query(request: HttpRequest) -> str:
    return f"?{urlencode({ALIAS: request.GET[ALIAS]})}" if ALIAS in request.GET else ""


def _live_url(request: HttpRequest) -> str:
    return f"?{urlencode({**request.GET.dict(), LIVE: 1})}"


def _limit(reading: Reading, stored: StoredLimit, default: int) -> int:
    rules, policy = reading.rules.get(stored.tenant), catalogue.policy(stored.tenant, stored.scope)
    return default if rules is None or policy is None else rules.limit(policy, stored.identity).limit


def _concerns(ruling: Any, stored: StoredLimit) -> bool:
    if ruling.kind == "limit":
        return ruling.scope == stored.scope and ruling.identity in ("", stored.identity)
    return bool(ruling.identity == stored.identity)


def _is_blocked(rules: Rules | None, stored: StoredLimit, now: int) -> bool:
    return rules is not None and rules.blocked.ends(stored.identity, now) is not None


def _denials(counted: Narrowed, stored: StoredLimit) -> Iterator[ScopeDenials]:
    """Yield when the client was denied, the latest first."""
    for one in reversed(counted.scopes):
        count = one.top_denied.get(stored.identity, 0)
        if count:
            yield ScopeDenials(timezone.localtime(datetime.fromtimestamp(one.start, UTC)), count)
