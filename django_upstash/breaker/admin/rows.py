"""Circuit breakers as rows of a table: their states, since when, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_upstash.admin.components import Text
from django_upstash.admin.formatting import duration, number
from django_upstash.breaker.report import BreakerStatus
from django_upstash.breaker.status import State
from django_upstash.diagnostics.formatting import escaped
from django_upstash.operations.keys import percent_encoded

# The worst first, which is the order of the list.
STATES = {
    State.OPEN: gettext_lazy("open"),
    State.FORCED_OPEN: gettext_lazy("forced open"),
    State.HALF_OPEN: gettext_lazy("half open"),
    State.DISABLED: gettext_lazy("disabled"),
    State.FORCED_CLOSED: gettext_lazy("forced closed"),
    State.CLOSED: gettext_lazy("closed"),
}
# What can be forced, and what it means for calls.
FORCED = {
    State.FORCED_OPEN: gettext_lazy("All calls through it will be refused."),
    State.FORCED_CLOSED: gettext_lazy("All calls through it will pass and be counted, and nothing opens it."),
    State.DISABLED: gettext_lazy("All calls through it will pass, and none is counted."),
}
_TONES = {
    State.OPEN: "at-limit",
    State.FORCED_OPEN: "blocked",
    State.HALF_OPEN: "near-limit",
    State.DISABLED: "near-limit",
    State.FORCED_CLOSED: "near-limit",
    State.CLOSED: "below",
}
_FAILING = (State.OPEN, State.HALF_OPEN)
_ORDER = {state: place for place, state in enumerate(STATES)}


@dataclass(frozen=True)
class BreakerRow:
    """One breaker as the table shows it."""

    status: BreakerStatus
    url: str = ""

    @property
    def key(self) -> str:
        return percent_encoded(self.status.name)

    @property
    def name(self) -> str:
        return escaped(self.status.name)

    @property
    def state(self) -> Text:
        return STATES[self.status.state]

    @property
    def tone(self) -> str:
        return _TONES[self.status.state]

    @property
    def is_forced(self) -> bool:
        return self.status.state.is_forced

    @property
    def failures(self) -> str:
        """The failures in a row, or those that have opened it, and how many open it."""
        status = self.status
        count = status.opened_by if status.state in _FAILING and status.opened_by is not None else status.failures
        if status.threshold is None:
            return number(count)
        return _("%(count)s of %(threshold)s") % {"count": number(count), "threshold": number(status.threshold)}

    @property
    def error(self) -> str:
        return self.status.error

    @property
    def refused(self) -> str:
        """How many calls were refused since it opened, as far as processes have told."""
        count = self.status.refused
        if self.status.state not in _FAILING and not count:
            return ""
        return _("at least %(count)s") % {"count": number(count)}

    @property
    def opened(self) -> str:
        """When it opened last: how long ago, and the time in UTC."""
        return since(self.status.opened_at)

    @property
    def next_probe(self) -> str:
        seconds = self.status.next_probe
        if seconds is None:
            return ""
        return _("in %(time)s") % {"time": duration(seconds)} if seconds else _("now")

    @property
    def forced(self) -> str:
        return forced_words(self.status) if self.is_forced else ""


def forced_words(status: BreakerStatus) -> str:
    """Return how long a forced state lasts."""
    seconds = status.forced_for
    return _("until released") if seconds is None else _("for %(time)s") % {"time": duration(seconds)}


def since(seconds: float | None) -> str:
    """Return a time since 1970 as how long ago it was, and when in UTC; the empty text for one that is no date."""
    if seconds is None:
        return ""
    try:
        when = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return ""  # what others have written there
    return _("%(time)s ago (%(moment)s)") % {"time": duration(time() - seconds), "moment": when}


def sort(found: Sequence[BreakerStatus]) -> list[BreakerStatus]:
    """Return breakers, the worst first, and each state by name."""
    return sorted(found, key=lambda status: (_ORDER[status.state], status.name))
