"""
What the admin gives permissions on: models without tables, for what is kept in Redis.

Their managers are always empty, so that ``dumpdata`` and ``flush`` find nothing to read and nothing to remove.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class NoRows(models.Manager[Any]):
    """A manager without rows, for what no table holds."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().none()


class RateLimitCounter(models.Model):
    """
    The counter of one client in one scope. It has no table: ``key`` is its name in Redis.

    The permissions mean: ``view`` to look, ``change`` to block clients and change limits, ``delete`` to reset counters.
    """

    key = models.CharField(_("key"), max_length=1000, primary_key=True, editable=False)

    objects = NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view", "change", "delete")
        verbose_name = _("rate-limit counter")
        verbose_name_plural = _("rate-limit counters")

    def __str__(self) -> str:
        return str(self.key)


class CircuitBreakerState(models.Model):
    """
    The circuit of one breaker. It has no table: ``key`` is the breaker's name, percent-encoded.

    The permissions mean: ``view`` to look, ``change`` to force a state and to release it.
    """

    key = models.CharField(_("key"), max_length=1000, primary_key=True, editable=False)

    objects = NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view", "change")
        verbose_name = _("circuit breaker")
        verbose_name_plural = _("circuit breakers")

    def __str__(self) -> str:
        return str(self.key)


class TenantUsage(models.Model):
    """What one tenant uses. It has no table: ``key`` is the tenant's name, percent-encoded. ``view`` is to look."""

    key = models.CharField(_("key"), max_length=1000, primary_key=True, editable=False)

    objects = NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")

    def __str__(self) -> str:
        return str(self.key)
