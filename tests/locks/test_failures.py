"""Locks whose server does not answer, or whose answers are lost on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from django_upstash.exceptions import ConnectionError, LockLost, OutOfMemoryError, TimeoutError
from django_upstash.locks import Lock, operations
from tests.fault_proxy import FaultProxy
from tests.locks.conftest import Awaited, MakeLock
from tests.servers import Server

Make = Callable[..., Any]


@pytest.fixture
def proxy(valkey: Server, local_server: LocalServer, route: str, settings: Any) -> Iterator[FaultProxy]:
    """Faults on the way of the alias ``default``; ``direct`` goes round them."""
    valkey.call("FLUSHALL")
    upstream: Any = valkey.socket_path if route == "native" else int(local_server.url.rpartition(":")[2])
    with FaultProxy(upstream) as proxy:
        entry: dict[str, Any] = {"URL": proxy.url}
        if route == "rest":
            entry = {"URL": f"http://127.0.0.1:{proxy.port}", "TOKEN": local_server.token}
        settings.UPSTASH = {"default": {**entry, "TIMEOUT": 2}, "direct": {"URL": valkey.url}}
        for way in (False, True):  # so that the next exchange is the lock's own
            lock = Lock("warm", fencing=way)
            with lock:
                lock.extend()
        yield proxy


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, proxy: FaultProxy) -> Iterator[Make]:
    if request.param == "sync":
        yield Lock
        return
    with asyncio.Runner() as runner:
        runner.run(connections["default"].arun(ping()))
        yield lambda *args, **options: Awaited(Lock(*args, **options), runner)


def ping() -> Any:
    from django_upstash.operations import command

    return command("PING")


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("fencing", [False, True])
def test_acquire__finds_the_lock_its_own_after_a_lost_answer(
    make: Make, proxy: FaultProxy, valkey: Server, fencing: bool
) -> None:
    lock = make("job", 30, fencing=fencing)
    proxy.close_before_reply()
    assert lock.acquire()

    assert valkey.call("GET", "lock:job").decode() == lock.token
    on_server = int(valkey.call("PTTL", "lock:job")) / 1000 + 0.001
    assert 0 < lock.remaining <= on_server
    assert (lock.fencing_number is not None) is fencing
    lock.release()
    assert not lock.locked()


def test_fencing__grows_over_lost_answers(make: Make, proxy: FaultProxy) -> None:
    numbers = []
    for _ in range(4):
        lock = make("job", 30, fencing=True)
        proxy.close_before_reply()
        with lock:
            numbers.append(lock.fencing_number)
    assert numbers == sorted(set(numbers))


@pytest.mark.default_cases(2)
def test_acquire__waits_on_after_a_lost_answer(make: Make, proxy: FaultProxy) -> None:
    other = Lock("job", 0.5, alias="direct")
    other.acquire()
    lock = make("job", 30, wait=10)
    proxy.close_before_reply()
    assert lock.acquire()
    assert other.lost


def test_acquire__leaves_nothing_behind_after_a_lost_answer(
    make: Make, proxy: FaultProxy, valkey: Server, local_server: LocalServer, route: str
) -> None:
    other = Lock("job", 30, alias="direct")
    other.acquire()
    local_server.reset_meter()
    proxy.close_before_reply()
    with valkey.counting() as counted:
        assert not make("job", 30, wait=0.1).acquire()
    # What was sent first might have come late.
    seen = counted.by_command["delifeq"] if route == "native" else local_server.meter()["by_command"]["DELEX"]
    assert seen == 1
    assert other.owned()
    other.release()
    assert not valkey.call("EXISTS", "lock:job")


def test_acquire__takes_no_lease_that_has_ended_by_its_answer(make: Make, proxy: FaultProxy) -> None:
    proxy.latency(0.2)
    lock = make("job", 0.1, wait=0)
    assert not lock.acquire()
    assert not lock.held


@pytest.mark.parametrize("fencing", [False, True])
def test_acquire__in_doubt_begins_the_lease_anew(proxy: FaultProxy, valkey: Server, fencing: bool) -> None:
    connection = connections["default"]
    for milliseconds in (1_000, 60_000):
        acquiring = operations.acquire(
            connection.capabilities, "job", "token", milliseconds, fencing=fencing, in_doubt=True
        )
        assert connection.run(acquiring) is not None
    assert int(valkey.call("PTTL", "lock:job")) > 1_000
    somebody_elses = operations.acquire(connection.capabilities, "job", "other", 90_000, fencing=fencing, in_doubt=True)
    assert connection.run(somebody_elses) is None
    assert 1_000 < int(valkey.call("PTTL", "lock:job")) <= 60_000


def test_acquire__raises_while_the_server_is_away(make: Make, proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.sever()
    lock = make("job", wait=5)
    for _ in range(2):  # and the object can be used again
        with pytest.raises((ConnectionError, TimeoutError)):
            lock.acquire()
    proxy.heal()
    assert lock.acquire()


def test_release__does_not_mistake_a_lost_answer_for_a_lost_lock(make: Make, proxy: FaultProxy, valkey: Server) -> None:
    lock = make("job", 30)
    lock.acquire()
    proxy.close_before_reply()
    lock.release()
    assert not valkey.call("EXISTS", "lock:job")


def test_block__whose_lock_was_certain_is_not_failed_by_the_release(
    make: Make, proxy: FaultProxy, valkey: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with make("job", 30):
        proxy.refuse()
        proxy.sever()
    assert "it ends by itself" in caplog.text
    assert int(valkey.call("PTTL", "lock:job")) > 0


def test_block__whose_lock_was_not_certain_is_failed(make: Make, proxy: FaultProxy) -> None:
    def hold() -> None:
        with make("job", 0.1) as lock:
            eventually(lambda: bool(lock.lost))
            proxy.refuse()
            proxy.sever()

    with pytest.raises(LockLost) as caught:
        hold()
    assert isinstance(caught.value.__cause__, ConnectionError | TimeoutError)


@pytest.mark.default_cases(1)
def test_renewal__survives_a_broken_connection(proxy: FaultProxy) -> None:
    with Lock("job", 3.0, renew=True) as lock:
        proxy.refuse()
        proxy.sever()
        eventually(lambda: lock.remaining < 1.9)  # the first renewal, after a second, has failed
        proxy.heal()
        eventually(lambda: lock.remaining > 2.0)
        assert lock.owned()


def test_renewal__tells_when_the_server_is_away_for_too_long(
    proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    def hold() -> None:
        with Lock("job", 0.3, renew=True) as lock:
            proxy.refuse()
            proxy.sever()
            eventually(lambda: lock.lost)

    with pytest.raises(LockLost):
        hold()
    assert "was not renewed" in caplog.text


def test_cancellation__gives_the_lock_back(proxy: FaultProxy, valkey: Server) -> None:
    async def acquire_and_cancel() -> None:
        assert await Lock("warm").aacquire()
        proxy.latency(0.1)
        task = asyncio.create_task(Lock("job", 30).aacquire())
        while not valkey.call("EXISTS", "lock:job") and not task.done():
            await asyncio.sleep(0.01)
            if proxy.round_trips:
                break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.5)  # for the loop to end what was begun

    asyncio.run(acquire_and_cancel())
    eventually(lambda: not valkey.call("EXISTS", "lock:job"))


def test_extend__by_less_is_believed_though_the_answer_is_lost(make: Make, proxy: FaultProxy) -> None:
    lock = make("job", 30)
    assert lock.acquire()
    proxy.refuse()
    proxy.sever()
    with pytest.raises((ConnectionError, TimeoutError)):
        lock.extend(5)
    assert lock.remaining <= 5


def test_extend__two_at_a_time_leave_the_shorter_lease_for_certain(proxy: FaultProxy) -> None:
    lock = Lock("job", 10)
    assert lock.acquire()
    assert lock._holding is not None
    shorter, longer = lock._extending(lock._holding, None), lock._extending(lock._holding, 60)
    for steps in (longer, shorter):
        next(steps)
    for steps in (shorter, longer):
        with pytest.raises(StopIteration):
            steps.send(True)
    assert 5 < lock.remaining <= 10
    lock.extend(60)
    assert lock.remaining > 10


def test_extend__of_a_full_server(make_lock: MakeLock, valkey: Server) -> None:
    lock = make_lock("job", 30)
    lock.acquire()
    valkey.call("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(OutOfMemoryError):
            make_lock("other").acquire()
        lock.extend(600)
        assert lock.remaining > 500
        assert int(valkey.call("PTTL", "lock:job")) > 500_000
        valkey.call("DEL", "lock:job")
        with pytest.raises(LockLost):
            lock.extend()
    finally:
        valkey.call("CONFIG", "SET", "maxmemory", "0")
