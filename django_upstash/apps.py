"""The Django app: registers the system checks, opens no connection and imports no client library."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register

from django_upstash import checks
from django_upstash.idempotency.checks import check_idempotency
from django_upstash.sessions.checks import check_sessions
from django_upstash.tenants.checks import check_tenants


class DjangoUpstashConfig(AppConfig):
    name = "django_upstash"
    verbose_name = "Upstash"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(checks.check_connections, Tags.caches, checks.TAG)
        register(checks.check_caches, Tags.caches, checks.TAG)
        register(check_sessions, checks.TAG)
        register(check_idempotency, checks.TAG)
        register(check_tenants, checks.TAG)
        register(checks.check_ratelimit, checks.TAG)
        register(checks.check_breakers, checks.TAG)
        register(checks.check_deployment, Tags.security, checks.TAG, deploy=True)
