"""The middleware: limits of a whole site, waiting and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from django_upstash.ratelimit import Concurrency, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.settings import ratelimit_settings
from django_upstash.ratelimit.web import RateLimitMiddleware, ratelimit
from django_upstash.ratelimit.web.view_limit import Terms
from django_upstash.settings.environment import ratelimit_from_env

pytestmark = pytest.mark.matrix
MIDDLEWARE = "django_upstash.ratelimit.web.RateLimitMiddleware"
ADDRESS = "127.0.0.1"


class OnRest(RateLimitMiddleware):
    terms = Terms(identity="address", alias="rest")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


async def awaited(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


@ratelimit("1/h", scope="decorated", alias="native")
def failing(request: HttpRequest) -> HttpResponse:
    raise ArithmeticError


urlpatterns = [path("", page), path("awaited/", awaited), path("failing/", failing), path("health/live", page)]


def named(request: HttpRequest) -> str | None:
    return request.headers.get("X-Name")


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Callable[..., HttpResponse]:
    """Return ``get(path, **headers)``, by the WSGI handler or by the ASGI one."""

    def get(path: str = "/", **headers: str) -> Any:
        if request.param == "sync":
            return Client(raise_request_exception=False).get(path, headers=headers)
        return runner.run(aget(path, headers))

    return get


async def aget(path: str, headers: dict[str, str]) -> Any:
    return await AsyncClient(raise_request_exception=False).get(path, headers=headers)


@pytest.fixture
def limited(settings: Any, upstash: dict[str, Any], configure: Callable[..., None]) -> Callable[..., None]:
    """Return ``limited(**entry)``: the site with the middleware, over ``UPSTASH["default"]``."""
    settings.UPSTASH = {**upstash, "default": upstash["native"]}
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [MIDDLEWARE]
    settings.ALLOWED_HOSTS = ["testserver"]
    return configure


def statuses(get: Any, number: int, *args: Any, **headers: str) -> list[int]:
    return [get(*args, **headers).status_code for _ in range(number)]


def test_policies__of_the_settings(limited: Any, get: Any) -> None:
    limited(POLICIES=["2/h", TokenBucket("1/h", burst=5, scope="burst")])
    assert statuses(get, 3) == [200, 200, 429]
    refused = get()
    assert refused.headers["RateLimit-Policy"] == '"site";q=2;w=3600, "burst";q=5;w=18000'
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_default_policy__of_the_environment(limited: Any, get: Any) -> None:
    variables = {"RATE_LIMIT_REQUESTS_PER_MINUTE": "1", "RATE_LIMIT_BURST_SIZE": "2"}
    limited(**ratelimit_from_env(variables))
    assert statuses(get, 3) == [200, 200, 429]
    limited(**ratelimit_from_env({**variables, "RATE_LIMIT_ENABLED": "false"}))
    assert statuses(get, 3) == [200, 200, 200]


def test_site__without_a_policy(limited: Any, get: Any) -> None:
    assert "RateLimit" not in get().headers


def test_exempt_paths__pass(limited: Any, get: Any) -> None:
    limited(POLICIES=["1/h"], EXEMPT_PATHS=["/health/", "/static/"])
    assert statuses(get, 3, "/health/live") == [200, 200, 200]
    assert statuses(get, 2) == [200, 429]


@pytest.mark.parametrize("identity", [named, f"{__name__}.named"])
def test_identity__of_the_settings(identity: Any, limited: Any, get: Any) -> None:
    limited(POLICIES=["1/h"], IDENTITY=identity)
    assert statuses(get, 2, **{"x-name": "a"}) == [200, 429]
    assert statuses(get, 2, **{"x-name": "b"}) == [200, 429]
    assert statuses(get, 2) == [200, 200]


def test_terms__of_a_subclass(limited: Any, get: Any, settings: Any) -> None:
    limited(POLICIES=["1/h"])
    settings.MIDDLEWARE = [f"{__name__}.OnRest"]
    assert statuses(get, 2) == [200, 429]
    policy = SlidingWindow("1/h", scope="site")
    assert RateLimiter(policy, alias="rest").peek(ADDRESS).remaining == 0


def test_views_that_are_awaited(limited: Any, get: Any) -> None:
    limited(POLICIES=["1/h"])
    assert statuses(get, 2, "/awaited/") == [200, 429]


def test_error_page__tells_what_decorators_decided(limited: Any, get: Any) -> None:
    limited(POLICIES=["9/h"])
    found = get("/failing/")
    assert found.status_code == 500
    assert found.headers["RateLimit-Policy"] == '"site";q=9;w=3600, "decorated";q=1;w=3600'
    assert get("/failing/").status_code == 429


def test_error_page__of_a_site_without_a_policy(limited: Any, get: Any) -> None:
    found = get("/failing/")
    assert (found.status_code, found.headers["RateLimit-Policy"]) == (500, '"decorated";q=1;w=3600')


def test_place__of_an_error_page(limited: Any, get: Any) -> None:
    at_once = Concurrency(1, scope="at once")
    limited(POLICIES=[at_once])
    assert statuses(get, 3, "/failing/") == [500, 429, 429]
    assert statuses(get, 2) == [200, 200]
    assert RateLimiter(at_once).peek(ADDRESS).remaining == 1


def test_middleware__is_awaited_where_what_follows_is() -> None:
    assert not iscoroutinefunction(RateLimitMiddleware(page))
    assert iscoroutinefunction(RateLimitMiddleware(awaited))


def test_server_away__follows_the_policy(limited: Any, get: Any, settings: Any) -> None:
    settings.UPSTASH = {"default": {"URL": "redis://127.0.0.1:1"}}
    limited(POLICIES=["1/h"])
    assert statuses(get, 2) == [200, 200]
    limited(ON_FAILURE="closed")
    refused = get()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    limited(ON_FAILURE="local")
    assert statuses(get, 2) == [200, 429]
    assert ratelimit_settings().on_failure == "local"
