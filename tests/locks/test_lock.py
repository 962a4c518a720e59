from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from itertools import accumulate, pairwise, takewhile
from typing import Any

import pytest
import redis

from django_upstash.exceptions import DataError, LockLost, LockNotAcquired
from django_upstash.locks import Lock
from django_upstash.locks.acquisition import pauses
from tests.locks.conftest import MakeLock
from tests.servers import Server

pytestmark = pytest.mark.matrix


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_lock__is_one_holders(make_lock: MakeLock) -> None:
    ours, theirs = make_lock("job"), make_lock("job")

    assert not ours.locked()
    assert ours.acquire()
    assert (ours.held, ours.owned(), ours.locked()) == (True, True, True)
    assert not theirs.acquire()
    assert (theirs.held, theirs.owned(), theirs.locked()) == (False, False, True)
    ours.release()
    assert (ours.held, ours.owned(), ours.locked()) == (False, False, False)
    assert theirs.acquire()


def test_lock__names_are_apart(make_lock: MakeLock) -> None:
    assert make_lock("job").acquire()
    assert make_lock("other job").acquire()


def test_lock__is_one_lock_for_both_routes_and_ways(upstash: dict[str, dict[str, Any]]) -> None:
    with Lock("job", alias="native"):
        assert not Lock("job", alias="rest", wait=0).acquire()
        assert not asyncio.run(Lock("job", alias="rest", wait=0).aacquire())


def test_token__is_what_the_key_holds(make_lock: MakeLock, valkey: Server) -> None:
    lock = make_lock("job", 30)
    assert lock.token is None
    lock.acquire()

    assert valkey.call("GET", "lock:job").decode() == lock.token
    assert 0 < int(valkey.call("PTTL", "lock:job")) <= 30_000
    assert str(lock.token) not in repr(lock)


def test_block__releases_and_says_whom_it_waited_for(make_lock: MakeLock) -> None:
    with make_lock("job") as lock:
        assert lock.owned()
        with pytest.raises(LockNotAcquired, match="'job'"), make_lock("job"):
            pass
    assert not lock.locked()


def test_block__its_own_error_is_raised(make_lock: MakeLock) -> None:
    lock = make_lock("job")
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert not lock.locked()


def test_block__released_inside(make_lock: MakeLock) -> None:
    with make_lock("job") as lock:
        lock.release()
    assert not lock.held


def test_wait__takes_the_lock_when_it_is_released(make_lock: MakeLock, route: str) -> None:
    holder = Lock("job", alias=route)
    holder.acquire()
    timer = threading.Timer(0.1, holder.release)
    timer.start()

    assert make_lock("job", wait=None).acquire()
    timer.join()


@pytest.mark.default_cases(2)
def test_wait__takes_the_lock_when_its_lease_ends(make_lock: MakeLock) -> None:
    gone = make_lock("job", 0.5, wait=None)  # an answer may take longer than the lease
    assert gone.acquire()

    with make_lock("job", wait=10) as lock:
        assert lock.owned()
        assert gone.lost
    with pytest.raises(LockLost):
        gone.release()


def test_wait__asks_seldom(make_lock: MakeLock, valkey: Server) -> None:
    make_lock("job").acquire()
    with valkey.counting() as counted:
        assert not make_lock("job", wait=0.5).acquire()

    # 20 ms, 40 ms, … with at least half of each, and once more at the end.
    assert 2 <= counted.by_command["set"] <= 7


def test_wait__is_bounded_in_commands() -> None:
    for _ in range(100):
        seconds = accumulate(pauses())
        assert sum(1 for _ in takewhile(lambda passed: passed < 10, seconds)) <= 27


def test_remaining__ends_no_later_than_the_servers_lease(make_lock: MakeLock, valkey: Server) -> None:
    lock = make_lock("job", 30)
    assert lock.remaining == 0
    lock.acquire()

    remaining = lock.remaining
    on_server = int(valkey.call("PTTL", "lock:job")) / 1000 + 0.001
    assert lock.remaining <= remaining <= 30
    assert lock.remaining <= on_server


def test_extend__begins_the_lease_anew(make_lock: MakeLock, valkey: Server) -> None:
    lock = make_lock("job", 10)
    lock.acquire()
    lock.extend(60)
    assert 10_000 < int(valkey.call("PTTL", "lock:job")) <= 60_000
    assert 10 < lock.remaining <= 60
    lock.extend()
    assert int(valkey.call("PTTL", "lock:job")) <= 10_000


def test_extend__of_a_lock_that_is_gone(make_lock: MakeLock, valkey: Server) -> None:
    lock = make_lock("job", 10)
    lock.acquire()
    valkey.call("SET", "lock:job", "somebody else's")

    with pytest.raises(LockLost):
        lock.extend()
    assert (lock.lost, lock.remaining) == (True, 0)
    assert valkey.call("GET", "lock:job") == b"somebody else's"
    assert valkey.call("PTTL", "lock:job") == -1


def test_release__leaves_somebody_elses_lock(make_lock: MakeLock, valkey: Server) -> None:
    lock = make_lock("job")
    lock.acquire()
    valkey.call("SET", "lock:job", "somebody else's")

    with pytest.raises(LockLost):
        lock.release()
    assert valkey.call("GET", "lock:job") == b"somebody else's"
    assert not lock.held


def test_block__tells_that_the_lock_was_lost(make_lock: MakeLock, valkey: Server) -> None:
    with pytest.raises(LockLost), make_lock("job"):
        valkey.call("DEL", "lock:job")


