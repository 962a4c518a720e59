"""What tenants declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from django_upstash.features import Check, Feature, FlushTarget, KeptState, StatePlace
from django_upstash.settings import conf

if TYPE_CHECKING:
    from django_upstash.operations.key_kind import Kind
    from django_upstash.settings.connection import ConnectionSettings

_SETTING = "ALIAS of UPSTASH_TENANTS"


def _places() -> Iterator[StatePlace]:
    if conf.setting("UPSTASH_TENANTS") is not None:
        yield StatePlace.of(conf.setting("UPSTASH_TENANTS"), _SETTING)


def _kinds() -> list[Kind]:
    from django_upstash.operations.key_scan import beginning_with
    from django_upstash.tenants.tenant_keys import space

    return beginning_with(*(f"{beginning}{{" for beginning in space().beginnings))


def _settings() -> ConnectionSettings:
    from django_upstash.tenants.tenant_keys import space

    return conf.connection_settings(space().settings.alias)


FEATURE = Feature(
    name="tenants",
    needs=("cache", "ratelimit", "idempotency"),
    checks=(Check("django_upstash.tenants.checks.check_tenants"),),
    state=KeptState(
        title="tenants",
        key_beginnings=lambda: ("tenant:", "usage:"),
        places=_places,
        setting=_SETTING,
        has_lifetime=False,
    ),
    flush_targets=lambda: [FlushTarget(name="tenants", kinds=_kinds, settings=_settings)],
    sections=("django_upstash.tenants.health.TenantsSection",),
    admin_pages={"TenantUsage": "django_upstash.tenants.admin.TenantAdmin"},
)
