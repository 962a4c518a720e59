"""Subscriptions over TLS, through a proxy, to the embedded server, and in a forked child."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.pubsub import publish, subscribe
from tests.fault_proxy import FaultProxy, TLSProxy
from tests.forking import exit_status_in_fork
from tests.pubsub.conftest import texts
from tests.servers import Server


@pytest.mark.usefixtures("each_loop")
def test_subscriber__over_tls(route: str, valkey: Server, local_server: LocalServer, settings: Any) -> None:
    upstream: Any = valkey.socket_path if route == "native" else int(local_server.url.rpartition(":")[2])
    with TLSProxy(upstream) as proxy:
        entry = {"URL": proxy.url, "CA_CERTS": str(proxy.certificate.ca_file)}
        if route == "rest":
            entry |= {"URL": f"https://localhost:{proxy.port}", "TOKEN": local_server.token}
        settings.UPSTASH = {"default": entry}
        with subscribe("news", heartbeat=0.05) as subscriber:
            assert subscriber.get(timeout=0.2) is None
            publish("news", "hello")
            assert texts(subscriber, 1) == ["hello"]


def test_subscriber__of_the_embedded_server(upstash: dict[str, dict[str, Any]]) -> None:
    with subscribe("news", alias="embedded") as subscriber:
        publish("news", "hello", alias="embedded")
        assert texts(subscriber, 1) == ["hello"]


def test_subscriber__takes_none_of_the_pools_connections(valkey: Server, settings: Any) -> None:
    with FaultProxy(valkey.socket_path) as proxy:
        settings.UPSTASH = {"default": {"URL": proxy.url, "MAX_CONNECTIONS": 1, "POOL_TIMEOUT": 0.5}}
        with subscribe("news") as one, subscribe("news") as two:
            assert publish("news", "hello") == 2
            assert texts(one, 1) == texts(two, 1) == ["hello"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_child__is_told_that_it_has_no_subscription(
    upstash: dict[str, dict[str, Any]], route: str, fork: Callable[[], int]
) -> None:
    with subscribe("news", alias=route) as subscriber:

        def check() -> bool:
            with subscriber._buffer._lock:
                pass
            subscriber.close()
            with pytest.raises(RuntimeError, match="forked"):
                subscriber.get(timeout=1)
            return True

        assert exit_status_in_fork(check, fork) == 0
        publish("news", "hello", alias=route)
        assert texts(subscriber, 1) == ["hello"]
