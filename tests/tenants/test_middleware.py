"""The middleware, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.http import Http404, HttpRequest, HttpResponse
from django.test import RequestFactory

from django_upstash.tenants import Tenant, current_tenant, tenant_context
from django_upstash.tenants.middleware import TenantMiddleware

pytestmark = pytest.mark.matrix

Ask = Callable[..., Tenant | None]


@pytest.fixture(params=["native"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, configure: Any, settings: Any) -> Ask:
    """Return ``ask(path, **headers)``, which sends a request through the middleware and returns its tenant."""
    settings.ALLOWED_HOSTS = ["*"]
    seen: list[Tenant | None] = []

    def get_response(request: Any) -> HttpResponse:
        assert request.tenant is current_tenant()
        seen.append(request.tenant)
        return HttpResponse("page")

    async def aget_response(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        return get_response(request)

    async def arespond(made: HttpRequest) -> Any:
        middleware: Any = TenantMiddleware(aget_response)
        return await middleware(made)

    def ask(path: str = "/", **headers: str) -> Tenant | None:
        made = RequestFactory().get(path, headers=headers)
        middleware: Any = TenantMiddleware(get_response)
        response = middleware(made) if request.param == "sync" else asyncio.run(arespond(made))
        assert response.content == b"page"
        assert current_tenant() is None
        return seen[-1]

    return ask


def test_header(ask: Ask, configure: Any) -> None:
    configure(HEADER="X-Tenant")
    assert ask(X_Tenant="acme") == Tenant("acme")
    assert ask() is None
    for name in ("default", "a" * 200):  # which no tenant can be called
        assert ask(X_Tenant=name) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("acme.example.com", "acme"),
        ("ACME.Example.COM:8000", "acme"),
        ("example.com", None),
        ("www.acme.example.com", None),
        ("acme.example.org", None),
        ("acmeexample.com", None),
        (".example.com", None),
        ("[::1]:8000", None),
    ],
)
def test_subdomain(ask: Ask, configure: Any, host: str, expected: str | None) -> None:
    configure(SUBDOMAIN_OF="example.com")
    found = ask(host=host)
    assert (found and found.name) == expected


@pytest.mark.parametrize("name", ["by_path", "by_path_awaited"])
def test_find__a_function_of_the_project(ask: Ask, configure: Any, name: str) -> None:
    configure(FIND=f"tests.tenants.sites.{name}")
    assert ask("/acme/") == Tenant("acme")
    assert ask("/") is None


def test_find__may_return_a_tenant(ask: Ask, configure: Any) -> None:
    configure(FIND="tests.tenants.sites.as_tenant")
    assert ask() == Tenant("globex")


def test_nothing_named__finds_nobody(ask: Ask) -> None:
    assert ask() is None


def test_required__is_404_without_a_tenant(ask: Ask, configure: Any) -> None:
    configure(HEADER="X-Tenant", REQUIRED=True)
    assert ask(X_Tenant="acme") == Tenant("acme")
    with pytest.raises(Http404):
        ask()
    assert current_tenant() is None


@pytest.mark.usefixtures("configure")
def test_requests__at_the_same_time_have_their_own(configure: Any) -> None:
    configure(HEADER="X-Tenant")

    async def get_response(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0.001)
        return HttpResponse(str(current_tenant()))

    async def ask() -> list[str]:
        middleware: Any = TenantMiddleware(get_response)
        requests = [RequestFactory().get("/", headers={"X-Tenant": f"tenant {number}"}) for number in range(20)]
        return [response.content.decode() for response in await asyncio.gather(*map(middleware, requests))]

    assert asyncio.run(ask()) == [f"tenant {number}" for number in range(20)]


def test_context__nests_and_ends() -> None:
    with tenant_context("acme") as outer:
        with tenant_context(None):
            assert current_tenant() is None
        with pytest.raises(RuntimeError), tenant_context(Tenant("globex")):
            raise RuntimeError
        assert current_tenant() is outer
    assert current_tenant() is None
