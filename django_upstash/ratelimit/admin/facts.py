"""Runtime overrides of limits, as the admin pages show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from django.utils.translation import gettext as _

from django_upstash.admin.formatting import duration, number
from django_upstash.diagnostics.formatting import escaped, shortened
from django_upstash.ratelimit.policies import MICROSECONDS
from django_upstash.ratelimit.report.counters import Reading
from django_upstash.ratelimit.rules import FOREVER

_LONGEST_NOTE = 80


@dataclass(frozen=True)
class Ruling:
    """One thing that is ruled while the site is running, as the page shows it."""

    kind: str  # "block", "allow" or "limit"
    tenant: str
    scope: str
    identity: str
    words: str
    note: str = ""  # how an operator has named who is blocked


def rulings_of(reading: Reading) -> Iterator[Ruling]:
    """Yield what is ruled for the tenants that were read."""
    for tenant, rules in reading.rules.items():
        for kind, listing in (("block", rules.blocked), ("allow", rules.allowed)):
            for name, ends in listing.names.items():
                if ends == FOREVER or ends > reading.now:
                    left = (ends - reading.now) / MICROSECONDS
                    words = _("without end") if ends == FOREVER else _("for %(time)s") % {"time": duration(left)}
                    note = shortened(escaped(rules.notes.get(name, "")), _LONGEST_NOTE) if kind == "block" else ""
                    yield Ruling(kind, tenant, "", name, words, "" if note == name else note)
        for name, limit in rules.limits.items():
            scope, _space, identity = name.partition(" ")
            yield Ruling("limit", tenant, unquote(scope), identity, number(limit))
