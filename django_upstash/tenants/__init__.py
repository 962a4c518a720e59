"""
What is one tenant's own: cache, limits, configuration, flags, and what it uses.

    from django_upstash.tenants import Tenant
    tenant = Tenant("acme")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

if TYPE_CHECKING:
    from django_upstash.tenants.current import (
        aflag_is_active,
        asample_is_active,
        aswitch_is_active,
        current_tenant,
        flag_is_active,
        sample_is_active,
        switch_is_active,
        tenant_context,
    )
    from django_upstash.tenants.flag_rules import Flag
    from django_upstash.tenants.maintenance import Measure, astored_tenants, stored_tenants
    from django_upstash.tenants.tenant import Tenant

__all__ = [
    "Flag",
    "Measure",
    "Tenant",
    "aflag_is_active",
    "asample_is_active",
    "astored_tenants",
    "aswitch_is_active",
    "current_tenant",
    "flag_is_active",
    "sample_is_active",
    "stored_tenants",
    "switch_is_active",
    "tenant_context",
]

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.tenants.flag_rules": ["Flag"],
        "django_upstash.tenants.maintenance": ["Measure", "astored_tenants", "stored_tenants"],
        "django_upstash.tenants.tenant": ["Tenant"],
        "django_upstash.tenants.current": [
            "aflag_is_active",
            "asample_is_active",
            "aswitch_is_active",
            "current_tenant",
            "flag_is_active",
            "sample_is_active",
            "switch_is_active",
            "tenant_context",
        ],
    },
    feature="tenants",
)
