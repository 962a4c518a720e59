"""The pages while the server that keeps the sessions of their readers is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.utils.deprecation import MiddlewareMixin

from tests.admin.conftest import LIST
from tests.fault_proxy import FaultProxy
from tests.outages import find_back
from tests.servers import Server
from tests.sessions.accounts import NAME, PASSWORD

ADMIN_PAGES = [
    LIST,
    "/admin/django_upstash/circuitbreakerstate/",
    "/admin/django_upstash/tenantusage/",
    f"{LIST}do/reset/",
]
OTHER_PAGES = ["/admin/", "/devices/", "/cached/default/page/"]


@pytest.fixture
def site(settings: Any, valkey: Server, upstash: Any, admin_user: Any) -> Any:
    """The example site with a wire that can be cut, and the cookie of a superuser."""
    from example_project import settings as example

    with FaultProxy(valkey.socket_path) as proxy:
        settings.UPSTASH = {"default": {"URL": proxy.url, "TIMEOUT": 20, "RETRIES": 0}}
        settings.CACHES = {**example.CACHES}
        settings.ROOT_URLCONF, settings.MIDDLEWARE = "example_project.urls", example.MIDDLEWARE
        settings.SESSION_ENGINE, settings.UPSTASH_SESSIONS = example.SESSION_ENGINE, {}
        settings.LOGIN_URL = "login"
        client = Client()
        client.force_login(admin_user)
        yield proxy, client.cookies["sessionid"].value


def clients(cookie: str) -> tuple[Client, AsyncClient]:
    made = Client(raise_request_exception=False), AsyncClient(raise_request_exception=False)
    for client in made:
        client.cookies["sessionid"] = cookie
    return made


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*ADMIN_PAGES, *OTHER_PAGES])
@pytest.mark.parametrize("saves_every_request", [False, True])
def test_pages__explain_an_outage_in_place_of_500(
    site: Any, settings: Any, path: str, saves_every_request: bool, caplog: pytest.LogCaptureFixture
) -> None:
    proxy, cookie = site
    settings.SESSION_SAVE_EVERY_REQUEST = saves_every_request
    proxy.refuse()
    proxy.sever()
    response = clients(cookie)[0].get(path)
    assert response.status_code == 503
    page = response.content.decode()
    assert "does not answer" in page
    assert "redis_health" in page
    assert str(proxy.port) not in page
    assert "connection: default)" in caplog.text
    assert (response.headers["Retry-After"], "sessionid" in response.cookies) == ("5", False)
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.django_db
def test_admin_pages__need_no_middleware_for_that(site: Any, settings: Any) -> None:
    proxy, cookie = site
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.endswith("OutageMiddleware")]
    proxy.refuse()
    proxy.sever()
    client, _ = clients(cookie)
    assert [client.get(path).status_code for path in ADMIN_PAGES] == [503] * len(ADMIN_PAGES)


@pytest.mark.django_db(transaction=True)
def test_pages__explain_an_outage_under_asgi(site: Any, runner: Callable[..., Any]) -> None:
    proxy, cookie = site
    proxy.refuse()
    proxy.sever()
    _, client = clients(cookie)

    async def visit() -> list[int]:
        return [(await client.get(path)).status_code for path in (LIST, *OTHER_PAGES)]

    assert runner(visit()) == [503] * 4


class ReadsTheSession(MiddlewareMixin):
    def process_request(self, request: Any) -> None:
        request.session.get("theme")


class ReadsTheSessionLater(MiddlewareMixin):
    def process_response(self, request: Any, response: Any) -> Any:
        request.session.get("theme")
        return response


def fails_otherwise(get_response: Any) -> Any:
    """Return a middleware that fails by a mistake of its own, once it is past an outage."""

    def middleware(request: Any) -> Any:
        get_response(request)
        raise ValueError("a mistake")

    return middleware


def in_front(settings: Any, name: str, before: str = "CommonMiddleware") -> None:
    """Put a middleware into the site's, before one of it."""
    names = list(settings.MIDDLEWARE)
    names.insert(next(place for place, one in enumerate(names) if one.endswith(before)), name)
    settings.MIDDLEWARE = names


IN_MIDDLEWARE = {
    "process_request": lambda settings: in_front(settings, f"{__name__}.ReadsTheSession"),
    "process_response": lambda settings: in_front(settings, f"{__name__}.ReadsTheSessionLater"),
    "process_view": lambda settings: in_front(
        settings, "django.contrib.auth.middleware.LoginRequiredMiddleware", "MessageMiddleware"
    ),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("place", IN_MIDDLEWARE)
def test_outage_in_a_middleware__is_explained_too(
    site: Any, settings: Any, place: str, debug: bool, runner: Callable[..., Any]
) -> None:
    proxy, cookie = site
    settings.DEBUG = debug
    IN_MIDDLEWARE[place](settings)
    proxy.refuse()
    proxy.sever()
    client, async_client = clients(cookie)

    async def visit() -> Any:
        return await async_client.get("/devices/")

    for response in (client.get("/devices/"), runner(visit())):
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert "does not answer" in response.content.decode()
        assert "Content-Security-Policy" in response.headers  # of the middleware before it


@pytest.mark.django_db
def test_login__whose_session_cannot_be_stored_is_explained(site: Any, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = ["tests.sessions.accounts.OneUser"]
    proxy, _ = site
    proxy.refuse()
    proxy.sever()
    response = Client(raise_request_exception=False).post("/login/", {"username": NAME, "password": PASSWORD})
    assert (response.status_code, "sessionid" in response.cookies) == (503, False)


@pytest.mark.django_db
def test_other_errors__stay_what_they_are(site: Any, settings: Any) -> None:
    proxy, cookie = site
    in_front(settings, f"{__name__}.ReadsTheSession")
    in_front(settings, f"{__name__}.fails_otherwise", "upstash.sessions.middleware.SessionMiddleware")
    proxy.refuse()
    proxy.sever()
    assert clients(cookie)[0].get("/devices/").status_code == 500


@pytest.fixture
def runner() -> Callable[..., Any]:
    import asyncio

    return asyncio.run


@pytest.mark.django_db
def test_login__goes_on_after_the_outage(site: Any) -> None:
    from django_upstash.connections import connections

    proxy, cookie = site
    client, _ = clients(cookie)
    proxy.refuse()
    proxy.sever()
    assert client.get(LIST).status_code == 503
    proxy.heal()
    find_back(connections["default"])
    assert client.get(LIST).status_code == 200
