"""Views, users and requests for throttles, decorators and the middleware, on each route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from rest_framework.response import Response
from rest_framework.views import APIView

from django_upstash.dev_server import LocalServer
from django_upstash.ratelimit import RateLimiter, SlidingWindow
from django_upstash.ratelimit.web import ratelimit
from django_upstash.throttling import RateThrottle
from tests.servers import Server

ADDRESS = "203.0.113.7"


@pytest.fixture(autouse=True)
def patience(settings: Any) -> None:
    """A machine busy with everybody's tests may take its time to answer."""
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Return ``configure(**entry)``, which adds to ``UPSTASH_RATELIMIT``."""

    def configure(**entry: Any) -> None:
        settings.UPSTASH_RATELIMIT = {**settings.UPSTASH_RATELIMIT, **entry}

    return configure


@pytest.fixture
def rates(settings: Any) -> Callable[..., None]:
    """Return ``rates(**rates)``, which sets ``DEFAULT_THROTTLE_RATES``."""

    def rates(**rates: str | None) -> None:
        settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": rates, "UNAUTHENTICATED_USER": None}

    return rates


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def on_route(upstash: dict[str, Any], route: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The route, on which all throttles decide."""
    monkeypatch.setattr(RateThrottle, "alias", route)
    return route


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Callable[[], Any]:
    """Return ``counting()``, whose block's requests and billed commands are in the list it yields."""

    @contextmanager
    def count() -> Iterator[list[int]]:
        # The process learns the time, and the server the script.
        RateLimiter([SlidingWindow("9/s", scope="a"), SlidingWindow("9/s", scope="b")], alias=route).hit("user:warm")
        limiter = RateLimiter(SlidingWindow("9/s"), alias=route)
        limiter.peek("user:warm")
        requests = limiter.server.connection.meter.requests
        local_server.reset_meter()
        cost: list[int] = []
        with valkey.counting() as counted:
            yield cost
        if route == "rest":
            cost += [local_server.meter()["requests"], local_server.meter()["commands"]]
        else:
            cost += [limiter.server.connection.meter.requests - requests, counted.commands]

    return count


def user(pk: int) -> User:
    return User(pk=pk, username=f"user {pk}")


def serve(*throttles: type, user: User | None = None, address: str = ADDRESS, **given: Any) -> HttpResponse:
    """Return the response of a view with throttles. ``given`` are attributes of the view, and META's in capitals."""
    meta = {name: value for name, value in given.items() if name.isupper()}
    attributes = {name: value for name, value in given.items() if not name.isupper()}
    request = RequestFactory().get("/", REMOTE_ADDR=address, **meta)
    request.user = user  # type: ignore[assignment]
    view: Any = type("View", (Answering,), {"throttle_classes": throttles, **attributes})
    response: HttpResponse = view.as_view()(request)
    if hasattr(response, "render"):
        response.render()
    return response


class Answering(APIView):  # type: ignore[misc]
    authentication_classes = ()
    permission_classes = ()

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        initialized = super().initialize_request(request, *args, **kwargs)
        initialized.user = request.user
        return initialized

    def get(self, request: Any) -> Response:
        return Response({"answer": 42})


@pytest.fixture(params=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def limit(route: str) -> Callable[..., Any]:
    """Return ``limit(…)``, which is ``ratelimit(…)`` on the route."""
    return lambda *policies, **terms: ratelimit(*policies, **{"alias": route, **terms})


@pytest.fixture
def visit(driver: str, runner: asyncio.Runner) -> Callable[..., HttpResponse]:
    """Return ``visit(view, **META)``, which calls a view, or awaits it."""

    def visit(view: Any, *, user: Any = None, method: str = "GET", **meta: Any) -> HttpResponse:
        factory = RequestFactory() if driver == "sync" else AsyncRequestFactory()
        request = factory.generic(method, "/")
        request.META.update({"REMOTE_ADDR": ADDRESS, **meta})

        async def auser() -> Any:
            return user or AnonymousUser()

        # Under ASGI the other would read the session without awaiting it.
        if driver == "sync":
            request.user = user or AnonymousUser()
        else:
            request.auser = auser
        assert iscoroutinefunction(view) == (driver == "async")
        response: HttpResponse = view(request) if driver == "sync" else runner.run(awaited(view, request))
        return response

    return visit


async def awaited(view: Any, request: HttpRequest) -> Any:
    return await view(request)


@pytest.fixture
def made(driver: str) -> Callable[..., Any]:
    """Return ``made(answer)``: a view that returns what ``answer(request)`` returns, to be awaited or not."""

    def make(answer: Callable[[HttpRequest], Any] = lambda request: HttpResponse("fine")) -> Any:
        def view(request: HttpRequest) -> Any:
            return answer(request)

        async def aview(request: HttpRequest) -> Any:
            return answer(request)

        return view if driver == "sync" else aview

    return make
