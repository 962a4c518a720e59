"""An outage that another user of the connection has found is told by each cache and breaker that meets with it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from django_upstash.breaker import CircuitBreaker
from django_upstash.cache import UpstashCache
from django_upstash.cache.signals import backend_changed
from django_upstash.connections import connections
from django_upstash.exceptions import ConnectionError
from django_upstash.ratelimit import RateLimiter, SlidingWindow


@pytest.fixture(params=["native", "rest"])
def found_away(request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
    """ "default" leads to where nobody listens, and somebody has found that out."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        native = request.param == "native"
        entry = {"URL": f"redis://{address}"} if native else {"URL": f"http://{address}", "TOKEN": "t"}
        settings.UPSTASH = {"default": entry}
        connections["default"].availability.pause = 1000.0
        with pytest.raises(ConnectionError):
            connections["default"].ping()
        yield
        connections.close_all()


@pytest.mark.usefixtures("found_away")
@pytest.mark.parametrize("way", ["default", "memory"])
@pytest.mark.parametrize("awaited", [False, True])
def test_cache__tells(way: str, awaited: bool, caplog: pytest.LogCaptureFixture) -> None:
    cache = UpstashCache("default", {"KEY_PREFIX": f"{way}{awaited}", "OPTIONS": {"ON_FAILURE": way}})
    told: list[Any] = []

    def note(backend: str, **ignored: Any) -> None:
        told.append(backend)

    assert cache.backend_in_use == way
    backend_changed.connect(note)
    try:
        for _ in range(3):
            assert (asyncio.run(cache.aget("x")) if awaited else cache.get("x")) is None
    finally:
        backend_changed.disconnect(note)
    assert (told, cache.backend_in_use) == ([way], way)
    assert len([one for one in caplog.records if one.name == "django_upstash.cache"]) == 1


@pytest.mark.usefixtures("found_away")
def test_breaker__tells(caplog: pytest.LogCaptureFixture) -> None:
    RateLimiter(SlidingWindow("1/s")).hit("user:1")  # which shares the breaker's connection
    breaker = CircuitBreaker("b")

    def fails() -> None:
        raise OSError("down")

    with caplog.at_level(logging.WARNING, "django_upstash.breaker"):
        for _ in range(2):
            with pytest.raises(OSError, match="down"):
                breaker.call(fails)
    assert [one.getMessage() for one in caplog.records if one.name == "django_upstash.breaker"] != []
