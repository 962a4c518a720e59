"""Connections of one caller's own: WATCH, blocking commands, publish/subscribe, MONITOR and ``client()``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from django_upstash import exceptions
from django_upstash.adapters.dedicated import DedicatedConnections
from django_upstash.connections import Connection
from django_upstash.exceptions import NotOverRestError
from django_upstash.settings.conf import make_settings
from tests.fault_proxy import FaultProxy, TLSProxy
from tests.servers import Server, start_valkey
from tests.wire.test_lifecycle import in_child

pytestmark = pytest.mark.matrix


@pytest.fixture
def client(native: Connection) -> Any:
    return native.redis


@pytest.fixture
def pool(client: Any) -> DedicatedConnections:
    found: DedicatedConnections = client.connection_pool
    return found


def open_connections(pool: DedicatedConnections) -> int:
    return len(pool._wires)


def soon(work: Callable[[], Any]) -> threading.Thread:
    """Do something in a thread, while the caller waits for it to happen."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_blocking_pop__waits_for_a_value(client: Any, native: Connection, valkey: Server) -> None:
    thread = soon(lambda: native.redis.rpush("q", "v"))
    assert client.blpop("q", 0) == (b"q", b"v")
    thread.join()
    assert client.blpop("none", 0.01) is None
    assert client.bzpopmin("none", 0.01) is None


def test_blocking_pop__waits_longer_than_the_timeout(upstash: dict[str, Any], valkey: Server) -> None:
    connection = Connection(make_settings("native", {**upstash["native"], "TIMEOUT": 0.1}))
    timer = threading.Timer(0.3, lambda: valkey.call("RPUSH", "q", "v"))
    timer.start()
    assert connection.redis.blpop("q", 5) == (b"q", b"v")
    timer.join()
    connection.close()


def test_blocking_read__of_a_stream(client: Any) -> None:
    assert client.xread({"x": "$"}, block=10) == []
    client.xadd("x", {"f": "v"}, id="1-1")
    assert client.xread({"x": 0}, block=10) == [[b"x", [(b"1-1", {b"f": b"v"})]]]


def test_blocking_pop__leaves_the_shared_connections_alone(client: Any, native: Connection) -> None:
    done = threading.Event()

    def wait() -> None:
        client.blpop("q", 0)
        done.set()

    thread = soon(wait)
    for n in range(100):
        assert native.redis.set("k", n)
    assert not done.is_set()
    client.rpush("q", "v")
    thread.join()


def test_connections__are_reused(client: Any, valkey: Server) -> None:
    client.blpop("none", 0.01)
    with valkey.counting() as counted:
        for _ in range(5):
            client.blpop("none", 0.01)
    assert counted.connections == 0


def test_connections__are_bounded(client: Any, pool: DedicatedConnections) -> None:
    popped = []
    threads = [soon(lambda: popped.append(client.blpop("q", 0))) for _ in range(16)]
    for n in range(16):
        client.rpush("q", n)
    for thread in threads:
        thread.join()
    assert sorted(int(value) for _, value in popped) == list(range(16))
    assert open_connections(pool) <= 4


def test_connections__all_lent(upstash: dict[str, Any]) -> None:
    connection = Connection(make_settings("native", {**upstash["native"], "MAX_CONNECTIONS": 1, "POOL_TIMEOUT": 0.05}))
    client: Any = connection.redis
    with client.pubsub() as subscription:
        subscription.subscribe("c")
        with pytest.raises(exceptions.MaxConnectionsError):
            client.blpop("q", 1)
    assert client.blpop("q", 0.01) is None
    connection.close()


def test_connections__found_dead_are_replaced(client: Any, valkey: Server) -> None:
    client.blpop("none", 0.01)
    valkey.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert client.blpop("none", 0.01) is None


def test_watch__transaction(client: Any) -> None:
    def increment(pipe: Any) -> None:
        value = int(pipe.get("n") or 0)
        pipe.multi()
        pipe.set("n", value + 1).config_get("maxmemory")

    assert client.transaction(increment, "n") == [True, {"maxmemory": "0"}]
    assert client.get("n") == b"1"


def test_watch__a_changed_key_discards(client: Any) -> None:
    with client.pipeline() as pipe:
        pipe.watch("k")
        client.set("k", "changed")
        pipe.multi()
        pipe.set("k", "mine")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert client.get("k") == b"changed"


def test_watch__counts_right_among_threads(client: Any, pool: DedicatedConnections) -> None:
    def increment(pipe: Any) -> None:
        value = int(pipe.get("n") or 0)
        pipe.multi()
        pipe.set("n", value + 1)

    threads = [soon(lambda: [client.transaction(increment, "n") for _ in range(5)]) for _ in range(6)]
    for thread in threads:
        thread.join()
    assert client.get("n") == b"30"
    assert open_connections(pool) <= 4


