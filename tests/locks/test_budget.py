"""What a lock costs: round trips and billed commands, counted by the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.dev_server import LocalServer
from tests.locks.conftest import MakeLock
from tests.servers import Server, ServerMissing, start_redis

pytestmark = pytest.mark.matrix

Counting = Callable[[], Any]


@pytest.fixture
def counting(route: str, valkey: Server, local_server: LocalServer) -> Counting:
    """Return ``counting()``, whose block's requests and billed commands are in the list it yields."""

    @contextmanager
    def count() -> Iterator[list[int]]:
        cost: list[int] = []
        meter = connections[route].meter
        requests = meter.requests
        local_server.reset_meter()
        with valkey.counting() as counted:
            yield cost
        billed = local_server.meter()
        native = [meter.requests - requests, counted.commands]
        cost.extend([billed["requests"], billed["commands"]] if route == "rest" else native)

    return count


def warm(make_lock: MakeLock) -> None:
    """Let the process learn what the server lacks, and the server the script."""
    for fencing in (False, True):
        with make_lock("warm", fencing=fencing) as lock:
            lock.extend()


def test_cycle__budget(make_lock: MakeLock, counting: Counting) -> None:
    warm(make_lock)
    with counting() as cost:
        make_lock("job").acquire()
    assert cost == [1, 1]
    with counting() as cost, make_lock("other"):
        pass
    assert cost == [2, 2]


def test_methods__budget(make_lock: MakeLock, counting: Counting) -> None:
    warm(make_lock)
    lock = make_lock("job")
    lock.acquire()
    with counting() as cost:
        assert not make_lock("job").acquire()
    assert cost == [1, 1]
    for method in ("extend", "owned", "locked", "release"):
        with counting() as cost:
            getattr(lock, method)()
        assert cost == [1, 1], method


def test_fencing__budget(make_lock: MakeLock, counting: Counting) -> None:
    warm(make_lock)
    make_lock("job", fencing=True).acquire()
    lock = make_lock("warm", fencing=True)
    with counting() as cost:
        assert not make_lock("job", fencing=True).acquire()
    assert cost == [1, 2]
    with counting() as cost:
        lock.acquire()
    assert cost == [1, 3]
    with counting() as cost:
        lock.release()
    assert cost == [1, 1]


@pytest.fixture(scope="module")
def old_server() -> Iterator[Server]:
    """A Redis 7.0, which has neither DELEX nor SET IFEQ."""
    try:
        with start_redis() as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


def test_cycle__budget_on_an_old_server(old_server: Server, make_lock: MakeLock, settings: Any) -> None:
    settings.UPSTASH = {"old": {"URL": old_server.url}}
    lock = make_lock("job", alias="old")
    for _ in range(2):  # in the first the process learns what the server lacks
        with old_server.counting() as counted, lock:
            pass
    assert counted.by_command == {"set": 1, "evalsha": 1, "get": 1, "del": 1}
    with lock:
        lock.extend()
        with old_server.counting() as counted:
            lock.extend()
        assert counted.by_command == {"evalsha": 1, "get": 1, "pexpire": 1}
    assert not lock.locked()
