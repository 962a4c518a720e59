"""What circuit breakers declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from django_upstash.features import Check, Feature, FlushTarget, KeptState, StatePlace
from django_upstash.settings import conf

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind

_SETTING = "ALIAS of UPSTASH_BREAKER"


def _places() -> Iterator[StatePlace]:
    given = conf.setting("UPSTASH_BREAKER")
    if given is None:
        return
    named = given.get("BREAKERS") if isinstance(given, Mapping) else None
    own = named.values() if isinstance(named, Mapping) else ()
    default = StatePlace.of(given, _SETTING)
    yield from dict.fromkeys([default, *(StatePlace.of(entry, _SETTING, default.alias) for entry in own)])


def _kinds() -> list[Kind]:
    from django_upstash.breaker.operations import beginning, forced_key, index_key
    from django_upstash.operations.key_kind import Kind
    from django_upstash.operations.key_scan import beginning_with
    from django_upstash.operations.keys import glob_escape

    return [*beginning_with(beginning()), *(Kind(glob_escape(key)) for key in (index_key(), forced_key()))]


FEATURE = Feature(
    name="breaker",
    checks=(Check("django_upstash.breaker.checks.check_breakers"),),
    state=KeptState(title="breakers", key_beginnings=lambda: ("breaker:",), places=_places, setting=_SETTING),
    flush_targets=lambda: [FlushTarget(name="breakers", kinds=_kinds)],
    sections=("django_upstash.breaker.health.BreakersSection",),
    metrics="django_upstash.breaker.metrics.lines",
    admin_pages={"CircuitBreakerState": "django_upstash.breaker.admin.page.CircuitBreakerAdmin"},
)