def test_watch__errors_show_no_arguments(client: Any) -> None:
    with client.pipeline() as pipe:
        pipe.watch("k")
        pipe.multi()
        pipe.set("k", "s3cret").lpush("k", "s3cret")
        with pytest.raises(exceptions.ResponseError, match=r"Command # 2 \(LPUSH\)") as caught:
            pipe.execute()
        pipe.watch("k")
        with pytest.raises(exceptions.UnknownCommandError) as unknown:
            pipe.execute_command("NOPE", "s3cret")
    assert "s3cret" not in f"{caught.value} {unknown.value}"


def test_watch__script(client: Any) -> None:
    script = client.register_script("return redis.call('STRLEN', KEYS[1])")
    with client.pipeline() as pipe:
        pipe.watch("k")
        pipe.multi()
        pipe.set("k", 10**4000)
        script(keys=["k"], client=pipe)
        assert pipe.execute() == [True, 4001]


def test_watch__an_integer_that_would_crash_hiredis(client: Any) -> None:
    with client.pipeline() as pipe:
        pipe.watch("k")
        pipe.multi()
        pipe.set("k", 10**5000)
        with pytest.raises(redis.DataError, match="digits"):
            pipe.execute()


def test_watch__the_connection_comes_back(client: Any, pool: DedicatedConnections) -> None:
    pipe = client.pipeline()
    pipe.watch("k")
    assert pipe.get("k") is None
    pipe.unwatch()
    pipe.set("k", 1)
    assert pipe.execute() == [True]
    pipe.set("k", 2)
    assert pipe.execute() == [True]
    assert pool._lent == {}


def test_pubsub__messages_and_waiting(upstash: dict[str, Any], valkey: Server) -> None:
    connection = Connection(make_settings("native", {**upstash["native"], "TIMEOUT": 0.1}))
    client: Any = connection.redis
    with client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe("c")
        assert subscription.get_message(timeout=0.01) is None
        timer = threading.Timer(0.3, lambda: valkey.call("PUBLISH", "c", "m"))
        timer.start()
        message = next(subscription.listen())
        timer.join()
    assert (message["channel"], message["data"]) == (b"c", b"m")
    connection.close()


def test_pubsub__handler_thread(client: Any) -> None:
    received: list[Any] = []
    got_one = threading.Event()

    def handle(message: Any) -> None:
        received.append(message["data"])
        got_one.set()

    subscription = client.pubsub()
    subscription.subscribe(c=handle)
    thread = subscription.run_in_thread(sleep_time=0.01)
    while not client.publish("c", "m"):
        pass
    assert got_one.wait(5)
    thread.stop()
    thread.join()
    assert received[0] == b"m"


def test_monitor(client: Any) -> None:
    with client.monitor() as monitor:
        client.get("seen")
        assert monitor.next_command()["command"] == "GET seen"


def test_client__has_a_connection_of_its_own(client: Any, pool: DedicatedConnections) -> None:
    with client.client() as own:
        own.client_setname("mine")
        assert own.execute_command("SELECT", 1)
        own.set("k", "in database 1")
        assert own.client_getname() == "mine"
        assert own.wait(0, 1) == 0
        assert own.pipeline().get("k").execute() == [None]
    assert open_connections(pool) == 0
    with client.pipeline() as pipe:
        pipe.watch("k")
        assert pipe.get("k") is None  # nobody gets a connection that is in another database


@pytest.fixture
def guarded() -> Iterator[Server]:
    with start_valkey() as server:
        server.call("ACL", "SETUSER", "ann", "on", ">p@ss word", "~*", "&*", "+@all")
        server.call("ACL", "SETUSER", "default", "off")
        yield server


@pytest.mark.parametrize("proxied", [FaultProxy, TLSProxy])
def test_connections__use_the_same_address_and_user(guarded: Server, proxied: Any) -> None:
    with proxied(guarded.port) as proxy:
        entry = {"URL": proxy.url.replace("//", "//ann:p%40ss%20word@")}
        if proxied is TLSProxy:
            entry["CA_CERTS"] = str(Path(proxy.certificate.ca_file))
        connection = Connection(make_settings("native", entry))
        assert connection.redis.blpop("none", 0.01) is None
        connection.close()