def test_block__its_own_error_comes_before_the_loss(make_lock: MakeLock, valkey: Server) -> None:
    def lose_and_fail() -> None:
        with make_lock("job"):
            valkey.call("DEL", "lock:job")
            raise KeyError

    with pytest.raises(KeyError):
        lose_and_fail()


def test_lock__without_being_held(make_lock: MakeLock) -> None:
    for method in ("release", "extend"):
        with pytest.raises(RuntimeError, match="acquire it first"):
            getattr(make_lock("job"), method)()


def test_lock__is_not_reentrant(make_lock: MakeLock) -> None:
    with make_lock("job") as lock, pytest.raises(RuntimeError, match="one for each holder"):
        lock.acquire()


def test_lock__can_be_used_again(make_lock: MakeLock) -> None:
    lock = make_lock("job")
    tokens = set()
    for _ in range(3):
        with lock:
            tokens.add(lock.token)
    assert len(tokens) == 3


def renewals(lock: Any) -> Callable[[], int]:
    """Return a function to be called often, which counts how often the lease has begun anew."""
    seen = [lock.remaining]

    def count() -> int:
        remaining = lock.remaining
        if remaining != seen[-1]:
            seen.append(remaining)
        return sum(later > earlier for earlier, later in pairwise(seen))

    return count


def test_renewal__keeps_the_lock(upstash: dict[str, dict[str, Any]], route: str, valkey: Server) -> None:
    with Lock("job", 1.2, alias=route, renew=True) as lock:
        count = renewals(lock)
        eventually(lambda: count() >= 2)
        assert (lock.owned(), lock.lost) == (True, False)
    assert not lock.locked()


def test_renewal__keeps_the_lock_in_a_task(upstash: dict[str, dict[str, Any]], route: str) -> None:
    async def hold() -> None:
        async with Lock("job", 1.2, alias=route, renew=True) as lock:
            count = renewals(lock)
            while count() < 2:
                await asyncio.sleep(0.01)
            assert (await lock.aowned(), lock.lost) == (True, False)

    asyncio.run(hold())


def test_renewal__tells_that_the_lock_is_lost(upstash: dict[str, dict[str, Any]], route: str, valkey: Server) -> None:
    def hold() -> None:
        with Lock("job", 0.3, alias=route, renew=True) as lock:
            valkey.call("SET", "lock:job", "somebody else's")
            eventually(lambda: lock.lost)

    with pytest.raises(LockLost):
        hold()
    assert valkey.call("GET", "lock:job") == b"somebody else's"


def test_renewal__tells_a_task_that_the_lock_is_lost(
    upstash: dict[str, dict[str, Any]], route: str, valkey: Server
) -> None:
    async def hold() -> None:
        async with Lock("job", 0.3, alias=route, renew=True) as lock:
            valkey.call("SET", "lock:job", "somebody else's")
            while not lock.lost:
                await asyncio.sleep(0.01)

    with pytest.raises(LockLost):
        asyncio.run(hold())


def test_renewal__ends_with_the_lock(upstash: dict[str, dict[str, Any]], valkey: Server) -> None:
    lock = Lock("job", 0.15, alias="native", renew=True)
    lock.acquire()
    del lock
    gc.collect()

    eventually(lambda: not valkey.call("EXISTS", "lock:job"))
    eventually(lambda: not any(thread.name == "renewing job" for thread in threading.enumerate()))


def test_renewal__ends_with_the_release(upstash: dict[str, dict[str, Any]]) -> None:
    with Lock("job", 600, alias="native", renew=True):
        assert any(thread.name == "renewing job" for thread in threading.enumerate())
    eventually(lambda: not any(thread.name == "renewing job" for thread in threading.enumerate()))


def test_fencing__numbers_grow(make_lock: MakeLock) -> None:
    numbers = []
    for _ in range(5):
        with make_lock("job", fencing=True) as lock:
            numbers.append(lock.fencing_number)
    assert numbers == [*range(numbers[0], numbers[0] + 5)]
    with make_lock("job") as lock:
        assert lock.fencing_number is None


def test_fencing__only_the_holder_takes_a_number(make_lock: MakeLock) -> None:
    with make_lock("job", fencing=True) as lock:
        first = lock.fencing_number
        assert not make_lock("job", fencing=True).acquire()
    with make_lock("job", fencing=True) as lock:
        assert lock.fencing_number == first + 1


def test_fencing__numbers_grow_though_the_data_is_lost(make_lock: MakeLock, valkey: Server) -> None:
    numbers = []
    for _ in range(3):
        with make_lock("job", fencing=True) as lock:
            numbers.append(lock.fencing_number)
        valkey.call("FLUSHALL")
    assert numbers == sorted(set(numbers))


def test_fencing__numbers_outlive_every_lease(make_lock: MakeLock, valkey: Server) -> None:
    with make_lock("job", fencing=True):
        assert valkey.call("PTTL", "fence:job") == -1


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "10", None, True])
def test_lease__must_be_seconds(wrong: Any) -> None:
    with pytest.raises(ValueError, match="lease must be a number of seconds"):
        Lock("job", wrong)


@pytest.mark.parametrize("wrong", [-1, float("nan"), "10"])
def test_wait__must_be_seconds(wrong: Any) -> None:
    with pytest.raises(ValueError, match="wait must be a number of seconds"):
        Lock("job", wait=wrong)


def test_name__must_be_text_that_can_be_sent() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        Lock("")
    with pytest.raises(ValueError, match="needs a name"):
        Lock(5)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        Lock("\ud800")


def test_errors__are_redis_pys_too() -> None:
    assert issubclass(LockNotAcquired, redis.exceptions.LockError)
    assert issubclass(LockLost, redis.exceptions.LockNotOwnedError)
