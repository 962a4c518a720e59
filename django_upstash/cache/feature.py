"""What the caches of this package declare."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from django_upstash.features import Check, Feature, FlushTarget
from django_upstash.settings import conf

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind


def _flush_targets() -> Iterator[FlushTarget]:
    for alias, entry in conf.caches().items():
        settings = partial(conf.cache_location_settings, entry.get("LOCATION"), entry.get("OPTIONS"))
        yield FlushTarget(name=f"cache:{alias}", kinds=partial(_kinds, alias), settings=settings)


def _kinds(alias: str) -> list[Kind]:
    from django.core.cache import caches

    from django_upstash.operations.key_kind import Kind

    return [Kind(*caches[alias].keyspace.everything())]  # type: ignore[attr-defined]


FEATURE = Feature(
    name="cache",
    checks=(
        Check("django_upstash.cache.checks.check_caches", tags=("caches",)),
        Check("django_upstash.cache.checks.check_cache_deployment", tags=("security",), deploy=True),
    ),
    flush_targets=_flush_targets,
)