def test_connections__wrong_password(guarded: Server) -> None:
    connection = Connection(make_settings("native", {"URL": f"redis://ann:s3cret@127.0.0.1:{guarded.port}"}))
    with pytest.raises(exceptions.AuthenticationError) as caught:
        connection.redis.blpop("none", 1)
    assert "s3cret" not in str(caught.value)
    connection.close()


@pytest.fixture
def proxied() -> Iterator[tuple[FaultProxy, Any]]:
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        connection = Connection(make_settings("native", {"URL": proxy.url, "TIMEOUT": 0.3}))
        connection.redis.blpop("none", 0.01)
        yield proxy, connection.redis
        connection.close()


def test_blocking_pop__the_connection_breaks(proxied: tuple[FaultProxy, Any]) -> None:
    proxy, client = proxied
    proxy.reset_next()
    with pytest.raises(exceptions.ConnectionError, match="BLPOP"):
        client.blpop("none", 0.01)
    assert client.blpop("none", 0.01) is None


def test_blocking_pop__no_answer_in_time(proxied: tuple[FaultProxy, Any]) -> None:
    proxy, client = proxied
    proxy.latency(0.6)
    with pytest.raises(exceptions.TimeoutError, match="BLPOP"):
        client.blpop("none", 0.01)
    assert client.connection_pool._lent == {}


def test_close__releases_every_connection(native: Connection, pool: DedicatedConnections, valkey: Server) -> None:
    client: Any = native.redis
    client.blpop("none", 0.01)
    subscription = client.pubsub()
    subscription.subscribe("c")
    assert subscription.get_message(timeout=1)["type"] == "subscribe"
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            client.blpop("q", 0)
        except redis.ConnectionError as error:
            failed.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    while not valkey.call("INFO", "clients").count(b"blocked_clients:1"):
        pass
    native.close()
    thread.join(5)
    assert len(failed) == 1
    with pytest.raises(redis.ConnectionError):
        subscription.get_message(timeout=1)
    subscription.close()
    assert (open_connections(pool), pool._lent) == (0, {})
    assert client.blpop("none", 0.01) is None


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork__children_take_connections_of_their_own(client: Any, pool: DedicatedConnections) -> None:
    client.blpop("none", 0.01)
    pipe = client.pipeline()
    pipe.watch("k")

    def work() -> list[Any]:
        pipe.reset()
        replies = [client.pipeline().set("k", n).execute() for n in range(3)]
        return [replies, client.blpop("none", 0.01), open_connections(pool)]

    waits = [in_child(work) for _ in range(2)]
    assert [wait() for wait in waits] == [[[[True]] * 3, None, 1]] * 2
    pipe.multi()
    pipe.set("k", "mine")
    with pytest.raises(redis.WatchError):
        pipe.execute()
    assert client.blpop("none", 0.01) is None


@pytest.mark.parametrize("route", ["embedded"])
def test_connections__to_the_embedded_server(connection: Connection) -> None:
    client: Any = connection.redis

    async def pop() -> Any:
        return await connection.async_redis.blpop("none", 0.01)

    assert client.blpop("none", 0.01) is None
    assert client.transaction(lambda pipe: (pipe.multi(), pipe.set("k", 1)), "k") == [True]
    assert asyncio.run(pop()) is None


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda client: client.blpop("q", 1), "poll with LPOP"),
        (lambda client: client.bzpopmax("q", 1), "poll with ZPOPMAX"),
        (lambda client: client.xread({"x": 0}, block=10), "XREAD without BLOCK"),
        (lambda client: client.pipeline().watch("k"), "Lua script"),
        (lambda client: client.transaction(lambda pipe: None, "k"), "Lua script"),
        (lambda client: client.pubsub(), "XREAD"),
        (lambda client: client.monitor(), "rediss://"),
        (lambda client: client.client(), "rediss://"),
        (lambda client: client.connection_pool.get_connection(), "rediss://"),
    ],
)
def test_over_rest__raises_at_once(rest: Connection, use: Callable[[Any], Any], advice: str) -> None:
    with pytest.raises(NotOverRestError, match=advice) as caught:
        use(rest.redis)
    assert isinstance(caught.value, redis.RedisError)
    assert isinstance(caught.value, NotImplementedError)
    assert rest.meter.requests == 0


def test_idle_connections__are_replaced_after_a_while(valkey: Server) -> None:
    connection = Connection(make_settings("native", {"URL": valkey.url}))
    pool: Any = connection.redis.connection_pool
    first = pool.get_connection()
    pool.release(first)
    assert pool.get_connection() is first
    pool.release(first)
    pool._wires._idle[0].idle_since -= connection.settings.idle_check
    second = pool.get_connection()
    assert second is not first
    pool.release(second)
    connection.close()
