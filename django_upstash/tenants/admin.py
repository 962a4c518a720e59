"""The pages of tenants: which there are, what they use, and what they take. They change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import unquote
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.utils.translation import gettext as _

from django_upstash.admin.components import Filter, Option, Tile
from django_upstash.admin.formatting import cost_words, number
from django_upstash.admin.pages import ALIAS, RedisPageAdmin
from django_upstash.admin.query import Parameters, steps
from django_upstash.diagnostics.admin_connection import AdminConnection
from django_upstash.diagnostics.formatting import escaped, size
from django_upstash.models import TenantUsage
from django_upstash.operations.keys import percent_decoded, percent_encoded
from django_upstash.ratelimit.admin.rows import PER_PAGE
from django_upstash.settings.admin import admin_settings
from django_upstash.tenants import report
from django_upstash.tenants.report import Bounds, Details, FoundTenants, Measurement, Used

MEASURE = "measure"
PERIODS = 12
_FOLDER = "admin/django_upstash/tenantusage"
_MOST_NAMES = 8
_PAGE_KEYS = 1000


class WantedTenants(Parameters):
    """What a request asks to see of the tenants."""

    def __init__(self, given: QueryDict) -> None:
        super().__init__(given)
        self.text = given.get("q", "").strip()
        self.periods = report.periods(PERIODS)
        self.period = self.one_of("period", self.periods) or self.periods[0]
        self.cursor = str(self.number("cursor", 0))

    @property
    def is_exact(self) -> bool:
        return bool(self.text) and not self.text.endswith("*")


@dataclass(frozen=True)
class TenantRow:
    """One tenant as the table shows it; ``amounts`` is None where they cannot be read."""

    tenant: str
    url: str
    amounts: Mapping[str, int] | None

    @property
    def name(self) -> str:
        return escaped(self.tenant)

    @property
    def used(self) -> list[tuple[str, str]]:
        """What was used, the largest first, no more of it than a cell can hold."""
        amounts = sorted((self.amounts or {}).items(), key=lambda item: (-item[1], item[0]))
        return [(escaped(name), number(amount)) for name, amount in amounts[:_MOST_NAMES]]

    @property
    def others(self) -> int:
        return max(len(self.amounts or {}) - _MOST_NAMES, 0)


class TenantAdmin(RedisPageAdmin):
    """The page of tenants and what they use."""

    change_list_template = f"{_FOLDER}/change_list.html"
    change_form_template = f"{_FOLDER}/change_form.html"
    live_template = change_list_template  # it is refreshed by hand: looking again costs as much as the first time

    def usual_alias(self) -> str:
        try:
            return report.home_alias()
        except ImproperlyConfigured:
            return super().usual_alias()

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> TenantUsage | None:
        return None if _named(object_id) is None else TenantUsage(key=object_id)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one tenant."""
        name = _named(unquote(object_id))
        if name is None:
            raise Http404(_("This is no name of a tenant."))

        def look(request: HttpRequest, connection: AdminConnection) -> dict[str, Any]:
            return self._details(request, connection, name)

        template = str(self.change_form_template)
        return self.page(request, (template, template), look, {"title": escaped(name)})

    def look(self, request: HttpRequest, connection: AdminConnection) -> dict[str, Any]:
        wanted = WantedTenants(request.GET)
        found = _found(connection, wanted)
        pages = max(1, -(-len(found.names) // PER_PAGE))
        page = max(1, min(wanted.page, pages))
        shown = found.names[(page - 1) * PER_PAGE : page * PER_PAGE]
        used = connection.spending.run(report.read_usage(shown, wanted.period))
        return {
            "wanted": wanted,
            "rows": list(self._rows(request, shown, used)),
            "tiles": list(_tiles(wanted, found, used)),
            "filters": [_periods(wanted)],
            "fitting": len(found.names),
            "pager": list(steps(page, pages, lambda step: wanted.url(p=str(step)))),
            "restart_url": wanted.url(cursor=None, p=None),
            "continue_url": "" if found.cursor == "0" else wanted.url(cursor=found.cursor, p=None),
            "clear_url": self.changelist_url + self._query(request),
            "most": cost_words(admin_settings().scan_pages + 1, admin_settings().scan_pages + PER_PAGE + 1),
        }

    def _rows(self, request: HttpRequest, names: Sequence[str], used: Used) -> Iterator[TenantRow]:
        for name, amounts in zip(names, used.amounts, strict=True):
            yield TenantRow(name, self.object_url(percent_encoded(name)) + self._query(request), amounts)

    def _details(self, request: HttpRequest, connection: AdminConnection, name: str) -> dict[str, Any]:
        settings, parameters = admin_settings(), Parameters(request.GET)
        found = connection.spending.run(report.read_details(name, report.periods(PERIODS)))
        requests, commands, measured = connection.spending.requests, connection.spending.commands, Measurement()
        is_empty = report.is_empty(found)
        if MEASURE in request.GET or is_empty:
            bounds = Bounds.of(settings.scan_pages, settings.timeout)
            measured = report.measure(connection.spending, name, bounds, settings.timeout)
        if is_empty and measured.is_nothing:
            raise Http404(_("Nothing is stored of a tenant of this name."))
        return {
            **_usage_table(found),
            "stored": _stored_names(found),
            "measures": [(one, "" if one.bytes is None else size(one.bytes)) for one in measured.measures],
            "failures": measured.failures,
            "is_complete": all(one.is_complete for one in measured.measures),
            "is_measured": MEASURE in request.GET or is_empty,
            "measure_url": parameters.url(measure="1"),
            "scan_pages": settings.scan_pages,
            "sample": report.SAMPLE,
            "cost": cost_words(requests + measured.requests, commands + measured.commands),
        }

    def _query(self, request: HttpRequest) -> str:
        return f"?{urlencode({ALIAS: self._alias(request)})}"


def _named(key: str) -> str | None:
    """Return the tenant that a key of the page names; None for what cannot be one."""
    name = percent_decoded(key)
    return name if name is not None and report.is_name(name) else None


def _found(connection: AdminConnection, wanted: WantedTenants) -> FoundTenants:
    if wanted.is_exact:
        return FoundTenants([wanted.text] if report.is_name(wanted.text) else [])
    settings = admin_settings()
    bounds = Bounds.of(settings.scan_pages, settings.timeout)
    return report.find_tenants(connection.spending, connection.alias, wanted.text.rstrip("*"), wanted.cursor, bounds)


def _tiles(wanted: WantedTenants, found: FoundTenants, used: Used) -> Iterator[Tile]:
    is_whole = found.cursor == "0" and wanted.cursor == "0"
    note = _("tenants") if is_whole else _("tenants so far")
    yield Tile("found", _("Found"), f"{number(len(found.names))}{'' if is_whole else '+'}", note)
    if wanted.is_exact:
        yield Tile("scan", _("Scan"), _("None"), _("looked up by name"))
        return
    seen = min(found.pages * _PAGE_KEYS, used.keys)
    looked = _("about %(seen)s of %(keys)s keys") % {"seen": number(seen), "keys": number(used.keys)}
    yield Tile("scan", _("Scan"), _("Complete") if found.cursor == "0" else _("Paused"), looked)


def _periods(wanted: WantedTenants) -> Filter:
    options = [Option(period, period_words(period), period == wanted.period) for period in wanted.periods]
    return Filter("period", _("Period"), options)


def period_words(period: str) -> str:
    """Return a period as people write it: ``2026-11``, ``2026-11-30``."""
    return "-".join(filter(None, (period[:4], period[4:6], period[6:])))


def _usage_table(found: Details) -> dict[str, Any]:
    """Return the names that are counted most, and for each period the amounts under them."""
    totals = dict[str, int]()
    for amounts in found.usage.values():
        for name, amount in (amounts or {}).items():
            totals[name] = totals.get(name, 0) + amount
    names = sorted(totals, key=lambda name: (-totals[name], name))
    shown = names[:_MOST_NAMES]
    lines = [
        (period_words(period), None if amounts is None else [_amount(amounts.get(name)) for name in shown])
        for period, amounts in found.usage.items()
        if amounts != {}
    ]
    return {"names": [escaped(name) for name in shown], "lines": lines, "others": len(names) - len(shown)}


def _amount(amount: int | None) -> str | None:
    return None if amount is None else number(amount)


def _stored_names(found: Details) -> list[tuple[str, str]]:
    """Return the names of what is configured: values may be secret."""
    record = found.record
    if record is None:
        return []
    kinds = [
        (_("Configuration"), record.config),
        (_("Flags"), record.flags),
        (_("Switches"), record.switches),
        (_("Samples"), record.samples),
    ]
    return [(label, ", ".join(map(escaped, sorted(names)))) for label, names in kinds]
