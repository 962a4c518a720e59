"""The Django app: registers the system checks, opens no connection and imports no client library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, register
from django.utils.module_loading import import_string

from django_upstash.features import Check, features
from django_upstash.settings import conf

TAG = "django_upstash"
CHECKS = (
    Check("django_upstash.settings.checks.check_connections", tags=(Tags.caches,)),
    Check("django_upstash.settings.checks.check_key_prefix", tags=(Tags.security,)),
    Check("django_upstash.settings.checks.check_features"),
    Check("django_upstash.settings.checks.check_deployment", tags=(Tags.security,), deploy=True),
)


class DeferredChecks:
    """
    All checks of one kind, as one for Django: they are imported when they run.

    A process that serves requests runs no checks, and should not pay for their imports.
    """

    def __init__(self, tags: tuple[str, ...], deploy: bool) -> None:
        self.kind = (tags, deploy)

    def __call__(self, app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> list[CheckMessage]:
        checks = [*CHECKS, *(check for feature in features() for check in feature.checks)]
        wanted = [import_string(check.function) for check in checks if (check.tags, check.deploy) == self.kind]
        return [message for check in wanted for message in check(app_configs, **kwargs)]


# Objects of this module, for Django tells checks that are registered twice by what they are.
DEFERRED = (
    DeferredChecks((), deploy=False),
    DeferredChecks((Tags.caches,), deploy=False),
    DeferredChecks((Tags.security,), deploy=False),
    DeferredChecks((Tags.security,), deploy=True),
)


class DjangoUpstashConfig(AppConfig):
    name = "django_upstash"
    verbose_name = "Upstash"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        conf.hide_credentials()
        for checks in DEFERRED:
            register(checks, *checks.kind[0], TAG, deploy=checks.kind[1])
