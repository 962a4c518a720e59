"""What rate limits declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django_upstash.features import Check, Feature, FlushTarget, KeptState, StatePlace
from django_upstash.settings import conf

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind


def _places() -> Iterator[StatePlace]:
    if conf.setting("UPSTASH_RATELIMIT") is not None:
        yield StatePlace(conf.DEFAULT_ALIAS, "alias of the limiters")


def _kinds() -> list[Kind]:
    from django_upstash.operations.key_scan import beginning_with
    from django_upstash.ratelimit.keys import beginning

    return beginning_with(*map(beginning, ("", "rules", "stats")))


FEATURE = Feature(
    name="ratelimit",
    checks=(
        Check("django_upstash.ratelimit.checks.check_ratelimit"),
        Check("django_upstash.ratelimit.checks.check_limiters"),
    ),
    state=KeptState(
        title="rate limits",
        key_beginnings=lambda: ("ratelimit:", "ratelimit-rules:", "ratelimit-stats:"),
        places=_places,
    ),
    flush_targets=lambda: [FlushTarget(name="limits", kinds=_kinds)],
    sections=("django_upstash.ratelimit.health.LimitsSection",),
    admin_pages={"RateLimitCounter": "django_upstash.ratelimit.admin.page.RateLimitCounterAdmin"},
)
