"""Many messages, servers that go away, connections that die silently, subscribers that are slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings as django_settings

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import AuthenticationError
from django_upstash.pubsub import Gap, Message, Subscriber, publish, publish_many, subscribe
from django_upstash.pubsub.buffer import Buffer
from tests.fault_proxy import FaultProxy
from tests.pubsub.conftest import Awaited, Open, atexts, publish_until_received, texts
from tests.servers import Server, start_valkey

MANY = 10_000


@pytest.mark.default_cases(1)
def test_many_messages__come_in_order_and_once(opened: Open, alias: str) -> None:
    gaps: list[Gap] = []
    subscriber = opened("news", on_gap=gaps.append)
    for start in range(0, MANY, 1000):
        publish_many([("news", str(number)) for number in range(start, start + 1000)], alias=alias)

    assert texts(subscriber, MANY) == list(map(str, range(MANY)))
    assert subscriber.get(timeout=0.01) is None
    assert gaps == []


@pytest.mark.default_cases(1)
def test_many_messages__while_they_are_taken(alias: str) -> None:
    found: list[str] = []
    with subscribe("news", alias=alias) as subscriber:
        taker = threading.Thread(target=lambda: found.extend(texts(subscriber, MANY)))
        taker.start()
        for start in range(0, MANY, 100):
            publish_many([("news", str(number)) for number in range(start, start + 100)], alias=alias)
        taker.join()

    assert found == list(map(str, range(MANY)))


@pytest.mark.default_cases(1)
def test_many_messages__to_a_task_in_the_publishers_loop(alias: str) -> None:
    """The task takes them as they come, though there is room for a small part of them only."""

    async def talk() -> tuple[list[str], int]:
        async with subscribe("news", alias=alias, buffer=MANY // 10) as subscriber:
            taking = asyncio.create_task(atexts(subscriber, MANY))
            pairs = [("news", str(number)) for number in range(MANY)]
            await asyncio.to_thread(publish_many, pairs, alias=alias)
            return await taking, subscriber.gaps

    assert asyncio.run(talk()) == (list(map(str, range(MANY))), 0)


@pytest.mark.default_cases(1)
def test_slow_subscriber__keeps_the_latest_and_knows_how_many_are_missing(opened: Open, alias: str) -> None:
    gaps: list[Gap] = []
    subscriber = opened("news", buffer=100, on_gap=gaps.append)
    publish_many([("news", str(number)) for number in range(MANY)], alias=alias)
    publish("news", "last", alias=alias)
    settle(subscriber)
    found = []
    while (message := subscriber.get(timeout=10)) != Message("news", b"last"):
        assert message is not None
        found.append(int(message.text))

    assert found == sorted(found)
    assert len(found) + subscriber.dropped == MANY
    assert subscriber.dropped == sum(gap.dropped for gap in gaps)
    assert subscriber.gaps == len(gaps) >= 1


def settle(subscriber: Any) -> None:
    """Return when everything has been received, the message ``last`` at the end."""
    if isinstance(subscriber, Awaited):  # receives while its loop runs
        subscriber.runner.run(all_received(subscriber._buffer))
    else:
        asyncio.run(all_received(subscriber._buffer))


async def all_received(buffer: Buffer) -> None:
    while not buffer._items or buffer._items[-1] != Message("news", b"last"):
        await asyncio.sleep(0.01)


@pytest.mark.default_cases(1)
def test_slow_subscriber__is_bounded_in_bytes(opened: Open, alias: str) -> None:
    subscriber = opened("news", buffer_bytes=2_500)
    publish_many([("news", "x" * 1000) for _ in range(50)], alias=alias)
    publish("news", "last", alias=alias)
    settle(subscriber)
    count = 0
    while subscriber.get(timeout=10) != Message("news", b"last"):
        count += 1
    assert count + subscriber.dropped == 50
    assert subscriber.dropped > 0


@pytest.fixture
def mortal(route: str, settings: Any) -> Iterator[Server]:
    """A server for one test, which may kill it, behind the alias ``mortal`` on the route."""
    with ExitStack() as stack:
        server = stack.enter_context(start_valkey())
        if route == "native":
            settings.UPSTASH = {"mortal": {"URL": server.tcp_url}}
        else:
            local = stack.enter_context(LocalServer(server.tcp_url))
            settings.UPSTASH = {"mortal": {"URL": local.url, "TOKEN": local.token}}
        yield server


Opened = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def open_mortal(request: pytest.FixtureRequest, mortal: Server) -> Iterator[Opened]:
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner()) if request.param == "async" else None

        def open_subscriber(*channels: str, **options: Any) -> Any:
            subscriber: Any = Subscriber(channels, alias="mortal", **options)
            return stack.enter_context(subscriber if runner is None else Awaited(subscriber, runner))

        yield open_subscriber


@pytest.mark.default_cases(1)
def test_restart__is_survived_and_told_between_the_messages(open_mortal: Opened, mortal: Server) -> None:
    story: list[Any] = []
    subscriber = open_mortal("news", on_gap=story.append)
    publish("news", "before", alias="mortal")
    story += texts(subscriber, 1)
    mortal.restart()
    publish_until_received(subscriber, "news", "mortal")
    while subscriber.get(timeout=0.05) is not None:
        pass
    publish("news", "after", alias="mortal")
    story += texts(subscriber, 1)

    assert [type(part) for part in story] == [str, Gap, str]
    assert story[1].seconds > 0
    assert (subscriber.gaps, subscriber.dropped) == (1, 0)


@pytest.mark.default_cases(1)
def test_restart__patterns_too(open_mortal: Opened, mortal: Server) -> None:
    subscriber = open_mortal("weather", patterns=["n*"])
    mortal.restart()
    publish_until_received(subscriber, "news", "mortal")
    publish_until_received(subscriber, "weather", "mortal")
    assert subscriber.gaps >= 1


@pytest.mark.default_cases(1)
def test_on_gap__what_it_raises_ends_the_iteration(open_mortal: Opened, mortal: Server) -> None:
    def refuse(gap: Gap) -> None:
        raise RuntimeError("not without all messages")

    subscriber = open_mortal("news", on_gap=refuse)
    mortal.restart()
    with pytest.raises(RuntimeError, match="not without"):
        subscriber.get(timeout=20)


def test_on_gap__is_awaited_by_a_task(mortal: Server) -> None:
    gaps: list[Gap] = []

    async def on_gap(gap: Gap) -> None:
        await asyncio.sleep(0)
        gaps.append(gap)

    async def receive() -> None:
        async with subscribe("news", alias="mortal", on_gap=on_gap) as subscriber:
            await asyncio.to_thread(mortal.restart)
            while not gaps:
                await subscriber.aget(timeout=0.05)

    asyncio.run(receive())
    assert len(gaps) == 1


def test_refusal_later__is_raised_after_the_messages(open_mortal: Opened, mortal: Server, route: str) -> None:
    if route == "rest":
        pytest.skip("the local server speaks for its clients")
    subscriber = open_mortal("news")
    publish("news", "before", alias="mortal")
    mortal.call("CONFIG", "SET", "requirepass", "secret")
    assert texts(subscriber, 1) == ["before"]
    mortal.call("CLIENT", "KILL", "TYPE", "pubsub")

    with pytest.raises(AuthenticationError):
        subscriber.get(timeout=20)


@pytest.fixture
def proxied(valkey: Server, local_server: LocalServer, route: str, settings: Any) -> Iterator[FaultProxy]:
    """The route with faults, behind the alias ``proxied``."""
    upstream: Any = valkey.socket_path if route == "native" else int(local_server.url.rpartition(":")[2])
    with FaultProxy(upstream) as proxy:
        entry: dict[str, Any] = {"URL": proxy.url}
        if route == "rest":
            entry |= {"URL": f"http://127.0.0.1:{proxy.port}", "TOKEN": local_server.token}
        settings.UPSTASH = {
            "proxied": entry,
            "direct": {"URL": valkey.url},
        }
        yield proxy


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("fault", ["blackhole", "drop_replies"])
def test_silent_connection__is_found_dead_and_replaced(
    proxied: FaultProxy, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    django_settings.UPSTASH["proxied"]["TIMEOUT"] = 0.5
    with subscribe("news", alias="proxied", heartbeat=0.2) as subscriber:
        getattr(proxied, fault)()
        publish("news", "nobody hears it", alias="direct")
        while "interrupted" not in caplog.text:
            assert subscriber.get(timeout=0.05) is None
        proxied.heal()
        publish_until_received(subscriber, "news", "direct")
        assert subscriber.gaps >= 1


def test_quiet_connection__stays(proxied: FaultProxy, valkey: Server) -> None:
    with subscribe("news", alias="proxied", heartbeat=0.05) as subscriber:
        connected = proxied.connections
        assert subscriber.get(timeout=0.5) is None
        publish("news", "hello", alias="direct")
        assert texts(subscriber, 1) == ["hello"]
        # Over REST, signs of life are published on a connection beside the stream.
        assert proxied.connections <= connected + 1
        assert subscriber.gaps == 0


@pytest.mark.parametrize("count", [1, 3])
def test_reconnecting__goes_on_until_it_succeeds(proxied: FaultProxy, count: int) -> None:
    with subscribe("news", alias="proxied") as subscriber:
        proxied.close_before_reply(count)
        for _ in range(2):
            proxied.sever()
        publish_until_received(subscriber, "news", "direct")
        assert subscriber.gaps >= 1


def test_heartbeat__costs_one_command(alias: str, valkey: Server, local_server: LocalServer) -> None:
    command = {"native": "ping", "rest": "publish"}[alias]
    connections[alias].ping()
    with subscribe("news", alias=alias, heartbeat=0.05) as subscriber:
        with valkey.counting() as counted:
            subscriber.get(timeout=0.5)
        assert set(counted.by_command) == {command}
        assert 1 <= counted.commands <= 10
    with subscribe("news", alias=alias, heartbeat=None) as subscriber:
        with valkey.counting() as counted:
            subscriber.get(timeout=0.2)
        assert counted.commands == 0


def test_heartbeat__is_nobody_elses_business(upstash: dict[str, dict[str, Any]], route: str) -> None:
    with (
        subscribe(patterns=["*"], alias=route) as curious,
        subscribe(patterns=["*"], alias="rest", heartbeat=0.05) as beating,
    ):
        assert beating.get(timeout=0.3) is None
        assert curious.get(timeout=0.01) is None


@pytest.mark.parametrize("heartbeat", [30.0, None])
def test_subscribing__costs_natively_a_command_for_each_kind_over_rest_one_for_each_name(
    alias: str, valkey: Server, local_server: LocalServer, heartbeat: float | None
) -> None:
    connections[alias].ping()
    local_server.reset_meter()
    subscriber = subscribe("a", "b", patterns=["c*", "d*", "e*"], alias=alias, heartbeat=heartbeat)
    with valkey.counting() as counted, subscriber:
        pass
    if alias == "native":
        assert counted.by_command == {"subscribe": 1, "psubscribe": 1}
        return
    channels = 2 if heartbeat is None else 3  # its own, for signs of life
    assert counted.by_command == {"subscribe": channels, "psubscribe": 3}
    assert local_server.meter()["by_command"] == {"SUBSCRIBE": channels, "PSUBSCRIBE": 3}


def test_heartbeat__without_the_right_to_publish(valkey: Server, settings: Any) -> None:
    with LocalServer(valkey.url, read_only_token="only-reads") as local:
        settings.UPSTASH = {"default": {"URL": local.url, "TOKEN": "only-reads"}, "native": {"URL": valkey.url}}
        with subscribe("news", heartbeat=0.05) as subscriber:
            assert subscriber.get(timeout=0.2) is None
            publish("news", "hello", alias="native")
            assert texts(subscriber, 1) == ["hello"]
            assert subscriber.gaps == 0
