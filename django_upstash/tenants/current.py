"""The tenant on whose behalf the code runs, in this thread or task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest

from django_upstash.tenants.tenant import Tenant

_current: ContextVar[Tenant | None] = ContextVar("django_upstash_tenant", default=None)


def current_tenant() -> Tenant | None:
    """Return the tenant that the middleware has found, or that ``tenant_context`` names; None outside of both."""
    return _current.get()


@contextmanager
def tenant_context(tenant: Tenant | str | None) -> Iterator[Tenant | None]:
    """Run a block on behalf of a tenant, such as a job of a queue, or of none."""
    found = Tenant(tenant) if isinstance(tenant, str) else tenant
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def flag_is_active(request: HttpRequest, name: str) -> bool:
    """Tell whether a flag of the current tenant is on for a request's user; False where there is no tenant."""
    tenant = current_tenant()
    if tenant is None:
        return False
    decided: bool | None = tenant.flags.decided(name)
    # The user is only asked for where that matters: it may be a session's to tell.
    if decided is not None:
        return decided
    user = getattr(request, "user", None)
    return bool(tenant.flags.is_active(name, user, language=getattr(request, "LANGUAGE_CODE", None)))


async def aflag_is_active(request: HttpRequest, name: str) -> bool:
    """Async version of ``flag_is_active``."""
    tenant = current_tenant()
    if tenant is None:
        return False
    decided: bool | None = await tenant.flags.adecided(name)
    if decided is not None:
        return decided
    user = await request.auser() if hasattr(request, "auser") else getattr(request, "user", None)
    return bool(await tenant.flags.ais_active(name, user, language=getattr(request, "LANGUAGE_CODE", None)))


def switch_is_active(name: str) -> bool:
    """Tell whether a switch of the current tenant is on; False where there is no tenant."""
    tenant = current_tenant()
    return tenant is not None and bool(tenant.flags.switch_is_active(name))


async def aswitch_is_active(name: str) -> bool:
    """Async version of ``switch_is_active``."""
    tenant = current_tenant()
    return tenant is not None and bool(await tenant.flags.aswitch_is_active(name))


def sample_is_active(name: str) -> bool:
    """Tell, by chance, whether this call is among a sample of the current tenant; False if there is none."""
    tenant = current_tenant()
    return tenant is not None and bool(tenant.flags.sample_is_active(name))


async def asample_is_active(name: str) -> bool:
    """Async version of ``sample_is_active``."""
    tenant = current_tenant()
    return tenant is not None and bool(await tenant.flags.asample_is_active(name))
