"""The middleware: what Django's does, without a thread under ASGI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions import middleware as django_middleware
from django.contrib.sessions.backends.cache import SessionStore as CacheSessionStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from django_upstash.sessions import SessionStore
from django_upstash.sessions.middleware import SessionMiddleware

pytestmark = pytest.mark.matrix

View = Callable[[Any], Any]


@pytest.fixture(params=["native"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["ours sync", "ours async", "Django's"])
def respond(request: pytest.FixtureRequest, configure: Any, settings: Any, runner: asyncio.Runner) -> Any:
    """Return ``respond(view, key)``, which answers a request that has this session id in its cookie."""

    def answer(view: View, request: HttpRequest) -> HttpResponse:
        response = view(request.session)
        return response if isinstance(response, HttpResponse) else HttpResponse("page")

    async def aanswer(view: View, request: HttpRequest) -> HttpResponse:
        # The view's session is read by then: what it does with it needs no I/O.
        await request.session.aget("")
        return answer(view, request)

    def respond(view: View, key: str | None = None, *, reads: bool = True) -> Any:
        made = RequestFactory().get("/")
        if key is not None:
            made.COOKIES[settings.SESSION_COOKIE_NAME] = key
        if request.param == "ours async":

            async def get_response(request: HttpRequest) -> HttpResponse:
                return await aanswer(view, request) if reads else answer(view, request)

            return runner.run(called(SessionMiddleware(get_response), made))
        kind = SessionMiddleware if request.param == "ours sync" else django_middleware.SessionMiddleware
        return called(kind(lambda request: answer(view, request)), made)

    return respond


def called(middleware: Any, request: HttpRequest) -> Any:
    """Call a middleware, of which the stubs leave open which of its two forms it is."""
    return middleware(request)


@pytest.fixture
def key(configure: Any) -> str:
    session = SessionStore()
    session["hello"] = "world"
    session.save()
    return str(session.session_key)


def modify(session: Any) -> None:
    session["hello"] = "again"


def test_session__that_is_not_used_sets_nothing(respond: Any) -> None:
    response = respond(lambda session: None, reads=False)
    assert not response.cookies
    assert "Vary" not in response.headers


def test_session__that_is_read_varies_on_the_cookie(respond: Any, key: str) -> None:
    response = respond(lambda session: session.get("hello"), key)
    assert not response.cookies
    assert response.headers["Vary"] == "Cookie"


def test_session__that_is_modified_is_saved_and_sets_the_cookie(respond: Any, key: str, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_DOMAIN, settings.SESSION_COOKIE_PATH = ".example.local", "/app/"
    cookie = respond(modify, key).cookies["sessionid"]
    assert cookie.value == key
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
    assert (cookie["domain"], cookie["path"]) == (".example.local", "/app/")
    assert cookie["max-age"] == settings.SESSION_COOKIE_AGE
    assert cookie["expires"]
    assert SessionStore(key)["hello"] == "again"


def test_cookie__without_httponly_and_secure(respond: Any, key: str, settings: Any) -> None:
    settings.SESSION_COOKIE_HTTPONLY = False
    cookie = respond(modify, key).cookies["sessionid"]
    assert (cookie["secure"], cookie["httponly"]) == ("", "")


def test_cookie__that_lasts_until_the_browser_is_closed(respond: Any, key: str, settings: Any) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    cookie = respond(modify, key).cookies["sessionid"]
    assert (cookie["max-age"], cookie["expires"]) == ("", "")


def test_cookie__of_a_custom_lifetime(respond: Any, key: str) -> None:
    cookie = respond(lambda session: session.set_expiry(timedelta(seconds=100)), key).cookies["sessionid"]
    assert 98 <= cookie["max-age"] <= 100


def test_session__is_created_at_its_first_use(respond: Any) -> None:
    cookie = respond(modify).cookies["sessionid"]
    assert SessionStore(cookie.value)["hello"] == "again"


def test_response__of_an_error_saves_nothing(respond: Any, key: str) -> None:
    def fail(session: Any) -> HttpResponse:
        modify(session)
        return HttpResponse(status=503)

    assert not respond(fail, key).cookies
    assert SessionStore(key)["hello"] == "world"


def test_session__that_is_emptied_deletes_the_cookie(respond: Any, key: str, settings: Any) -> None:
    settings.SESSION_COOKIE_DOMAIN, settings.SESSION_COOKIE_PATH = ".example.local", "/app/"

    def end(session: Any) -> None:
        session._session_cache = {}
        session._session_key = None

    cookie = respond(end, key).cookies["sessionid"]
    assert (cookie.value, cookie["max-age"]) == ("", 0)
    assert (cookie["domain"], cookie["path"], cookie["samesite"]) == (".example.local", "/app/", "Lax")


def test_session__that_is_gone_deletes_the_cookie(respond: Any, key: str) -> None:
    SessionStore(key).flush()
    assert respond(lambda session: session.get("hello"), key).cookies["sessionid"].value == ""


def test_session__that_is_empty_and_new_sets_no_cookie(respond: Any) -> None:
    response = respond(lambda session: session.get("hello"))
    assert not response.cookies
    assert response.headers["Vary"] == "Cookie"


def test_session__emptied_but_kept_is_saved(respond: Any, key: str) -> None:
    def empty(session: Any) -> None:
        del session["hello"]

    assert respond(empty, key).cookies["sessionid"].value == key
    assert dict(SessionStore(key).items()) == {}


def test_session__removed_meanwhile_interrupts_the_request(respond: Any, key: str) -> None:
    def lose(session: Any) -> None:
        modify(session)
        # As another request, which has a connection of its own.
        thread = threading.Thread(target=lambda: SessionStore(key).flush())
        thread.start()
        thread.join()

    with pytest.raises(SessionInterrupted, match="deleted before the request completed"):
        respond(lose, key)


def test_save_every_request__sets_the_cookie_each_time(respond: Any, key: str, settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    assert respond(lambda session: session.get("hello"), key).cookies["sessionid"].value == key


def test_save_every_request__with_a_dead_cookie_and_a_view_that_does_not_look(
    key: str, settings: Any, runner: asyncio.Runner
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    SessionStore(key).flush()
    request = RequestFactory().get("/")
    request.COOKIES["sessionid"] = key
    response = called(SessionMiddleware(lambda request: HttpResponse()), request)
    assert response.cookies["sessionid"].value == ""


def test_response__without_a_session_passes(configure: Any) -> None:
    def get_response(request: HttpRequest) -> HttpResponse:
        del request.session
        return HttpResponse("page")

    assert called(SessionMiddleware(get_response), RequestFactory().get("/")).content == b"page"


async def drive(middleware: type) -> str:
    async def get_response(request: HttpRequest) -> HttpResponse:
        await request.session.aset("hello", "world")
        return HttpResponse()

    response: HttpResponse = await middleware(get_response)(RequestFactory().get("/"))
    return response.cookies["sessionid"].value


def test_asgi__takes_no_thread(configure: Any, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("a thread was taken")

    monkeypatch.setattr("asgiref.sync.SyncToAsync.__call__", refuse)
    assert SessionStore(runner.run(drive(SessionMiddleware)))["hello"] == "world"
    with pytest.raises(AssertionError, match="a thread was taken"):
        runner.run(drive(django_middleware.SessionMiddleware))


def test_asgi__of_another_engine(configure: Any, settings: Any, runner: asyncio.Runner) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    session = CacheSessionStore(runner.run(drive(SessionMiddleware)))
    assert session["hello"] == "world"
