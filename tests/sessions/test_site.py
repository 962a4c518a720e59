"""The example site's pages for logging in and out, by Django's test client and by real HTTP, over both routes."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import Cookie, CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

import pytest
from django.contrib.auth import user_logged_in
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.test import AsyncClient, Client
from django.test.testcases import QuietWSGIRequestHandler

from django_upstash.sessions import SessionStore
from tests.servers import Server
from tests.sessions.accounts import NAME, PASSWORD, one_user

pytestmark = pytest.mark.matrix

CLIENTS = 32


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(settings: Any, configure: Callable[..., None]) -> None:
    """The example site, on the tests' servers."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "example_project.pages"]
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    settings.ROOT_URLCONF = "example_project.urls"
    settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL, settings.LOGOUT_REDIRECT_URL = "login", "devices", "login"
    settings.MIDDLEWARE = [
        path.replace("django.contrib.sessions.middleware", "django_upstash.sessions.middleware")
        for path in settings.MIDDLEWARE
    ]
    settings.AUTHENTICATION_BACKENDS = ["tests.sessions.accounts.OneUser"]
    configure(INDEX=True)


@pytest.fixture
def user(site: None, without_last_login: None) -> User:
    # In this order: setting INSTALLED_APPS has the apps connect their signals again.
    return one_user()


class SiteServer(ThreadedWSGIServer):
    request_queue_size = 4 * CLIENTS  # of Django's ten, a crowd of clients overflows


@pytest.fixture
def server(user: User) -> Iterator[str]:
    """The address of the site over HTTP."""
    with SiteServer(("127.0.0.1", 0), QuietWSGIRequestHandler) as server:
        server.set_app(WSGIHandler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def logged_in(agent: str) -> Client:
    client = Client(headers={"user-agent": agent})
    response = client.post("/login/", {"username": NAME, "password": PASSWORD})
    assert response.status_code == 302
    return client


def test_devices__need_a_login(user: User) -> None:
    assert Client().get("/devices/").headers["Location"] == "/login/?next=/devices/"


def test_devices__of_one_user(user: User) -> None:
    phone, laptop = logged_in("Phone"), logged_in("Laptop")
    page = phone.get("/devices/").content.decode()
    assert (page.count("this device"), page.count("Log out there")) == (1, 1)
    assert "Laptop" in page

    (ended,) = re.findall(r'name="session" value="(\w+)"', page)
    assert phone.post("/devices/", {"session": ended}).status_code == 302
    assert laptop.get("/devices/").status_code == 302
    assert phone.get("/devices/").status_code == 200


def test_devices__everywhere_else(user: User) -> None:
    clients = [logged_in(str(number)) for number in range(3)]
    clients[0].post("/devices/", {"everywhere": ""})
    assert [client.get("/devices/").status_code for client in clients] == [200, 302, 302]


def test_login__changes_the_id_and_logout_ends_it(user: User) -> None:
    client = Client()
    client.post("/login/", {"username": NAME, "password": PASSWORD})
    first = client.cookies["sessionid"].value
    client.post("/logout/")
    assert client.cookies["sessionid"].value == ""
    thief = Client()
    thief.cookies["sessionid"] = first
    assert thief.get("/devices/").status_code == 302


def test_devices__under_asgi(user: User, runner: Any) -> None:
    async def visit() -> list[int]:
        client = AsyncClient()
        await client.aforce_login(user)
        answers = [await client.get("/devices/"), await client.post("/logout/"), await client.get("/devices/")]
        return [answer.status_code for answer in answers]

    assert runner.run(visit()) == [200, 302, 302]


def post(browser: OpenerDirector, url: str, **fields: str) -> str:
    """Open a page, send its form, and return the page that follows."""
    page = browser.open(url).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token, page
    form = {"csrfmiddlewaretoken": token[1], **fields}
    return str(browser.open(url, urlencode(form).encode()).read().decode())


@pytest.mark.default_cases(1)
def test_devices__of_many_clients_over_http(server: str) -> None:
    browsers = [build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar())) for _ in range(CLIENTS)]

    def log_in(browser: OpenerDirector) -> bool:
        return "this device" in post(browser, f"{server}/login/", username=NAME, password=PASSWORD)

    def is_logged_in(browser: OpenerDirector) -> bool:
        return "this device" in browser.open(f"{server}/devices/").read().decode()

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert all(pool.map(log_in, browsers))
        assert all(pool.map(is_logged_in, browsers))
        first, *others = browsers
        page = first.open(f"{server}/devices/").read().decode()
        assert page.count("Log out there") == CLIENTS - 1
        page = post(first, f"{server}/devices/", everywhere="")
        assert page.count("Log out there") == 0
        assert not any(pool.map(is_logged_in, others))
    assert is_logged_in(first)


@pytest.fixture
def cart(user: User) -> str:
    """The id of an anonymous visitor's stored session."""
    session = SessionStore()
    session["cart"] = [1]
    session.save()
    return str(session.session_key)


def visitor(key: str) -> OpenerDirector:
    """Return a browser that brings a session's cookie, and follows redirects."""
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(jar := CookieJar()))
    attributes: Any = (False, "127.0.0.1", True, False, "/", True, False, None, True, None, None, {})
    jar.set_cookie(Cookie(0, "sessionid", key, None, *attributes))
    return browser


def test_login__twice_at_once_from_one_anonymous_session(server: str, cart: str) -> None:
    """As by a double click: both requests have read the session, and changed it, before one of them stores it."""
    both = threading.Barrier(2)

    def meet(**kwargs: Any) -> None:
        both.wait(timeout=30)

    user_logged_in.connect(meet)
    try:
        with ThreadPoolExecutor(2) as pool:
            pages = list(
                pool.map(lambda _: post(visitor(cart), f"{server}/login/", username=NAME, password=PASSWORD), range(2))
            )
    finally:
        user_logged_in.disconnect(meet)
    assert all("this device" in page for page in pages)
    assert SessionStore(cart).get("cart") is None


def test_login__whose_second_round_trip_fails_keeps_the_cart(server: str, cart: str, valkey: Server) -> None:
    browser = visitor(cart)
    valkey.call("ACL", "SETUSER", "default", "-del")
    try:
        with pytest.raises(HTTPError, match="500"):
            post(browser, f"{server}/login/", username=NAME, password=PASSWORD)
    finally:
        valkey.call("ACL", "SETUSER", "default", "+@all")
    assert SessionStore(cart)["cart"] == [1]
    assert "this device" in post(browser, f"{server}/login/", username=NAME, password=PASSWORD)
