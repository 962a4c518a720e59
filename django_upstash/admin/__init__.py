"""
Admin pages about what is kept in Redis. Django's admin finds this package by itself.

On an admin site of your own:

    from django_upstash.admin import register
    register(my_site)
"""

from __future__ import annotations

from django.contrib import admin
from django.core.checks import register as register_check

from django_upstash.admin.checks import check_admin
from django_upstash.admin.model_admins import (
    DeferredCircuitBreakerAdmin,
    DeferredRateLimitCounterAdmin,
    DeferredTenantAdmin,
)
from django_upstash.models import CircuitBreakerState, RateLimitCounter, TenantUsage

__all__ = ["register"]

_PAGES = {
    RateLimitCounter: DeferredRateLimitCounterAdmin,
    CircuitBreakerState: DeferredCircuitBreakerAdmin,
    TenantUsage: DeferredTenantAdmin,
}


def register(site: admin.AdminSite) -> None:
    """Add the pages to an admin site that does not have them yet."""
    for model, model_admin in _PAGES.items():
        if not site.is_registered(model):
            site.register(model, model_admin)


register(admin.site)
register_check(check_admin, "django_upstash")
