from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from django_upstash.exceptions import ConnectionError, DataError
from django_upstash.pubsub import (
    Gap,
    Message,
    Subscriber,
    apublish,
    apublish_many,
    publish,
    publish_many,
    subscribe,
)
from tests.pubsub.conftest import Open, texts
from tests.servers import Server

pytestmark = pytest.mark.matrix


@pytest.mark.usefixtures("each_loop")
def test_subscriber__receives_what_is_published(opened: Open, alias: str) -> None:
    subscriber = opened("news", "weather")
    assert publish("news", "hello", alias=alias) == 1
    assert publish("other", "not for us", alias=alias) == 0
    publish("weather", 21, alias=alias)

    assert next(subscriber) == Message("news", b"hello")
    assert next(subscriber) == Message("weather", b"21")
    assert subscriber.get(timeout=0.01) is None


def test_subscriber__of_patterns(opened: Open, alias: str) -> None:
    subscriber = opened("news", patterns=["orders.*", "user:?"])
    for channel in ("orders.new", "user:1", "news", "user:12"):
        publish(channel, "x", alias=alias)

    found = [subscriber.get(timeout=10) for _ in range(3)]
    assert {(message.channel, message.pattern) for message in found} == {
        ("orders.new", "orders.*"),
        ("user:1", "user:?"),
        ("news", None),
    }


def test_message__arrives_as_it_was_published(opened: Open, alias: str) -> None:
    sent = [
        "",
        " ",
        "grün 漢字 🎉",
        "a,b,,c",
        "two\nlines",
        "\n",
        "\n\nlast\n",
        "a\rb",
        "a\r\nb",
        ": comment",
        "data: x",
    ]
    sent.append("x" * 300_000)
    name = "a channel/with %2F & ünïcode"
    subscriber = opened(name)
    publish_many([(name, text) for text in sent], alias=alias)

    assert texts(subscriber, len(sent)) == sent


def test_message__of_bytes(upstash: dict[str, dict[str, Any]], route: str) -> None:
    data = bytes(range(256))
    with subscribe("news", alias="native") as native, subscribe("news", alias="rest") as rest:
        publish("news", data, alias=route)
        message = native.get(timeout=10)
        assert message is not None
        assert message.data == data
        # Events are text: what is not UTF-8 is replaced.
        replaced = rest.get(timeout=10)
        assert replaced is not None
        assert replaced.text == data.decode("utf-8", "replace")


def test_message__is_not_shown(opened: Open, alias: str) -> None:
    subscriber = opened("news")
    publish("news", "secret", alias=alias)
    message = subscriber.get(timeout=10)
    assert "secret" not in repr(message)
    assert repr(Subscriber(["news"], ["orders.*"])) == "<Subscriber of 'news', 'orders.*'>"


def test_iteration__ends_when_closed(opened: Open) -> None:
    subscriber = opened("news")
    closer = threading.Timer(0.1, subscriber.subscriber.close if hasattr(subscriber, "runner") else subscriber.close)
    closer.start()

    assert list(subscriber) == []
    closer.join()


@pytest.mark.usefixtures("each_loop")
def test_close__ends_the_subscription(opened: Open, valkey: Server) -> None:
    subscriber = opened("news")
    assert valkey.call("PUBSUB", "NUMSUB", "news") == [b"news", 1]
    subscriber.close()
    subscriber.close()

    assert subscriber.get(timeout=10) is None
    assert not [thread for thread in threading.enumerate() if thread.name == "django_upstash pubsub"]
    for _ in range(1000):
        if valkey.call("PUBSUB", "NUMSUB", "news") == [b"news", 0]:
            return
        threading.Event().wait(0.01)
    pytest.fail("the server has still a subscriber")


@pytest.mark.usefixtures("each_loop")
def test_cancellation__loses_no_message(alias: str) -> None:
    async def receive() -> list[str]:
        found: list[str] = []
        async with subscribe("news", alias=alias) as subscriber:
            for number in range(50):
                waiting = asyncio.create_task(subscriber.aget())
                await asyncio.sleep(0)
                if not waiting.cancel():  # it had something to take at once
                    taken = waiting.result()
                    assert taken is not None
                    found.append(taken.text)
                await apublish("news", str(number), alias=alias)
            while len(found) < 50:
                message = await subscriber.aget(timeout=10)
                assert message is not None
                found.append(message.text)
        return found

    assert asyncio.run(receive()) == list(map(str, range(50)))


