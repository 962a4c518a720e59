"""A server that can be taken away, on each route."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from tests.fault_proxy import FaultProxy
from tests.servers import Server

PAUSE = 0.05
LOCAL = {"ON_FAILURE": "memory"}


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def proxy(route: str, valkey: Server, local_server: LocalServer) -> Iterator[FaultProxy]:
    with FaultProxy(valkey.port if route == "native" else int(local_server.url.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def timeout() -> float:
    return 0.3


@pytest.fixture
def upstash(
    upstash: dict[str, Any], proxy: FaultProxy, route: str, timeout: float, settings: Any
) -> Iterator[dict[str, Any]]:
    url = proxy.url if route == "native" else f"http://127.0.0.1:{proxy.port}"
    upstash[route] = {**upstash[route], "URL": url, "TIMEOUT": timeout, "RETRIES": 0}
    settings.UPSTASH = {**upstash}
    yield upstash
    proxy.heal()


@pytest.fixture
def cut(proxy: FaultProxy) -> Callable[[], None]:
    """Return what takes the server away at once, so that no test waits for a timeout."""

    def cut() -> None:
        proxy.refuse()
        proxy.sever()

    return cut
