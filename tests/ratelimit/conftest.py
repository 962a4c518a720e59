"""Limiters that the same test body drives synchronously and asynchronously, on each route, and clocks to turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.ratelimit import RateLimiter

MakeLimiter = Callable[..., Any]
_BEGINNING = 1_800_000_000.0


class Awaited:
    """A limiter whose every method is run as its asynchronous twin."""

    def __init__(self, limiter: RateLimiter, runner: asyncio.Runner) -> None:
        self.__dict__.update(limiter=limiter, runner=runner)

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.limiter, f"a{name}", None)
        if twin is None:
            return getattr(self.limiter, name)
        return lambda *args, **kwargs: self.runner.run(twin(*args, **kwargs))


class Time:
    """A steady clock, a wall clock, and a server's clock, which go when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wall_error = 0.0

    def steady(self) -> float:
        return 1000.0 + self.seconds

    def wall(self) -> float:
        return _BEGINNING + self.seconds + self.wall_error

    @property
    def microseconds(self) -> int:
        return round((_BEGINNING + self.seconds) * 1_000_000)


@pytest.fixture(autouse=True)
def patience(settings: Any) -> None:
    """A machine busy with everybody's tests may take its time to answer."""
    settings.UPSTASH_RATELIMIT = {"TIMEOUT": 20}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_limiter(upstash: dict[str, dict[str, Any]], route: str) -> Callable[..., RateLimiter]:
    """Return ``make_limiter(policies, **options)``, on the route."""
    return lambda policies, **options: RateLimiter(policies, **{"alias": route, **options})


@pytest.fixture(params=["sync", "async"])
def open_limiter(request: pytest.FixtureRequest, make_limiter: MakeLimiter) -> Iterator[MakeLimiter]:
    """Return ``open_limiter(policies, **options)``, on the route, driven one way or the other."""
    if request.param == "sync":
        yield make_limiter
        return
    with asyncio.Runner() as runner:
        yield lambda policies, **options: Awaited(make_limiter(policies, **options), runner)
