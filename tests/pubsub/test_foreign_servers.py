"""Subscriptions on REST servers that other people write: one channel in a path, and often no patterns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

import pytest

from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import NoPermissionError, ProtocolError
from django_upstash.pubsub import apublish, publish_many, subscribe
from tests.pubsub.conftest import atexts, texts
from tests.rest_fronts import RestFront
from tests.servers import Server

NOT_FOUND = (404, b'{"error":"Not Found"}')


class OneNameFront(RestFront):
    """Serves streams of one channel, and refuses all others; ``paths`` are those that were asked for."""

    refusal = NOT_FOUND
    lacks: tuple[str, ...] = ("psubscribe",)

    def __init__(self, server: LocalServer) -> None:
        super().__init__(server)
        self.paths: list[str] = []

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        front = self
        passing_on: Any = super()._handler()

        class Handler(passing_on):  # type: ignore[misc]
            def _respond(self, body: bytes | None) -> None:
                verb, *names = self.path.strip("/").split("/")
                if verb in ("subscribe", "psubscribe"):
                    front.paths.append(self.path)
                    if verb in front.lacks or len(names) != 1:
                        return self._send(*front.refusal)  # type: ignore[no-any-return]
                return super()._respond(body)  # type: ignore[no-any-return]

        return Handler


@pytest.fixture
def front(local_server: LocalServer, upstash: dict[str, Any], settings: Any) -> Iterator[OneNameFront]:
    with OneNameFront(local_server) as front:
        settings.UPSTASH = {**upstash, "front": front.settings}
        yield front


def test_channels__have_a_stream_each(front: OneNameFront) -> None:
    with subscribe("a", "b", "c/d é", alias="front", heartbeat=0.05) as subscriber:
        assert subscriber.get(timeout=0.3) is None  # signs of life are asked for, and come
        publish_many([("a", "1"), ("b", "2"), ("c/d é", "3")], alias="front")
        assert sorted(texts(subscriber, 3)) == ["1", "2", "3"]
        assert subscriber.gaps == 0
    names = sorted(unquote(path.rpartition("/")[2]) for path in front.paths)
    assert names[:3] == ["a", "b", "c/d é"]
    assert [name.rpartition(":")[0] for name in names[3:]] == ["django_upstash:sign-of-life"]


def test_channels__have_a_stream_each_for_tasks(front: OneNameFront) -> None:
    async def listen() -> list[str]:
        async with subscribe("a", "b", alias="front") as subscriber:
            await apublish("a", "1", alias="front")
            return await atexts(subscriber, 1)

    assert asyncio.run(listen()) == ["1"]


def test_channels__keep_the_order_of_each(front: OneNameFront) -> None:
    with subscribe("a", "b", alias="front") as subscriber:
        publish_many([(channel, str(number)) for number in range(200) for channel in "ab"], alias="native")
        received = [subscriber.get(timeout=10) for _ in range(400)]
    for channel in "ab":
        found = [message.text for message in received if message is not None and message.channel == channel]
        assert found == [str(number) for number in range(200)]


@pytest.mark.parametrize(
    "refusal",
    [
        NOT_FOUND,
        (404, b"<html>"),
        (405, b""),
        (400, b'{"error":"Invalid content type. Expected application/json."}'),
        (200, b'{"result":"not base64!"}'),
        (200, b'{"result":null}'),
    ],
)
@pytest.mark.parametrize("verb", ["subscribe", "psubscribe"])
def test_refusal__says_what_the_server_lacks(front: OneNameFront, refusal: tuple[int, bytes], verb: str) -> None:
    front.refusal, front.lacks = refusal, (verb,)
    names: Any = {"subscribe": {"channels": ["a"]}, "psubscribe": {"patterns": ["a*"]}}[verb]
    with pytest.raises(ProtocolError, match=f"this server has no /{verb}"), subscribing(**names):
        pass


def subscribing(channels: Any = (), patterns: Any = ()) -> Any:
    return subscribe(*channels, patterns=patterns, alias="front")


def test_refusal__of_the_database_is_its_own(front: OneNameFront) -> None:
    front.refusal = (400, b'{"error":"NOPERM No permissions to access a channel"}')
    with pytest.raises(NoPermissionError, match="No permissions"), subscribing(patterns=["a*"]):
        pass


def test_refusal__of_one_stream_closes_the_others(front: OneNameFront, valkey: Server) -> None:
    with pytest.raises(ProtocolError), subscribing(["a", "b"], ["c*"]):
        pass
    for channel in "ab":
        # The front notices that its client has gone when it has something to pass on.
        for _ in range(1000):
            if valkey.call("PUBLISH", channel, "is anybody there?") == 0:
                break
            threading.Event().wait(0.01)
        else:
            raise AssertionError("a stream was left open")


def test_stream__that_ends_alone_is_noticed_and_all_go_on(front: OneNameFront, valkey: Server) -> None:
    with subscribe("a", "b", alias="front", heartbeat=None) as subscriber:
        valkey.call("CLIENT", "KILL", "TYPE", "pubsub")
        while not subscriber.gaps:
            publish_many([("a", "1"), ("b", "1")], alias="native")
            subscriber.get(timeout=0.05)
        publish_many([("a", "last"), ("b", "last")], alias="native")
        found = {(message.channel, message.text) for message in iter(lambda: subscriber.get(timeout=1), None)}
    assert {("a", "last"), ("b", "last")} <= found
