"""redis-py's API on every route: what its documentation promises, through its own callbacks."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest
import redis

from django_upstash import exceptions
from django_upstash.adapters.redis import RouteRedis
from django_upstash.connections import Connection
from tests.servers import Server

pytestmark = pytest.mark.matrix


@pytest.fixture
def client(connection: Connection) -> Any:  # redis-py's annotations know no chained pipelines
    return connection.redis


def test_client__opens_nothing(upstash: dict[str, Any], connection: Connection, valkey: Server) -> None:
    with valkey.counting() as counted:
        client = connection.redis
        assert "RouteRedis" in repr(client)
    assert counted.connections == 0
    assert client.connection_pool.connection_kwargs["protocol"] == 2


def test_client__shows_no_secret(connection: Connection) -> None:
    token = connection.settings.token
    shown = f"{connection.redis!r} {connection.redis.connection_pool!r} {connection.redis.get_connection_kwargs()}"
    assert token is None or token not in shown


def test_client__closing_it_closes_nothing(client: Any) -> None:
    client.set("k", "v")
    with client as entered:
        assert entered.get("k") == b"v"
    client.close()
    assert client.get("k") == b"v"


def test_strings(client: Any) -> None:
    assert client.set("k", "é", ex=datetime.timedelta(seconds=100)) is True
    assert (client.get("k"), client.get("none"), client.ttl("k")) == ("é".encode(), None, 100)
    assert client.set("k", "x", nx=True) is None
    assert client.set("k", "new", xx=True, get=True) == "é".encode()
    assert client.mset({"a": 1, "b": 2.5}) is True
    assert client.mget("a", "none", "b") == [b"1", None, b"2.5"]
    assert client.mget([]) == []
    assert (client.incrby("a", 4), client.incrbyfloat("b", 0.25)) == (5, 2.75)
    assert client.exists("a", "b", "none") == 2
    assert client.expire("a", 50) is True
    assert client.type("a") == b"string"


def test_hashes_and_lists(client: Any) -> None:
    assert client.hset("h", mapping={"a": 1, "b": "x"}) == 2
    assert client.hgetall("h") == {b"a": b"1", b"b": b"x"}
    assert client.hmget("h", "a", "none") == [b"1", None]
    assert client.hexists("h", "a") is True
    assert dict(client.hscan_iter("h")) == {b"a": b"1", b"b": b"x"}
    assert client.rpush("l", "a", "b", "c") == 3
    assert (client.lpop("l"), client.lrange("l", 0, -1)) == (b"a", [b"b", b"c"])


def test_sets_and_sorted_sets(client: Any) -> None:
    assert client.sadd("s", "a", "b") == 2
    assert client.smembers("s") == {b"a", b"b"}
    assert set(client.sscan_iter("s")) == {b"a", b"b"}
    assert client.zadd("z", {"a": 1, "b": 2.5}) == 2
    assert client.zrange("z", 0, -1, withscores=True) == [(b"a", 1.0), (b"b", 2.5)]
    assert (client.zscore("z", "b"), client.zrank("z", "b"), client.zincrby("z", 1, "a")) == (2.5, 1, 2.0)
    assert dict(client.zscan_iter("z")) == {b"a": 2.0, b"b": 2.5}


def test_streams_and_geo(client: Any) -> None:
    assert client.xadd("x", {"f": "v"}, id="1-1") == b"1-1"
    assert client.xrange("x") == [(b"1-1", {b"f": b"v"})]
    assert client.xread({"x": 0}) == [[b"x", [(b"1-1", {b"f": b"v"})]]]
    assert client.xinfo_stream("x")["length"] == 1
    assert client.geoadd("g", (13.361389, 38.115556, "Palermo")) == 1
    ((longitude, latitude),) = client.geopos("g", "Palermo")
    assert (round(longitude, 4), round(latitude, 4)) == (13.3614, 38.1156)


def test_servers_commands_of_several_words(client: Any) -> None:
    client.set("k", "v")
    assert client.memory_usage("k") > 0
    assert client.info("server")["redis_version"]
    assert client.ping() is True
    sha = client.script_load("return 1")
    assert client.script_exists(sha) == [True]


def test_dump__is_not_decoded(client: Any) -> None:
    client.set("k", b"\xff")
    assert type(client.dump("k")) is bytes


def test_raw_bytes__as_one_argument(client: Any) -> None:
    every_byte = bytes(range(256))
    client.set("k", memoryview(every_byte))
    assert client.get("k") == every_byte


def test_huge_integers__become_text(client: Any) -> None:
    client.set("k", 10**4000)
    assert client.strlen("k") == 4001


def test_scan_iter__over_many_keys(client: Any) -> None:
    client.mset({f"many:{n}": n for n in range(5000)})
    client.set("other", 1)
    assert set(client.scan_iter("many:*", count=1000)) == {b"many:%d" % n for n in range(5000)}


def test_errors__are_this_packages_and_redis_pys(client: Any) -> None:
    client.set("k", "text")
    with pytest.raises(exceptions.ResponseError) as caught:
        client.lpush("k", "s3cret")
    assert isinstance(caught.value, redis.ResponseError)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("value", [None, True, object(), "\ud800"])
def test_arguments_that_cannot_be_sent(client: Any, value: Any) -> None:
    with pytest.raises(redis.DataError):
        client.set("k", value)


@pytest.mark.parametrize(
    "command", [("SELECT", 1), ("AUTH", "s3cret"), ("CLIENT REPLY", "OFF"), ("MULTI",), ("wait", 1, 1), ("HELLO", 3)]
)
def test_commands_of_the_connection_itself__are_refused(client: Any, command: tuple[Any, ...]) -> None:
    with pytest.raises(redis.DataError, match="connection of its own") as caught:
        client.execute_command(*command)
    assert "s3cret" not in str(caught.value)


def test_meter__counts_commands_and_round_trips(client: Any, connection: Connection) -> None:
    client.get("k")
    client.pipeline().get("a").get("b").execute()
    assert (connection.meter.requests, connection.meter.commands) == (2, 3)


def test_response_callback__of_the_users_own(connection: Connection) -> None:
    client: Any = RouteRedis(connection)
    client.set_response_callback("GET", lambda reply, **options: reply.decode())
    client.set("k", "v")
    assert client.get("k") == "v"
    assert client.pipeline().get("k").execute() == ["v"]


def test_threads__get_their_own_replies(client: Any) -> None:
    wrong: list[Any] = []

    def work(name: int) -> None:
        try:
            for n in range(20):
                mine = f"{name}-{n}".encode()
                results = client.pipeline(transaction=n % 2 == 0).set(f"k{name}", mine).get(f"k{name}").execute()
                if [*results, client.get(f"k{name}")] != [True, mine, mine]:
                    wrong.append(results)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
