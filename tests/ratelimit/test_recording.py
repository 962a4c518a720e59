"""Statistics of processes that decide seldom, or live shortly, are written at the ends of requests and processes."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.signals import request_finished

from django_upstash import flushing
from django_upstash.ratelimit import FixedWindow, RateLimiter
from tests.fault_proxy import FaultProxy
from tests.servers import Server


@pytest.fixture
def limiter(upstash: dict[str, dict[str, Any]], route: str, valkey: Server) -> RateLimiter:
    flushing.write_all()  # what other tests have counted
    valkey.call("FLUSHALL")
    made = RateLimiter(FixedWindow("9/h", scope="search"), alias=route, statistics=True)
    made.hit("me")
    return made


def age(limiter: RateLimiter, seconds: float) -> None:
    """Let what has been counted have waited for so long."""
    since = limiter.server.memory.tallies._since
    for tenant in since:
        since[tenant] -= seconds


@pytest.mark.usefixtures("request_end")
def test_request_end__writes_what_has_waited(limiter: RateLimiter) -> None:
    request_finished.send(None)
    assert limiter.statistics() == []
    age(limiter, 11)
    request_finished.send(None)
    assert [stretch.allowed for stretch in limiter.statistics()] == [1]
    request_finished.send(None)
    assert [stretch.allowed for stretch in limiter.statistics()] == [1]


def test_process_end__writes_everything(limiter: RateLimiter) -> None:
    flushing.write_all()
    flushing.write_all()
    assert [stretch.allowed for stretch in limiter.statistics()] == [1]


def test_request_end__without_the_server_raises_nothing(valkey: Server, settings: Any, request_end: None) -> None:
    with FaultProxy(valkey.socket_path) as proxy:
        settings.UPSTASH = {"default": {"URL": f"redis://127.0.0.1:{proxy.port}", "TIMEOUT": 0.2, "RETRIES": 0}}
        limiter = RateLimiter(FixedWindow("9/h", scope="search"), statistics=True)
        limiter.hit("me")
        proxy.refuse()
        age(limiter, 11)
        request_finished.send(None)