@pytest.mark.usefixtures("each_loop")
def test_cancellation__of_a_task_that_receives(alias: str, valkey: Server) -> None:
    async def receive() -> None:
        async with subscribe("news", alias=alias) as subscriber:
            async for _ in subscriber:
                pytest.fail("nothing was published")

    async def cancel() -> None:
        task = asyncio.create_task(receive())
        while valkey.call("PUBSUB", "NUMSUB", "news") == [b"news", 0]:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [task for task in asyncio.all_tasks() if "_carry" in str(task)] == []

    asyncio.run(cancel())


@pytest.mark.usefixtures("each_loop")
def test_subscriber__a_task_and_a_publisher_share_the_loop(alias: str) -> None:
    async def talk() -> list[str]:
        async with subscribe("news", alias=alias) as subscriber:
            await asyncio.gather(*(apublish("news", str(number), alias=alias) for number in range(100)))
            return [(await anext(subscriber)).text for _ in range(100)]

    assert sorted(asyncio.run(talk()), key=int) == list(map(str, range(100)))


@pytest.mark.usefixtures("each_loop")
def test_publish_many__is_one_request(alias: str, valkey: Server) -> None:
    from django_upstash.connections import connections

    meter = connections[alias].meter
    publish("warm", "up", alias=alias)
    requests = meter.requests
    with valkey.counting() as counted:
        assert publish_many([("news", str(number)) for number in range(100)], alias=alias) == [0] * 100
        assert asyncio.run(apublish_many([("news", "x"), ("weather", "y")], alias=alias)) == [0, 0]
        assert publish_many([], alias=alias) == []
    assert meter.requests == requests + 2
    assert counted.by_command == {"publish": 102}


def test_subscriber__names_are_checked(alias: str) -> None:
    with pytest.raises(ValueError, match="name at least one"):
        Subscriber()
    with pytest.raises(TypeError, match="list of names"):
        Subscriber("news")
    with pytest.raises(ValueError, match="not empty"):
        Subscriber([""])
    with pytest.raises(DataError):
        Subscriber(["\ud800"])
    with pytest.raises(DataError, match="name a channel"):
        publish("", "x", alias=alias)


@pytest.mark.parametrize("options", [{"buffer": 0}, {"buffer_bytes": 0}, {"heartbeat": 0}, {"heartbeat": -1}])
def test_subscriber__options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="larger than 0"):
        Subscriber(["news"], **options)


@pytest.mark.parametrize("name", ["a,b", "a\nb", "a\rb"])
def test_names__that_events_cannot_tell(upstash: dict[str, dict[str, Any]], name: str) -> None:
    with pytest.raises(DataError, match="rediss://"), subscribe(name, alias="rest"):
        pass
    with pytest.raises(DataError, match="rediss://"), subscribe(patterns=[name], alias="rest"):
        pass
    with subscribe(name, alias="native") as subscriber:
        publish(name, "x", alias="native")
        assert texts(subscriber, 1) == ["x"]


def test_subscriber__is_entered_once(alias: str) -> None:
    with subscribe("news", alias=alias) as subscriber, pytest.raises(RuntimeError, match="make another"):
        subscriber.__enter__()
    with pytest.raises(RuntimeError, match="with block"):
        subscribe("news", alias=alias).get()


def test_subscriber__says_why_it_cannot_begin(settings: Any, route: str) -> None:
    url = {"native": "redis://127.0.0.1:1", "rest": "http://127.0.0.1:1"}[route]
    settings.UPSTASH = {"default": {"URL": url, **({"TOKEN": "x"} if route == "rest" else {})}}

    with pytest.raises(ConnectionError, match=":1"), subscribe("news"):
        pass

    async def enter() -> None:
        async with subscribe("news"):
            pass

    with pytest.raises(ConnectionError):
        asyncio.run(enter())


def test_on_gap__of_a_thread_is_no_coroutine_function(alias: str) -> None:
    async def on_gap(gap: Gap) -> None:
        pass

    with pytest.raises(TypeError, match="plain function"), subscribe("news", alias=alias, on_gap=on_gap):
        pass
