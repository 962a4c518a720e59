"""What queues declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import Feature, FlushTarget, KeptState

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind


def _kinds() -> list[Kind]:
    from django_upstash.operations.key_scan import beginning_with
    from django_upstash.queues.keys import beginning

    return beginning_with(beginning())


FEATURE = Feature(
    name="queues",
    state=KeptState(title="queues", key_beginnings=lambda: ("queue:{",), has_lifetime=False),
    flush_targets=lambda: [FlushTarget(name="queues", kinds=_kinds)],
    sections=("django_upstash.queues.health.QueuesSection",),
)
