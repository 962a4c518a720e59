"""Configuration and flags in a process: read once an interval, by one caller, and kept while the server is away."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.exceptions import ConnectionError
from django_upstash.tenants import Tenant
from django_upstash.tenants.snapshots import load, records_of
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.matrix

Counting = Callable[[], Any]


@pytest.mark.usefixtures("configure")
def test_first_reading__of_many_threads_is_one_command(counting: Counting) -> None:
    Tenant("acme").configure(plan="pro")
    barrier = threading.Barrier(32)

    def ask(_: int) -> Any:
        barrier.wait(timeout=20)
        return Tenant("acme").config["plan"]

    with counting() as cost, ThreadPoolExecutor(32) as pool:
        assert set(pool.map(ask, range(32))) == {"pro"}
    assert cost == (1, 1)


@pytest.mark.usefixtures("configure")
def test_first_reading__of_many_tasks_is_one_command(counting: Counting) -> None:
    Tenant("acme").flags.set("new", everyone=True)

    async def ask() -> Any:
        return await asyncio.gather(*(Tenant("acme").flags.ais_active("new") for _ in range(50)))

    with counting() as cost:
        assert asyncio.run(ask()) == [True] * 50
    assert cost == (1, 1)


@pytest.mark.usefixtures("configure")
def test_first_reading__waiting_code_in_a_loop_does_not_wait_for_a_task_of_it() -> None:
    Tenant("acme").configure(plan="pro")

    async def ask() -> tuple[Any, Any]:
        task = asyncio.create_task(Tenant("acme").aconfig())
        await asyncio.sleep(0)  # the task has begun, and waits for the server
        waiting = Tenant("acme").config
        return waiting, await task

    assert asyncio.run(asyncio.wait_for(ask(), 20)) == ({"plan": "pro"}, {"plan": "pro"})


@pytest.mark.parametrize("cancelled", [0, 2], ids=["the one that reads", "one that waits"])
@pytest.mark.usefixtures("configure")
def test_first_reading__a_cancelled_task_does_not_stop_the_others(cancelled: int) -> None:
    Tenant("acme").configure(plan="pro")

    async def ask() -> Any:
        tasks = [asyncio.create_task(Tenant("acme").aconfig()) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[cancelled].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(asyncio.wait_for(ask(), 20))
    assert isinstance(found.pop(cancelled), asyncio.CancelledError)
    assert found == [{"plan": "pro"}] * 4


@pytest.mark.usefixtures("configure")
def test_reading__what_this_process_has_written_since_is_not_covered_up() -> None:
    tenant = Tenant("acme")
    tenant.configure(plan="free")
    reading = load("acme")
    began = next(reading)
    found = began.do()
    tenant.configure(plan="pro")
    with pytest.raises(StopIteration):
        reading.send(found)
    assert tenant.config == {"plan": "pro"}


@pytest.fixture
def away(configure: Any, settings: Any) -> Iterator[Server]:
    with start_valkey() as server:
        settings.UPSTASH = {"default": {"URL": server.url}}
        configure(ALIAS="default", REFRESH=0)
        yield server


@pytest.mark.parametrize("route", ["native"])
def test_away__the_last_one_goes_on(away: Server, caplog: pytest.LogCaptureFixture) -> None:
    tenant = Tenant("acme")
    tenant.configure(plan="pro")
    tenant.flags.set("new", everyone=True)
    assert tenant.config == {"plan": "pro"}
    away.stop()
    caplog.set_level(logging.WARNING)
    before = connections["default"].meter.requests
    for _ in range(50):
        assert tenant.config == {"plan": "pro"}
        assert tenant.flags.is_active("new")
        assert asyncio.run(tenant.aconfig()) == {"plan": "pro"}
    # One attempt a second at most, however many ask; a busy machine may need some seconds.
    assert connections["default"].meter.requests - before < 20
    assert any("stay as they were read last" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("route", ["native"])
def test_away__before_anything_was_read(away: Server) -> None:
    away.stop()
    tenant = Tenant("acme")
    with pytest.raises(ConnectionError):
        _ = tenant.config
    assert not tenant.flags.is_active("new")
    assert tenant.flags.is_active("new", default=True)
    with pytest.raises(ConnectionError):
        tenant.flags.all()


@pytest.mark.usefixtures("configure")
def test_remembered__tenants_are_bounded(configure: Any, route: str) -> None:
    configure(REMEMBERED=3)
    for number in range(10):
        _ = Tenant(f"tenant {number}").config
    assert len(records_of(connections[route])._by_key) == 3
