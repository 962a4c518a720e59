"""
What is one tenant's own: cache, limits, configuration, flags, and what it uses.

    from django_upstash.tenants import Tenant
    tenant = Tenant("acme")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django_upstash.features import require

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
_MODULES = {"Flag": "flag_rules", "Tenant": "tenant"} | dict.fromkeys(
    ("Measure", "astored_tenants", "stored_tenants"), "maintenance"
)


def __getattr__(name: str) -> Any:
    # Imported at first use: they bring redis-py, which the system checks of this package need not.
    if name in __all__:
        require("tenants")
        return getattr(import_module(f"django_upstash.tenants.{_MODULES.get(name, 'current')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
