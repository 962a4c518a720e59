"""Subscribers that the same test body drives synchronously and asynchronously, on each route."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from django_upstash.pubsub import Subscriber, publish

Open = Callable[..., Any]


class Awaited:
    """A subscriber whose every method is run as its asynchronous twin."""

    def __init__(self, subscriber: Subscriber, runner: asyncio.Runner) -> None:
        self.subscriber, self.runner = subscriber, runner

    def __enter__(self) -> Awaited:
        self.runner.run(self.subscriber.__aenter__())
        return self

    def __exit__(self, *exception: Any) -> None:
        self.runner.run(self.subscriber.__aexit__(*exception))

    def __iter__(self) -> Awaited:
        return self

    def __next__(self) -> Any:
        try:
            return self.runner.run(self.subscriber.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def get(self, timeout: float | None = None) -> Any:
        return self.runner.run(self.subscriber.aget(timeout))

    def close(self) -> None:
        self.runner.run(self.subscriber.aclose())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.subscriber, name)


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def alias(upstash: dict[str, dict[str, Any]], route: str) -> str:
    """The route's name, which is a connection's."""
    return route


@pytest.fixture(params=["sync", "async"])
def opened(request: pytest.FixtureRequest, alias: str) -> Iterator[Open]:
    """Return ``opened(*channels, **options)``: a subscriber in its block, on the route, driven one way or the other."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner()) if request.param == "async" else None

        def open_subscriber(*channels: str, **options: Any) -> Any:
            subscriber: Any = Subscriber(channels, **{"alias": alias, **options})
            return stack.enter_context(subscriber if runner is None else Awaited(subscriber, runner))

        yield open_subscriber


def texts(subscriber: Any, count: int) -> list[str]:
    """Return the texts of so many messages, each of which comes within ten seconds."""
    if isinstance(subscriber, Awaited):
        return subscriber.runner.run(atexts(subscriber.subscriber, count))
    found: list[str] = []
    for _ in range(count):
        message = subscriber.get(timeout=10)
        assert message is not None, f"only {len(found)} messages came"
        found.append(message.text)
    return found


async def atexts(subscriber: Subscriber, count: int) -> list[str]:
    """Do as ``texts`` does, awaited."""
    found: list[str] = []
    for _ in range(count):
        message = await subscriber.aget(timeout=10)
        assert message is not None, f"only {len(found)} messages came"
        found.append(message.text)
    return found


def publish_until_received(subscriber: Any, channel: str, alias: str) -> None:
    """Publish until a subscription that is coming back brings something."""
    deadline = time.monotonic() + 20
    while subscriber.get(timeout=0.05) is None:
        assert time.monotonic() < deadline
        publish(channel, "are you there?", alias=alias)
