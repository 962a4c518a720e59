"""The page of circuit breakers: their states, which all processes share, and what operators force."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib.admin.utils import unquote
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.utils.translation import gettext as _

from django_upstash.admin.actions import Action
from django_upstash.admin.components import Filter, Option, Tile
from django_upstash.admin.formatting import number
from django_upstash.admin.pages import ALIAS, LIVE, RedisPageAdmin
from django_upstash.admin.query import Parameters, steps
from django_upstash.breaker.admin.actions import ACTIONS, DURATIONS
from django_upstash.breaker.admin.rows import FORCED, STATES, BreakerRow, sort
from django_upstash.breaker.report import BreakerStatus, known_names, reading, reading_of
from django_upstash.breaker.settings import breaker_setting, checked
from django_upstash.breaker.status import State
from django_upstash.diagnostics.admin_connection import AdminConnection
from django_upstash.diagnostics.formatting import escaped
from django_upstash.models import CircuitBreakerState
from django_upstash.operations.keys import percent_decoded, percent_encoded
from django_upstash.ratelimit.admin.rows import PER_PAGE

_FOLDER = "admin/django_upstash/circuitbreakerstate"
_REFUSING = (State.OPEN, State.HALF_OPEN, State.FORCED_OPEN)


class WantedBreakers(Parameters):
    """What a request asks to see of the breakers."""

    def __init__(self, given: QueryDict) -> None:
        super().__init__(given)
        self.name = given.get("q", "").strip()
        self.state = self.one_of("state", list(map(str, State)))

    @property
    def is_narrowed(self) -> bool:
        return bool(self.name or self.state)

    def fits(self, status: BreakerStatus) -> bool:
        return self.state in (None, status.state) and self.name.casefold() in status.name.casefold()


class CircuitBreakerAdmin(RedisPageAdmin):
    """The page of circuit breakers."""

    change_list_template = f"{_FOLDER}/change_list.html"
    change_form_template = f"{_FOLDER}/change_form.html"
    confirm_template = f"{_FOLDER}/confirm.html"
    live_template = f"{_FOLDER}/live.html"
    actions_by_name: ClassVar[Mapping[str, Action]] = ACTIONS

    def usual_alias(self) -> str:
        try:
            return checked(breaker_setting(), "", {}).alias
        except ImproperlyConfigured:
            return super().usual_alias()

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> CircuitBreakerState | None:
        return CircuitBreakerState(key=object_id) if percent_decoded(object_id) else None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one breaker."""
        key = unquote(object_id)
        name = percent_decoded(key)
        if not name:
            raise Http404(_("This is no name of a breaker."))

        def look(request: HttpRequest, connection: AdminConnection) -> dict[str, Any]:
            status = connection.spending.run(reading_of(name))
            if not (status.is_recorded or name in known_names(connection.alias)):
                raise Http404(_("No breaker of this name is known."))
            row = BreakerRow(status)
            return {"row": row, **self._live(Parameters(request.GET), connection), **_choices()}

        context = {"title": escaped(name), "key": key}
        return self.page(request, (str(self.change_form_template), f"{_FOLDER}/live_detail.html"), look, context)

    def look(self, request: HttpRequest, connection: AdminConnection) -> dict[str, Any]:
        wanted = WantedBreakers(request.GET)
        found = connection.spending.run(reading(connection.alias))
        fitting = sort([status for status in found if wanted.fits(status)])
        pages = max(1, -(-len(fitting) // PER_PAGE))
        page = max(1, min(wanted.page, pages))
        query = f"?{urlencode({ALIAS: self._alias(request)})}"
        return {
            "wanted": wanted,
            "rows": [
                BreakerRow(status, self.object_url(percent_encoded(status.name)) + query)
                for status in fitting[(page - 1) * PER_PAGE : page * PER_PAGE]
            ],
            "tiles": list(_tiles(found)),
            "filters": [_states(wanted, found)],
            "fitting": len(fitting),
            "pager": list(steps(page, pages, lambda step: wanted.url(p=str(step)))),
            "clear_url": self.changelist_url + query,
            **self._live(wanted, connection),
            **_choices(),
        }

    def _live(self, wanted: Parameters, connection: AdminConnection) -> dict[str, Any]:
        return self.live_context(wanted.url(**{LIVE: "1"}), connection.spending.requests, connection.spending.commands)


def _choices() -> dict[str, Any]:
    """Return what can be forced, and for how long."""
    states = [Option(str(state), STATES[state], state is State.FORCED_OPEN) for state in FORCED]
    return {"states": states, "durations": DURATIONS}


def _tiles(found: Sequence[BreakerStatus]) -> Iterator[Tile]:
    refusing = sum(status.state in _REFUSING for status in found)
    forced = sum(status.state.is_forced for status in found)
    yield Tile("known", _("Known"), number(len(found)), _("opened, forced, configured or used here"), is_live=True)
    note, tone = _("open, half open or forced open"), "alert" if refusing else ""
    yield Tile("refusing", _("Refusing calls"), number(refusing), note, tone, is_live=True)
    yield Tile("forced", _("Forced"), number(forced), _("by an operator"), is_live=True)


def _states(wanted: WantedBreakers, found: Sequence[BreakerStatus]) -> Filter:
    counts = Tally(status.state for status in found)
    options = [
        Option(str(state), f"{label} ({number(counts[state])})", wanted.state == state)
        for state, label in STATES.items()
    ]
    return Filter("state", _("State"), [Option("", _("All"), wanted.state is None), *options])
