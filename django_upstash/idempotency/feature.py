"""What idempotency keys declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django_upstash.features import Check, Feature, FlushTarget, KeptState, StatePlace
from django_upstash.idempotency.settings import idempotency_settings, uses_idempotency
from django_upstash.settings import conf

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind
    from django_upstash.settings.connection import ConnectionSettings

_SETTING = "ALIAS of UPSTASH_IDEMPOTENCY"


def _places() -> Iterator[StatePlace]:
    if uses_idempotency():
        yield StatePlace.of(conf.setting("UPSTASH_IDEMPOTENCY"), _SETTING)


def _kinds() -> list[Kind]:
    from django_upstash.idempotency.keys import beginning
    from django_upstash.operations.key_scan import beginning_with

    return beginning_with(beginning())


def _settings() -> ConnectionSettings:
    return conf.connection_settings(idempotency_settings().alias)


FEATURE = Feature(
    name="idempotency",
    needs=("sessions",),
    checks=(Check("django_upstash.idempotency.checks.check_idempotency"),),
    state=KeptState(
        title="idempotency keys", key_beginnings=lambda: ("idempotency:",), places=_places, setting=_SETTING
    ),
    flush_targets=lambda: [FlushTarget(name="idempotency", kinds=_kinds, settings=_settings)],
    sections=("django_upstash.idempotency.health.IdempotencySection",),
)
