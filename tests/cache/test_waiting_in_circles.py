"""Computations that ask for each other's values: nobody waits for somebody who waits for them, nor for ever."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_upstash.cache.single_flight import LEAD, Flights, FlightWaiter, Party, flights
from tests.cache.conftest import OpenCache

HANGING = 60.0


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(make_cache: OpenCache, route: str) -> Any:
    return make_cache(route, KEY_PREFIX="shop")


@pytest.mark.parametrize("members", [2, 3])
def test_threads__in_a_circle(shop: Any, members: int) -> None:
    begun = threading.Barrier(members, timeout=HANGING)

    def compute(number: int) -> Callable[[], str]:
        def factory() -> str:
            begun.wait()
            return f"{number} " + str(shop.get_or_set(f"k{(number + 1) % members}", lambda: "of its own", 60))

        return factory

    with ThreadPoolExecutor(members) as pool:
        asked = [pool.submit(shop.get_or_set, f"k{number}", compute(number), 60) for number in range(members)]
        values = [future.result(HANGING) for future in asked]
    assert all(value.startswith(str(number)) or value == "of its own" for number, value in enumerate(values))
    assert flights._flights == {}


def test_tasks__in_a_circle(shop: Any) -> None:
    async def main() -> list[str]:
        begun = asyncio.Barrier(2)

        def compute(other: str) -> Callable[[], Any]:
            async def factory() -> str:
                async with begun:
                    pass
                return "with " + str(await shop.aget_or_set(other, "of its own", 60))

            return factory

        both = (shop.aget_or_set("a", compute("b"), 60), shop.aget_or_set("b", compute("a"), 60))
        return await asyncio.wait_for(asyncio.gather(*both), HANGING)

    assert len(asyncio.run(main())) == 2


def test_signal_handler__that_asks_for_what_its_thread_computes(shop: Any) -> None:
    found: list[str] = []

    def handle(number: int, frame: object) -> None:
        found.append(shop.get_or_set("k", "the handler's", 60))

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with flights.visit((shop.connection, shop.keyspace.name("k", None))) as flight:
            # As in the moments of a call that are no part of the computation, such as asking the server.
            assert flights.join(flight, 0, Party(thread=threading.get_ident())) is LEAD
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert found == ["the handler's"]


def test_lead__that_takes_longer_than_a_lease_is_taken_over(shop: Any) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def factory() -> str:
        begun.set()
        let_go.wait(HANGING)
        return "late"

    async def ask() -> Any:
        return await shop.aget_or_set("k", "in time", 60, lease=0.05)

    with ThreadPoolExecutor(2) as pool:
        leading = pool.submit(shop.get_or_set, "k", factory, 60, lease=0.05)
        begun.wait(HANGING)
        assert pool.submit(shop.get_or_set, "k", "in time", 60, lease=0.05).result(HANGING) == "in time"
        shop.delete("k")
        assert asyncio.run(asyncio.wait_for(ask(), HANGING)) == "in time"
        let_go.set()
        assert leading.result(HANGING) == "in time"
    assert flights._flights == {}


def test_lead__is_taken_over_by_one_at_a_time() -> None:
    own = Flights()
    with own.visit("k") as flight:
        own.join(flight, 0, leader := Party())
        waiters = [own.join(flight, 0, Party()) for _ in range(2)]
        flight.led_since -= 100
        assert [own.take_over(flight, waiter, 10) for waiter in waiters] == [True, False]
        own.pass_on(flight, leader)  # who has lost the lead gives it to nobody
        assert not waiters[1].future.done()
        own.land(flight, waiters[0].party, "landing")
        assert waiters[1].future.result(0) == "landing"


def test_collector__that_ends_calls_while_the_lock_is_held() -> None:
    """As where tasks are left behind by a closed loop, and collected by whoever allocates next."""
    own = Flights()

    class Abandoned:
        def __init__(self) -> None:
            self.visit = own.visit("abandoned")
            self.visit.__enter__()
            self.myself = self

        def __del__(self) -> None:
            self.visit.__exit__(None, None, None)

    def work() -> None:
        Abandoned()
        with own._lock:
            gc.collect()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(HANGING)
    assert not thread.is_alive()
    assert own._flights == {}


def test_waiter__that_has_gone_holds_nobody_up() -> None:
    own = Flights()
    with own.visit("a") as a, own.visit("b") as b:
        own.join(a, 0, Party())
        own.join(b, 0, Party())
        waiter = own.join(b, 0, Party(chain=frozenset({"a"})))
        assert isinstance(waiter, FlightWaiter)
        assert own.join(a, 0, Party(chain=frozenset({"b"}))) is None
        own.leave(b, waiter)
        own.arrive(b, waiter)
        assert isinstance(own.join(a, 0, Party(chain=frozenset({"b"}))), FlightWaiter)


def test_collector__ends_a_computation_in_another_context(shop: Any) -> None:
    async def begin() -> asyncio.Task[Any]:
        computing = asyncio.Event()

        async def compute() -> None:
            computing.set()
            await asyncio.sleep(HANGING)

        task = asyncio.create_task(shop.aget_or_set("left", compute, 60))
        await computing.wait()
        return task

    loop = asyncio.new_event_loop()
    left = loop.run_until_complete(begin())
    left.get_coro().close()  # as the collector does, wherever it runs
    left.cancel()
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        loop.run_until_complete(left)
    loop.close()
