"""Django's own ways of caching, on the example site, over both routes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.test import Client

from django_upstash.cache import UpstashCache
from tests.servers import Server

pytestmark = pytest.mark.matrix


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(settings: Any, upstash: dict[str, dict[str, Any]]) -> None:
    """The example site, with a cache for each route of the tests."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "example_project.pages"]
    settings.ROOT_URLCONF = "example_project.urls"
    backend = "django_upstash.cache.UpstashCache"
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
        **{alias: {"BACKEND": backend, "LOCATION": alias, "KEY_PREFIX": "site"} for alias in ("native", "rest")},
    }


@pytest.fixture
def names(valkey: Server) -> Callable[[str], list[bytes]]:
    """Return ``names(part)``: the keys on the server that hold such a part."""
    return lambda part: [key for key in valkey.call("KEYS", "*") if part.encode() in key]


def shown(url: str, element: str = "page") -> str:
    """Return the time that an element of the page shows."""
    response = Client().get(url)
    assert response.status_code == 200
    found = re.search(rf'id="{element}">([\d:.]+)<', response.content.decode())
    assert found
    return found[1]


def test_cache_page(site: None, route: str, names: Callable[[str], list[bytes]]) -> None:
    url = f"/cached/{route}/page/"
    first = shown(url)
    assert shown(url) == first
    assert len(names(".cache_page..GET.")) == 1
    caches[route].clear()
    assert shown(url) != first


def test_update_cache_middleware(site: None, settings: Any, route: str, names: Callable[[str], list[bytes]]) -> None:
    middleware = "django.middleware.cache"
    settings.MIDDLEWARE = [
        f"{middleware}.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        f"{middleware}.FetchFromCacheMiddleware",
    ]
    settings.CACHE_MIDDLEWARE_ALIAS, settings.CACHE_MIDDLEWARE_KEY_PREFIX = route, "whole-site"
    url = f"/cached/{route}/fragment/"  # which caches a part of itself only
    first = shown(url)
    assert shown(url) == first
    assert len(names(".cache_page.whole-site.GET.")) == 1
    caches[route].clear()
    assert shown(url) != first


def test_fragment(site: None, route: str, names: Callable[[str], list[bytes]]) -> None:
    url = f"/cached/{route}/fragment/"
    page, fragment = shown(url), shown(url, "fragment")
    assert shown(url) != page
    assert shown(url, "fragment") == fragment
    assert len(names("template.cache.made")) == 1
    caches[route].clear()
    assert shown(url, "fragment") != fragment


def test_cached__of_a_cache_that_is_not_there(site: None) -> None:
    assert Client().get("/cached/nowhere/page/").status_code == 404


@pytest.mark.django_db
def test_cached_db_sessions(site: None, settings: Any, route: str) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    settings.SESSION_CACHE_ALIAS = route
    User.objects.create_superuser("ada", password="lovelace")
    visitor = Client()
    assert visitor.post("/admin/login/?next=/admin/", {"username": "ada", "password": "lovelace"}).status_code == 302
    cache = caches[route]
    assert isinstance(cache, UpstashCache)

    def is_logged_in() -> bool:
        return visitor.get("/admin/").status_code == 200

    assert is_logged_in()
    assert len(list(cache.iter_keys("*cached_db*"))) == 1
    cache.clear()
    assert is_logged_in()  # from the database, and into the cache again
    Session.objects.all().delete()
    assert is_logged_in()  # from the cache alone
    cache.clear()
    assert not is_logged_in()
