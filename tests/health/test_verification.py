"""Verification: by ``verify()``, and with ``VERIFY`` at a connection's first use."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import django_upstash
from django_upstash.cache import UpstashCache
from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import AuthenticationError, ConnectionError
from django_upstash.operations import command
from tests.management.calls import health
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.matrix

ROOT = Path(__file__).resolve().parents[2]
SECRET = "example-secret-token"
Upstash = dict[str, dict[str, Any]]


@pytest.fixture(params=["sync", "async"])
def verify(request: pytest.FixtureRequest) -> Callable[..., Any]:
    if request.param == "sync":
        return django_upstash.verify
    return lambda *aliases: asyncio.run(django_upstash.averify(*aliases))


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(" ")[0] for record in caplog.records if record.name == "django_upstash"]


@pytest.fixture(autouse=True)
def listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "django_upstash")


def test_verify__tells_and_logs_route_version_and_latency(
    verify: Any, upstash: Upstash, route: str, valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    (found,) = verify(route)

    assert (found.alias, found.route) == (route, route)
    assert found.server.startswith("Upstash " if route == "rest" else "Valkey ")
    assert found.connect_ms > 0
    assert found.latency_ms > 0
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith(f"redis_connected alias={route} route={route} server='")
    assert {record.__dict__[name] for name in ("alias", "route")} == {route}
    assert record.__dict__["server"] == found.server
    assert record.__dict__["latency_ms"] == found.latency_ms


def test_verify__without_a_name_is_of_all(verify: Any, upstash: Upstash) -> None:
    assert [found.alias for found in verify()] == list(upstash)


@pytest.mark.parametrize("route", ["native", "rest"])
def test_verify__costs_two_commands(
    verify: Any, upstash: Upstash, route: str, valkey: Server, local_server: LocalServer
) -> None:
    connections[route].run(command("PING"))  # opens the connection
    before = connections[route].meter.requests
    local_server.reset_meter()
    verify(route)
    assert connections[route].meter.requests - before == 2
    assert connections[route].meter.commands == 3
    if route == "rest":
        billed = local_server.meter()
        assert (billed["requests"], billed["commands"]) == (2, 2)


def test_verify__says_what_is_wrong_without_secrets(
    verify: Any, settings: Any, local_server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings.UPSTASH = {"rest": {"URL": local_server.url, "TOKEN": SECRET}}
    with pytest.raises(AuthenticationError, match=r"^rest: .* does not accept the token. Copy ") as caught:
        verify("rest")
    (record,) = caplog.records
    assert (record.levelno, messages(caplog)) == (logging.ERROR, ["redis_not_connected"])
    assert record.__dict__["cause"].endswith("does not accept the token.")
    assert SECRET not in f"{caught.value}{caught.value.__cause__}{record.__dict__}"


def test_verify__nothing_listens(verify: Any, settings: Any) -> None:
    settings.UPSTASH = {"away": {"URL": "redis://:example-secret@127.0.0.1:1"}}
    with pytest.raises(ConnectionError, match=r"^away: Nothing listens at 127.0.0.1:1\. Start the server"):
        verify()


def test_verify__unknown_alias(verify: Any, upstash: Upstash) -> None:
    with pytest.raises(ImproperlyConfigured, match="UPSTASH has no connection 'elsewhere'"):
        verify("elsewhere")


def test_verify__a_user_who_may_not_ask_who_it_is(verify: Any, settings: Any) -> None:
    with start_valkey(user=["shy on >secret ~* +@all -info"]) as server:
        settings.UPSTASH = {"shy": {"URL": server.tcp_url.replace("redis://", "redis://shy:secret@")}}
        (found,) = verify("shy")
    assert found.server == ""


@pytest.mark.parametrize("driver", ["sync", "async"])
@pytest.mark.parametrize("route", ["native", "rest"])
def test_first_use__is_verified_once(
    upstash: Upstash, route: str, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstash[route]["VERIFY"] = True
    ping = command("PING")

    async def use() -> None:
        await connections[route].arun(ping)

    assert messages(caplog) == []
    for _ in range(3):
        connections[route].run(ping) if driver == "sync" else asyncio.run(use())
    assert messages(caplog) == ["redis_connected"]
    assert connections[route].meter.requests == 5


def test_first_use__of_many_threads_is_verified_once(upstash: Upstash, caplog: pytest.LogCaptureFixture) -> None:
    upstash["native"]["VERIFY"] = True
    connection = connections["native"]
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: connection.ping(), range(64))) == {True}
    assert messages(caplog) == ["redis_connected"]


def test_first_use__of_many_tasks_is_verified_once(upstash: Upstash, caplog: pytest.LogCaptureFixture) -> None:
    upstash["native"]["VERIFY"] = True
    ping = command("PING")

    async def use() -> list[Any]:
        return await asyncio.gather(*(connections["native"].arun(ping) for _ in range(50)))

    assert asyncio.run(use()) == [b"PONG"] * 50
    assert messages(caplog) == ["redis_connected"]


def test_first_use__fails_clearly_and_is_tried_again(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.tcp_url, "VERIFY": True}}
        server.stop()
        for _ in range(2):
            with pytest.raises(ConnectionError, match=r"^default: Nothing listens at "):
                connections["default"].ping()
        server.start()
        assert connections["default"].ping()
    assert messages(caplog) == ["redis_not_connected", "redis_not_connected", "redis_connected"]


def test_first_use__after_verify_is_not_verified_again(upstash: Upstash, caplog: pytest.LogCaptureFixture) -> None:
    upstash["native"]["VERIFY"] = True
    _ = connections["native"].route
    django_upstash.verify("native")
    connections["native"].ping()
    assert messages(caplog) == ["redis_connected"]


def test_first_use__without_verify_asks_nothing(upstash: Upstash, caplog: pytest.LogCaptureFixture) -> None:
    connections["native"].ping()
    assert messages(caplog) == []
    assert connections["native"].meter.requests == 1


def test_first_use__by_redis_health_is_not_verified(upstash: Upstash, caplog: pytest.LogCaptureFixture) -> None:
    upstash["native"]["VERIFY"] = True
    assert health("native", "--ping").startswith("OK native")
    assert messages(caplog) == []


def test_first_use__of_a_cache_that_answers_without_the_server(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The failure of the handshake is one of the connection, which ``ON_FAILURE`` heeds."""
    settings.UPSTASH = {"default": {"URL": "redis://127.0.0.1:1", "VERIFY": True}}
    cache = UpstashCache("default", {"OPTIONS": {"ON_FAILURE": "default"}})
    assert cache.get("key", "none") == "none"
    assert "redis_not_connected" in messages(caplog)


def test_first_use__gives_what_only_some_routes_have(upstash: Upstash) -> None:
    upstash["native"]["VERIFY"] = True
    redis: Any = connections["native"].redis
    with redis.client() as client:  # a connection of its own, to the route's address
        assert client.ping()


def test_import__of_the_package_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import django_upstash; django_upstash.__version__\n"
        "print(sorted(set(sys.modules) - before - {'typing', '__future__'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "redis" not in ran.stdout.replace("django_upstash", "")
    assert "django." not in ran.stdout


def test_package__has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'verity'"):
        _ = django_upstash.verity
