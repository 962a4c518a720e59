"""Outages: what a request is answered with, what of it is kept, and what is never lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.sessions import middleware as django_middleware
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import ConnectionError, ServerAwayError, SessionUnavailableError, UpstashError
from django_upstash.sessions import SessionStore
from django_upstash.sessions.middleware import SessionMiddleware
from tests.fault_proxy import FaultProxy
from tests.outages import find_back
from tests.servers import Server
from tests.sessions.conftest import Open

pytestmark = pytest.mark.matrix

Configure = Callable[..., None]


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def proxy(
    route: str, valkey: Server, local_server: LocalServer, upstash: dict[str, dict[str, Any]], settings: Any
) -> Iterator[FaultProxy]:
    """The wire to the server of the route, which can be cut."""
    rest_port = urlsplit(local_server.url).port or 0
    with FaultProxy(valkey.socket_path if route == "native" else rest_port) as proxy:
        url = proxy.url if route == "native" else f"http://{proxy.host}:{proxy.port}"
        settings.UPSTASH = {**upstash, route: {**upstash[route], "URL": url, "TIMEOUT": 0.5, "RETRIES": 0}}
        yield proxy


@pytest.fixture
def key(proxy: FaultProxy, open_session: Open) -> str:
    """The id of a stored session."""
    session = open_session()
    session["a"] = 1
    session.save()
    return str(session.session_key)


def cut(proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.sever()


def heal(proxy: FaultProxy) -> None:
    proxy.heal()
    for connection in connections.opened():
        find_back(connection)


def test_error__is_the_default(key: str, open_session: Open, proxy: FaultProxy) -> None:
    cut(proxy)
    session = open_session(key)
    with pytest.raises(ConnectionError):
        session.get("a")
    assert session.session_key == key
    assert not session.is_empty()


def test_anonymous__reads_as_empty_and_refuses_to_save(
    key: str, open_session: Open, proxy: FaultProxy, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(ON_FAILURE="anonymous")
    cut(proxy)
    session = open_session(key)
    assert session.get("a") is None
    assert (session.session_key, session.is_empty(), session.is_unavailable) == (key, False, True)
    assert [record.name for record in caplog.records] == ["django_upstash.sessions"]

    heal(proxy)  # too late for this request: what it would store lacks what is there
    session["b"] = 1
    for refused in (session.save, session.create, session.cycle_key):
        with pytest.raises(SessionUnavailableError):
            refused()
    assert session.session_key == key
    again = open_session(key)
    assert dict(again.items()) == {"a": 1}


def test_anonymous__writing_still_fails(key: str, open_session: Open, proxy: FaultProxy, configure: Configure) -> None:
    configure(ON_FAILURE="anonymous")
    new, known = open_session(), open_session(key)
    new["b"] = known["b"] = 1
    cut(proxy)
    for session in (new, known):
        with pytest.raises(UpstashError):
            session.save()
    with pytest.raises(UpstashError):
        known.flush()
    heal(proxy)
    assert dict(open_session(key).items()) == {"a": 1}


def test_anonymous__a_logout_counts_where_the_database_is_back(
    key: str, open_session: Open, proxy: FaultProxy, configure: Configure
) -> None:
    configure(ON_FAILURE="anonymous")
    cut(proxy)
    session = open_session(key)
    session.get("a")
    heal(proxy)
    session.flush()
    assert not session.is_unavailable
    assert session.is_empty()
    session["b"] = 1
    session.save()
    assert open_session(key).get("a") is None


def test_anonymous__a_command_that_is_refused_is_an_outage_too(
    key: str, open_session: Open, valkey: Server, configure: Configure
) -> None:
    configure(ON_FAILURE="anonymous")
    valkey.call("ACL", "SETUSER", "default", "-get")
    try:
        session = open_session(key)
        assert session.get("a") is None
        assert session.is_unavailable
    finally:
        valkey.call("ACL", "SETUSER", "default", "+@all")


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("policy", ["error", "anonymous"])
def test_outage__makes_one_session_wait_and_the_others_ask_nothing(
    key: str, open_session: Open, proxy: FaultProxy, configure: Configure, route: str, policy: str
) -> None:
    configure(ON_FAILURE=policy)
    new = open_session()
    new["a"] = 1
    connection = connections[route]
    connection.availability.pause = 1000.0
    before = connection.meter.requests
    proxy.blackhole()
    errors = []
    for _ in range(10):
        try:
            open_session(key).get("a")
        except UpstashError as error:
            errors.append(type(error).__name__)
    assert errors == ([] if policy == "anonymous" else ["TimeoutError"] + ["ServerAwayError"] * 9)
    with pytest.raises(ServerAwayError):
        new.save()
    assert (connection.meter.requests - before, connection.meter.errors) == (1, 1)

    heal(proxy)
    assert open_session(key).get("a") == 1
    new.save()


def test_outage__a_logout_is_tried_all_the_same(key: str, open_session: Open, proxy: FaultProxy, route: str) -> None:
    session = open_session(key)
    session.get("a")
    connections[route].availability.pause = 1000.0
    cut(proxy)
    with pytest.raises(UpstashError):
        session.save()
    proxy.heal()
    session.flush()
    assert open_session(key).get("a") is None


def respond(middleware: type, key: str, view: Callable[[HttpRequest], Any], settings: Any) -> HttpResponse:
    request = RequestFactory().get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = key

    def get_response(request: HttpRequest) -> HttpResponse:
        view(request)
        return HttpResponse("page")

    response: HttpResponse = middleware(get_response)(request)
    return response


middlewares = pytest.mark.parametrize("middleware", [SessionMiddleware, django_middleware.SessionMiddleware])


@pytest.mark.parametrize("driver", ["sync"])
@middlewares
def test_anonymous__leaves_the_cookie_alone(
    key: str, proxy: FaultProxy, configure: Configure, settings: Any, middleware: type
) -> None:
    configure(ON_FAILURE="anonymous")
    cut(proxy)
    response = respond(middleware, key, lambda request: request.session.get("a"), settings)
    assert response.status_code == 200
    assert not response.cookies
    assert response.headers["Vary"] == "Cookie"


@pytest.mark.parametrize("driver", ["sync"])
def test_anonymous__leaves_the_cookie_alone_where_every_request_saves(
    key: str, proxy: FaultProxy, configure: Configure, settings: Any
) -> None:
    configure(ON_FAILURE="anonymous")
    settings.SESSION_SAVE_EVERY_REQUEST = True
    cut(proxy)
    for view in (lambda request: request.session.get("a"), lambda request: None):
        response = respond(SessionMiddleware, key, view, settings)
        assert not response.cookies
        assert response.headers["Vary"] == "Cookie"


@pytest.mark.parametrize("driver", ["sync"])
@middlewares
def test_anonymous__a_change_is_refused_and_not_dropped(
    key: str, proxy: FaultProxy, configure: Configure, settings: Any, middleware: type
) -> None:
    configure(ON_FAILURE="anonymous")
    cut(proxy)
    with pytest.raises(SessionUnavailableError):
        respond(middleware, key, lambda request: request.session.update({"b": 1}), settings)
    heal(proxy)
    assert dict(SessionStore(key).items()) == {"a": 1}
