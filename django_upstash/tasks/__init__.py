"""
A backend of ``django.tasks`` over the queue of this package; ``manage.py upstash_worker`` runs what it is given.

    TASKS = {"default": {"BACKEND": "django_upstash.tasks.UpstashBackend"}}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django
from django.core.exceptions import ImproperlyConfigured

from django_upstash.features import require

if TYPE_CHECKING:
    from django_upstash.tasks.backend import UpstashBackend

__all__ = ["UpstashBackend"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("tasks")
    if django.VERSION < (6, 0):
        raise ImproperlyConfigured(
            "django_upstash.tasks needs Django 6.0 or later, which brings django.tasks; this is "
            f"{django.__version__}. On an older one, use django_upstash.queues."
        )
    from django_upstash.tasks.backend import UpstashBackend

    return UpstashBackend
