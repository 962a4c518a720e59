"""The API's limits, kept on the connection that the address names: each route is limited by itself."""

from __future__ import annotations

from typing import Any

from django_upstash.ratelimit import Concurrency
from django_upstash.throttling import AnonRateThrottle, PolicyThrottle, ScopedRateThrottle, UserRateThrottle


def is_forbidden(response: Any) -> bool:
    return bool(response.status_code == 403)


class OnRoute:
    """Decides on the connection of the view's ``alias``."""

    def allow_request(self, request: Any, view: Any) -> bool:
        self.alias = view.kwargs["alias"]
        return bool(super().allow_request(request, view))  # type: ignore[misc]


class Burst(OnRoute, UserRateThrottle):
    scope = "burst"


class Sustained(OnRoute, UserRateThrottle):
    scope = "sustained"


class Writes(OnRoute, ScopedRateThrottle):
    """Counts by ``throttle_scope`` of the view."""


class FailedLogins(OnRoute, AnonRateThrottle):
    scope = "failed logins"
    charge_when = is_forbidden


class Exports(OnRoute, PolicyThrottle):
    scope = "exports"
    policies = ("10/min", "100/day", Concurrency(1, lease=30, scope="exports at once"))
