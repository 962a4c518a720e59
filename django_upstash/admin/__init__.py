"""
Admin pages about what is kept in Redis. Django's admin finds this package by itself.

On an admin site of your own:

    from django_upstash.admin import register
    register(my_site)
"""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.core.checks import register as register_check

from django_upstash.admin.checks import check_admin
from django_upstash.admin.model_admins import deferred
from django_upstash.features import features

__all__ = ["register"]


def register(site: admin.AdminSite) -> None:
    """Add the features' pages to an admin site that does not have them yet."""
    for feature in features():
        for name, page_class in feature.admin_pages.items():
            model = apps.get_model("django_upstash", name)
            if not site.is_registered(model):
                site.register(model, deferred(page_class))


register(admin.site)
register_check(check_admin, "django_upstash")
