"""Stores that the same test body drives synchronously and asynchronously, on each route, and what they cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.idempotency import IdempotencyStore
from tests.idempotency.site import executed
from tests.servers import Server

MIDDLEWARE = "django_upstash.idempotency.middleware.IdempotencyMiddleware"
OpenStore = Callable[..., Any]


class Awaited:
    """A store whose every method is run as its asynchronous twin."""

    def __init__(self, store: IdempotencyStore, runner: asyncio.Runner) -> None:
        self.__dict__.update(store=store, runner=runner)

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.store, f"a{name}", None)
        if twin is None:
            return getattr(self.store, name)
        return lambda *args, **kwargs: self.runner.run(twin(*args, **kwargs))


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def configure(settings: Any, route: str, upstash: dict[str, dict[str, Any]]) -> Callable[..., None]:
    """Return ``configure(**entry)``, which sets ``UPSTASH_IDEMPOTENCY``, on the route."""
    upstash[route]["TIMEOUT"] = 30  # a busy machine is given its time

    def configure(**entry: Any) -> None:
        settings.UPSTASH_IDEMPOTENCY = {"ALIAS": route, **entry}

    configure()
    return configure


@pytest.fixture(params=["sync", "async"])
def open_store(request: pytest.FixtureRequest, configure: Callable[..., None]) -> Iterator[OpenStore]:
    """Return ``open_store(**options)``, on the route, driven one way or the other."""
    if request.param == "sync":
        yield IdempotencyStore
        return
    with asyncio.Runner() as runner:
        yield lambda **options: Awaited(IdempotencyStore(**options), runner)


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Callable[[], Any]:
    """Return ``counting()``, whose block's round trips and billed commands are in the dict it yields."""

    @contextmanager
    def count() -> Iterator[dict[str, int]]:
        cost: dict[str, int] = {}
        requests = connections[route].meter.requests
        local_server.reset_meter()
        with valkey.counting() as counted:
            yield cost
        billed = local_server.meter()
        if route == "rest":
            cost.update(requests=billed["requests"], commands=billed["commands"])
        else:
            cost.update(requests=connections[route].meter.requests - requests, commands=counted.commands)

    return count


@pytest.fixture
def site(settings: Any, configure: Callable[..., None]) -> Callable[..., None]:
    """The site of ``site.py``, without the middleware; returns ``configure``."""
    settings.ROOT_URLCONF = "tests.idempotency.site"
    settings.MIDDLEWARE = ["tests.idempotency.site.UserMiddleware"]
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver", "other.example"]
    executed.clear()
    return configure


@pytest.fixture
def behind_middleware(settings: Any, site: Callable[..., None]) -> Callable[..., None]:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
    return site


def post(path: str, body: Any = None, *, key: str | None = '"key-1"', client: Any = None, **headers: str) -> Any:
    """Send JSON as the test client does, with a key; names of headers have underscores."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        given["Idempotency-Key"] = key
    client = client or Client(raise_request_exception=False)
    return client.post(path, json.dumps(body or {}), content_type="application/json", headers=given)


def problem(response: Any) -> tuple[int, str]:
    """Return status and code of a problem."""
    assert response.headers["Content-Type"] == "application/problem+json"
    document = json.loads(response.content)
    assert (document["status"], bool(document["title"]), bool(document["detail"])) == (response.status_code, True, True)
    return response.status_code, document["code"]
