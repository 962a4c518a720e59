"""The health endpoint as a project includes it, and with the arguments that it takes."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import include, path

from django_upstash.health.views import areadiness, readiness


def is_internal(request: HttpRequest) -> bool:
    return request.headers.get("X-Internal") == "yes"


async def is_internal_too(request: HttpRequest) -> bool:
    return is_internal(request)


_BOTH = {"aliases": ["native", "rest"], "timeout": 20, "max_age": 600}
_TOLD = {"aliases": ["native"], "timeout": 20, "max_age": 600, "details": is_internal}

urlpatterns = [
    path("sync/", include("django_upstash.health.urls")),
    path("async/", include("django_upstash.health.async_urls", namespace="async-health")),
    path("sync/both/", readiness, _BOTH),
    path("async/both/", areadiness, _BOTH),
    path("sync/told/", readiness, _TOLD),
    path("async/told/", areadiness, _TOLD),
    path("sync/awaited/", readiness, {**_TOLD, "details": is_internal_too}),
    path("async/awaited/", areadiness, {**_TOLD, "details": is_internal_too}),
    path("sync/away/", readiness, {"aliases": ["away"], "timeout": 0.2, "details": True}),
    path("async/away/", areadiness, {"aliases": ["away"], "timeout": 0.2, "details": True}),
    path("sync/silent/", readiness, {"aliases": ["silent"], "timeout": 20, "details": True}),
    path("async/silent/", areadiness, {"aliases": ["silent"], "timeout": 20, "details": True}),
    path("sync/always/", readiness, {"aliases": ["native"], "timeout": 20, "max_age": 0}),
    path("async/always/", areadiness, {"aliases": ["native"], "timeout": 20, "max_age": 0}),
]
