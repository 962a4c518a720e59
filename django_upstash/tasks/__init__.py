"""
A backend of ``django.tasks`` over the queue of this package; ``manage.py upstash_worker`` runs what it is given.

    TASKS = {"default": {"BACKEND": "django_upstash.tasks.UpstashBackend"}}
"""

from __future__ import annotations

import django
from django.core.exceptions import ImproperlyConfigured

if django.VERSION < (6, 0):
    raise ImproperlyConfigured(
        f"django_upstash.tasks needs Django 6.0 or later, which brings django.tasks; this is {django.__version__}. "
        "On an older one, use django_upstash.queues."
    )

from django_upstash.tasks.backend import UpstashBackend

__all__ = ["UpstashBackend"]
