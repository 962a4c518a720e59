"""Counters on each route, and people with all kinds of permissions looking at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.ratelimit import FixedWindow, RateLimiter, SlidingWindow
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.report.limiters import load
from tests.admin.browsing import Visit, running_browser, running_site
from tests.servers import Server, start_valkey

LIST = "/admin/django_upstash/ratelimitcounter/"
WHOLE, PER_MINUTE = SlidingWindow("100/h", scope="whole"), FixedWindow("3/h", scope="few")
MakeLimiter = Callable[..., RateLimiter]
MakeClient = Callable[..., Client]
Cost = dict[str, Any]
MakeVisit = Callable[..., Visit]
ALIASES = {"native": "default", "rest": "rest"}


@pytest.fixture(autouse=True)
def _settings(settings: Any, upstash: dict[str, dict[str, Any]]) -> None:
    """A machine busy with everybody's tests may take its time to answer."""
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}
    settings.UPSTASH_ADMIN = {"TIMEOUT": 20}
    catalogue.clear()
    load.cache_clear()


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def limiter(route: str) -> RateLimiter:
    """A limiter of two scopes on the route."""
    return RateLimiter([WHOLE, PER_MINUTE], alias=route)


@pytest.fixture
def log_in(db: None) -> MakeClient:
    """Return ``log_in(*permissions)``: a client of a member of staff with these permissions, on counters by default."""

    def make(*names: str, is_superuser: bool = False) -> Client:
        user = get_user_model().objects.create_user(
            "-".join(["staff", *names]), password="x", is_staff=True, is_superuser=is_superuser
        )
        codenames = [name if "_" in name else f"{name}_ratelimitcounter" for name in names]
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client(raise_request_exception=True)
        client.force_login(user)
        return client

    return make


@pytest.fixture
def operator(log_in: MakeClient) -> Client:
    """A client that may do everything about counters."""
    return log_in("view", "change", "delete")


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Callable[[], AbstractContextManager[Cost]]:
    """Return ``counting()``, whose block's requests and commands by name are in the dict it yields."""

    @contextmanager
    def count() -> Iterator[Cost]:
        cost: Cost = {}
        requests = sum(connection.meter.requests for connection in connections.opened())
        local_server.reset_meter()
        with valkey.counting() as counted:
            yield cost
        cost["by_command"] = dict(counted.by_command)
        cost["scans"] = counted.by_command["scan"]
        cost["commands"] = counted.commands
        cost["requests"] = sum(connection.meter.requests for connection in connections.opened()) - requests
        if route == "rest":
            billed = local_server.meter()
            assert (billed["requests"], billed["commands"]) == (cost["requests"], cost["commands"])

    return count


@pytest.fixture
def dying(settings: Any) -> Iterator[Server]:
    """A server of the test's own, as the only connection."""
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url}}
        settings.UPSTASH_ADMIN = {"TIMEOUT": 0.2}
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(valkey: Server, local_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_site(valkey, local_server, tmp_path_factory.mktemp("site")) as url:
        yield url


@pytest.fixture
def alias(route: str) -> str:
    """The site's connection over the route."""
    return ALIASES[route]


@pytest.fixture
def visit(browser: Any, site: str) -> Iterator[MakeVisit]:
    """Return ``visit(**options)``; in the end, nothing must have gone wrong on any of these pages."""
    visits: list[Visit] = []

    def make(**options: Any) -> Visit:
        visits.append(Visit(browser, site, **options))
        return visits[-1]

    yield make
    for one in visits:
        one.context.close()
    assert [(one.errors, one.outside) for one in visits if one.errors or one.outside] == []


def detail_url(key: str) -> str:
    """Return the address of a counter's page."""
    return f"{LIST}{quote(key)}/change/"
