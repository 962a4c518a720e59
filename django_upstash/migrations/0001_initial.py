"""The models of the admin's pages, for their permissions. Nothing is created in the database."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="RateLimitCounter",
            fields=[
                (
                    "key",
                    models.CharField(
                        editable=False, max_length=1000, primary_key=True, serialize=False, verbose_name="key"
                    ),
                ),
            ],
            options={
                "verbose_name": "rate-limit counter",
                "verbose_name_plural": "rate-limit counters",
                "managed": False,
                "default_permissions": ("view", "change", "delete"),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="CircuitBreakerState",
            fields=[
                (
                    "key",
                    models.CharField(
                        editable=False, max_length=1000, primary_key=True, serialize=False, verbose_name="key"
                    ),
                ),
            ],
            options={
                "verbose_name": "circuit breaker",
                "verbose_name_plural": "circuit breakers",
                "managed": False,
                "default_permissions": ("view", "change"),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="TenantUsage",
            fields=[
                (
                    "key",
                    models.CharField(
                        editable=False, max_length=1000, primary_key=True, serialize=False, verbose_name="key"
                    ),
                ),
            ],
            options={
                "verbose_name": "tenant",
                "verbose_name_plural": "tenants",
                "managed": False,
                "default_permissions": ("view",),
                "base_manager_name": "objects",
            },
        ),
    ]
