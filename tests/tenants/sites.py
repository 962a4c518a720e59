"""Functions of a project that find the tenant of a request."""

from __future__ import annotations

from django.http import HttpRequest

from django_upstash.tenants import Tenant


def by_path(request: HttpRequest) -> str | None:
    return request.path.strip("/") or None


async def by_path_awaited(request: HttpRequest) -> str | None:
    return request.path.strip("/") or None


def as_tenant(request: HttpRequest) -> Tenant:
    return Tenant("globex")
