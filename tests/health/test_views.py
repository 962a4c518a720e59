"""The health endpoint over both kinds of views: what it says, what it hides, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse

from django_upstash.dev_server import LocalServer
from django_upstash.health import probes
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.matrix

Get = Callable[..., Any]
SECRET = "example-secret-token"


@pytest.fixture(autouse=True)
def site(settings: Any, upstash: dict[str, dict[str, Any]]) -> Iterator[dict[str, dict[str, Any]]]:
    """A site with two connections, in which no probe has looked yet."""
    settings.ROOT_URLCONF = "tests.health.urls"
    settings.UPSTASH = {alias: upstash[alias] for alias in ("native", "rest")}
    settings.ALLOWED_HOSTS = ["testserver"]
    probes._probes.clear()
    yield settings.UPSTASH
    probes._probes.clear()


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest) -> Get:
    """Return ``get(path, method="get", **headers)``, which asks the views of one kind."""

    def ask(path: str, method: str = "get", **headers: str) -> Any:
        if request.param == "sync":
            return getattr(Client(), method)(f"/sync/{path}", headers=headers)
        return asyncio.run(getattr(AsyncClient(), method)(f"/async/{path}", headers=headers))

    return ask


def test_live__asks_no_server(get: Get, valkey: Server, local_server: LocalServer) -> None:
    local_server.reset_meter()
    with valkey.counting() as counted:
        response = get("live/")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert (counted.commands, local_server.meter()["requests"]) == (0, 0)


def test_ready__is_ok(get: Get) -> None:
    response = get("both/")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "connections": {"native": "ok", "rest": "ok"}}
    assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", ["live/", "both/"])
def test_responses__are_not_stored(get: Get, path: str) -> None:
    assert "no-store" in get(path)["Cache-Control"]


@pytest.mark.parametrize("path", ["live/", "both/"])
def test_head__has_the_status_alone(get: Get, path: str) -> None:
    response = get(path, "head")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("path", ["live/", "both/"])
def test_post__is_refused(get: Get, path: str) -> None:
    assert get(path, "post").status_code == 405


@pytest.mark.parametrize("path", ["live/", "ready/"])
def test_login_required_middleware__lets_probes_pass(get: Get, settings: Any, path: str) -> None:
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    assert get(path).status_code in (200, 503)  # and no redirect to a login page


def test_urls__have_names() -> None:
    assert reverse("health:ready") == "/sync/ready/"
    assert reverse("async-health:live") == "/async/live/"


def test_ready__one_of_two_is_away(get: Get, site: Any) -> None:
    site["rest"]["TOKEN"] = SECRET
    response = get("both/")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "connections": {"native": "ok", "rest": "unavailable"}}


def test_ready__says_the_cause_to_whom_it_may(get: Get, site: Any) -> None:
    site["away"] = {"URL": f"redis://:{SECRET}@127.0.0.1:1"}
    response = get("away/")
    assert response.status_code == 503
    assert response.json()["connections"]["away"] == {
        "status": "unavailable",
        "route": "native",
        "cause": "Nothing listens at 127.0.0.1:1.",
    }
    assert SECRET not in response.content.decode()


def test_ready__tells_versions_to_whom_it_may_alone(get: Get) -> None:
    assert get("told/").json()["connections"] == {"native": "ok"}
    found = get("told/", **{"X-Internal": "yes"}).json()["connections"]["native"]
    assert (found["status"], found["route"], found["server"][:7]) == ("ok", "native", "Valkey ")
    assert found["latency_ms"] > 0


def test_ready__a_server_that_does_not_tell_its_version_is_ready(get: Get, site: Any) -> None:
    with start_valkey() as server:
        server.call("ACL", "SETUSER", "default", "-info")
        site["silent"] = {"URL": server.url}
        response = get("silent/")
    found = response.json()["connections"]["silent"]
    assert (response.status_code, found["status"], "server" in found) == (200, "ok", False)


def test_ready__asks_a_coroutine_function_whom_it_may_tell() -> None:
    async def awaited(**headers: str) -> Any:
        return (await AsyncClient().get("/async/awaited/", headers=headers)).json()["connections"]["native"]

    assert asyncio.run(awaited()) == "ok"
    assert asyncio.run(awaited(**{"X-Internal": "yes"}))["route"] == "native"
    assert Client().get("/sync/awaited/", headers={"X-Internal": "yes"}).json()["connections"]["native"]["route"]


def test_ready__a_server_that_says_nothing_costs_the_time_limit(get: Get, site: Any) -> None:
    with start_valkey() as server:
        site["away"] = {"URL": server.tcp_url}
        server.pause()
        response = get("away/")
        server.resume()
    assert response.status_code == 503
    assert "cause" in response.json()["connections"]["away"]


def test_ready__comes_back_with_the_server(get: Get, site: Any) -> None:
    with start_valkey() as server:
        site["native"] = {"URL": server.url}
        assert get("always/").status_code == 200
        server.stop()
        assert get("always/").status_code == 503
        server.start()
        assert get("always/").status_code == 200


def test_ready__budget_is_one_command_a_connection_until_that_is_old(
    get: Get, valkey: Server, local_server: LocalServer
) -> None:
    get("both/")  # opens the connections
    for probe in probes._probes.values():
        probe._looks._began -= 6000
    local_server.reset_meter()
    with valkey.counting() as counted:
        answers = [get("both/").status_code for _ in range(20)]
    billed = local_server.meter()
    assert answers == [200] * 20
    assert (billed["requests"], billed["commands"]) == (1, 1)
    assert counted.by_command["ping"] == 2  # of the native connection, and of what stands before the same server


def test_ready__of_many_at_once_is_one_look(valkey: Server) -> None:
    with valkey.counting() as counted, ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(lambda _: Client().get("/sync/told/").status_code, range(64)))
    assert answers == {200}
    assert counted.by_command["ping"] == 1


def test_ready__opens_one_connection_however_often_it_is_asked(get: Get, valkey: Server) -> None:
    with valkey.counting() as counted:
        for _ in range(10):
            assert get("always/").status_code == 200
    assert (counted.connections, counted.by_command["ping"]) == (1, 10)


def test_ready__without_connections_is_ok(get: Get, settings: Any) -> None:
    settings.UPSTASH = {}
    response = get("ready/")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "connections": {}})
