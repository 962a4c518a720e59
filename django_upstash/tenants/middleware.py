"""The middleware that finds the tenant of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.signals import setting_changed
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from django_upstash import callbacks
from django_upstash.tenants.current import tenant_context
from django_upstash.tenants.settings import TenantSettings
from django_upstash.tenants.tenant import Tenant
from django_upstash.tenants.tenant_keys import space

__all__ = ["TenantMiddleware"]

Find = Callable[[HttpRequest], Any]
_WHAT = 'The function of UPSTASH_TENANTS["FIND"]'


class TenantMiddleware:
    """
    Finds the tenant by the header, the subdomain or the function that ``UPSTASH_TENANTS`` names.

    It is ``request.tenant`` and ``current_tenant()``, or None if there is none; with ``REQUIRED`` that is a 404.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        found = callbacks.call(_WHAT, _finder(space().settings), request)
        with tenant_context(_found(request, found)):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        find = _finder(space().settings)
        # The project's function may query the database; ours does no I/O.
        is_ours = space().settings.find is None
        found = find(request) if is_ours else await callbacks.acall(_WHAT, find, request)
        with tenant_context(_found(request, found)):
            response: HttpResponseBase = await self.get_response(request)
            return response


def _found(request: HttpRequest, found: Any) -> Tenant | None:
    tenant = found if isinstance(found, Tenant) else None if found is None else _named(callbacks.text(_WHAT, found))
    if tenant is None and space().settings.required:
        raise Http404("There is no tenant of that name.")
    request.tenant = tenant  # type: ignore[attr-defined]
    return tenant


def _named(name: str) -> Tenant | None:
    if not name:
        return None
    try:
        return Tenant(name)
    except ValueError:  # a client may send anything there
        return None


@cache
def _finder(settings: TenantSettings) -> Find:
    if settings.find is not None:
        found: Find = import_string(settings.find)
        return found
    if settings.subdomain_of:
        return lambda request: _subdomain(request, f".{settings.subdomain_of}")
    return lambda request: request.headers.get(settings.header) if settings.header else None


def _subdomain(request: HttpRequest, ending: str) -> str | None:
    host = request.get_host().lower().partition(":")[0].rstrip(".")
    name = host.removesuffix(ending)
    return name if name != host and "." not in name else None


def _forget_changed(*, setting: str, **kwargs: object) -> None:
    if setting == "UPSTASH_TENANTS":
        _finder.cache_clear()


setting_changed.connect(_forget_changed, dispatch_uid="django_upstash.tenants.middleware")
