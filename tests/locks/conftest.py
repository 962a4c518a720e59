"""Locks that the same test body drives synchronously and asynchronously, on each route."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.locks import Lock

MakeLock = Callable[..., Any]


class Awaited:
    """A lock whose every method is run as its asynchronous twin."""

    def __init__(self, lock: Lock, runner: asyncio.Runner) -> None:
        self.lock, self.runner = lock, runner

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.lock, f"a{name}", None)
        if not inspect.iscoroutinefunction(twin):
            return getattr(self.lock, name)
        return lambda *args, **kwargs: self.runner.run(twin(*args, **kwargs))

    def __enter__(self) -> Any:
        self.runner.run(self.lock.__aenter__())
        return self

    def __exit__(self, *exception: Any) -> None:
        self.runner.run(self.lock.__aexit__(*exception))


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sync", "async"])
def make_lock(request: pytest.FixtureRequest, upstash: dict[str, dict[str, Any]], route: str) -> Iterator[MakeLock]:
    """Return ``make_lock(name, lease, **options)``, on the route, driven one way or the other."""

    def make(name: str, lease: float = 30, **options: Any) -> Lock:
        return Lock(name, lease, **{"alias": route, "wait": 0, **options})

    if request.param == "sync":
        yield make
        return
    with asyncio.Runner() as runner:
        yield lambda *args, **options: Awaited(make(*args, **options), runner)
