"""Pipelines, transactions, scripts and locks of redis-py's API, on every route."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis
from redis.lock import Lock

from django_upstash import exceptions
from django_upstash.connections import Connection
from tests.servers import Server

pytestmark = pytest.mark.matrix

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
modes = pytest.mark.parametrize("transaction", [True, False])


@pytest.fixture
def client(connection: Connection) -> Any:  # redis-py's annotations know no chained pipelines
    return connection.redis


@modes
def test_pipeline__results_are_read_by_the_callbacks(client: Any, transaction: bool) -> None:
    pipe = client.pipeline(transaction=transaction)
    pipe.set("k", 1).hset("h", mapping={"a": 1}).hgetall("h").mget([]).zadd("z", {"m": 1.5})
    pipe.zrange("z", 0, -1, withscores=True)
    assert len(pipe) == 6
    assert pipe.execute() == [True, 1, {b"a": b"1"}, [], 1, [(b"m", 1.5)]]


@modes
def test_pipeline__is_one_round_trip(connection: Connection, transaction: bool) -> None:
    pipe = connection.redis.pipeline(transaction=transaction)
    for n in range(50):
        pipe.set(f"k{n}", n)
    pipe.execute()
    assert connection.meter.requests == 1


@modes
def test_pipeline__empty(client: Any, connection: Connection, transaction: bool) -> None:
    assert client.pipeline(transaction=transaction).execute() == []
    assert client.pipeline(transaction=transaction).mget([]).execute() == [[]]
    assert connection.meter.requests == 0


@modes
def test_pipeline__is_reusable(client: Any, transaction: bool) -> None:
    with client.pipeline(transaction=transaction) as pipe:
        pipe.set("a", 1)
        pipe.reset()
        assert pipe.set("b", 2).execute() == [True]
        assert pipe.get("a").get("b").execute() == [None, b"2"]
        assert pipe.execute() == []


@modes
def test_pipeline__an_error_in_the_middle(client: Any, transaction: bool) -> None:
    pipe = client.pipeline(transaction=transaction)
    pipe.set("k", "s3cret").lpush("k", "s3cret").set("after", 1)
    with pytest.raises(redis.ResponseError) as caught:
        pipe.execute()
    assert str(caught.value).startswith("Command # 2 (LPUSH) of pipeline caused error: WRONGTYPE")
    assert "s3cret" not in str(caught.value)
    assert (client.get("after"), len(pipe)) == (b"1", 0)


@modes
def test_pipeline__errors_among_the_results(client: Any, transaction: bool) -> None:
    pipe = client.pipeline(transaction=transaction)
    ok, error, value = pipe.set("k", "x").incr("k").get("k").execute(raise_on_error=False)
    assert (ok, value) == (True, b"x")
    assert type(error) is exceptions.ResponseError


@pytest.mark.parametrize("raise_on_error", [True, False])
def test_transaction__with_an_unknown_command_runs_nothing(client: Any, raise_on_error: bool) -> None:
    pipe = client.pipeline()
    pipe.set("k", 1).execute_command("NOPE", "s3cret")
    with pytest.raises(redis.exceptions.ExecAbortError) as caught:
        pipe.execute(raise_on_error=raise_on_error)
    assert "s3cret" not in str(caught.value)
    assert client.get("k") is None


def test_transaction__is_one_for_the_server(native: Connection, valkey: Server) -> None:
    pipe: Any = native.redis.pipeline()
    with valkey.counting() as counted:
        pipe.set("k", 1).incr("k").execute()
    assert (counted.by_command["multi"], counted.by_command["exec"]) == (1, 1)


def test_transaction__function_without_watched_keys(client: Any) -> None:
    assert client.transaction(lambda pipe: pipe.set("k", 1).get("k")) == [True, b"1"]


@pytest.mark.parametrize("command", [("EXEC",), ("SUBSCRIBE", "c"), ("SELECT", 0)])
@modes
def test_pipeline__refuses_what_needs_a_connection_of_its_own(
    client: Any, command: tuple[Any, ...], transaction: bool
) -> None:
    pipe = client.pipeline(transaction=transaction)
    pipe.set("k", 1).execute_command(*command)
    with pytest.raises(redis.DataError, match="connection of its own"):
        pipe.execute()
    assert client.get("k") is None


@pytest.mark.parametrize(
    ("command", "instead"), [(("BLPOP", "q", 1), "LPOP"), (("XREAD", "BLOCK", 9, "STREAMS", "x", 0), "without BLOCK")]
)
@modes
def test_pipeline__refuses_what_blocks(client: Any, command: tuple[Any, ...], instead: str, transaction: bool) -> None:
    pipe = client.pipeline(transaction=transaction)
    pipe.set("k", 1).execute_command(*command)
    with pytest.raises(redis.DataError, match=instead):
        pipe.execute()
    assert client.get("k") is None


def test_script__by_its_sha_once_the_server_has_seen_it(connection: Connection) -> None:
    add = connection.redis.register_script(ADD)
    assert (add(keys=["n"], args=[5]), connection.meter.commands) == (5, 2)
    assert (add(keys=["n"], args=[5]), connection.meter.commands) == (10, 3)
    assert connection.redis.script_exists(add.sha) == [True]


@modes
def test_script__in_a_pipeline(connection: Connection, transaction: bool) -> None:
    client = connection.redis
    add = client.register_script(ADD)
    pipe = client.pipeline(transaction=transaction)
    pipe.set("n", 1)
    for n in range(3):
        add(keys=["n"], args=[n], client=pipe)
    assert pipe.execute() == [True, 1, 2, 4]
    assert (connection.meter.requests, connection.meter.commands) == (1, 4)


def test_script__of_another_client_in_a_pipeline(client: Any) -> None:
    pipe = client.pipeline()
    script = redis.commands.core.Script(client, ADD)
    script(keys=["n"], args=[2], client=pipe)
    pipe.load_scripts()
    assert client.script_exists(script.sha) == [True]
    assert pipe.execute() == [2]


def test_lock__one_holder_among_threads(client: Any) -> None:
    inside = 0
    most = 0
    entered = 0

    def work() -> None:
        nonlocal inside, most, entered
        for _ in range(3):
            with client.lock("l", timeout=20, sleep=0.002):
                inside += 1
                most = max(most, inside)
                entered += 1
                client.get("l")
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, entered) == (1, 24)


def test_lock__extend_reacquire_and_release(client: Any) -> None:
    lock = client.lock("l", timeout=10)
    assert lock.acquire()
    assert lock.owned()
    assert lock.extend(10)
    assert 15_000 < client.pttl("l") <= 20_000
    assert lock.reacquire()
    assert client.pttl("l") <= 10_000
    lock.release()
    assert not lock.locked()


def test_lock__not_free(client: Any) -> None:
    held = client.lock("l", timeout=10)
    held.acquire()
    other = client.lock("l", timeout=10)
    assert other.acquire(blocking=False) is False
    assert other.acquire(blocking_timeout=0.02) is False
    with pytest.raises(redis.exceptions.LockError):
        other.release()


def test_lock__expired(client: Any) -> None:
    lock = client.lock("l", timeout=10)
    lock.acquire()
    client.delete("l")
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.extend(10)
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.release()


def test_lock__leaves_other_clients_locks_their_scripts(client: Any) -> None:
    Lock.lua_release = None
    with client.lock("l", timeout=10):
        pass
    assert Lock.lua_release is None


def test_lock__of_the_callers_class(client: Any) -> None:
    class Mine(Lock):
        pass

    assert type(client.lock("l", lock_class=Mine)) is Mine
    assert type(client.lock("l", 1, 0.1, True, None, Mine)) is Mine
