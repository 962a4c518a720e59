"""Subscriptions over TLS, through a proxy, to the embedded server, and in a forked child."""

from __future__ import annotations

import os
from typing import Any

import pytest

from django_upstash.local import LocalServer
from django_upstash.pubsub import publish, subscribe
from tests.pubsub.conftest import texts
from tests.servers import Server
from tests.wire import FaultProxy, TLSProxy


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
def test_forked_child__is_told_that_it_has_no_subscription(upstash: dict[str, dict[str, Any]], route: str) -> None:
    with subscribe("news", alias=route) as subscriber:
        child = os.fork()
        if not child:
            try:
                subscriber.get(timeout=1)
            except RuntimeError as error:
                os._exit(0 if "forked" in str(error) else 2)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        publish("news", "hello", alias=route)
        assert texts(subscriber, 1) == ["hello"]
