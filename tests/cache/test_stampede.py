"""get_or_set under a crowd: one computes, the others wait for it and no longer."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_upstash.cache.single_flight import LEAD, Party, flights
from tests.cache.conftest import OpenCache

pytestmark = pytest.mark.matrix

CALLERS = 50
HANGING = 20.0  # longer than any of this takes


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop(make_cache: OpenCache, route: str) -> Any:
    return make_cache(route, KEY_PREFIX="shop", OPTIONS={"TAGS": True})


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    assert flights._flights == {}


def asking() -> int:
    """Return how many ask for the key that most ask for."""
    return max((flight.callers for flight in list(flights._flights.values())), default=0)


class Factory:
    """A default that counts its runs, and ends when ``callers`` wait for it."""

    def __init__(self, callers: int = 1, errors: int = 0, value: Any = "computed") -> None:
        self.runs = 0
        self._callers = callers
        self._errors = errors
        self._value = value

    def __call__(self) -> Any:
        self._begin()
        while self._awaits_others():
            time.sleep(0.001)
        return self._end()

    async def awaited(self) -> Any:
        self._begin()
        while self._awaits_others():
            await asyncio.sleep(0.001)
        return self._end()

    def _begin(self) -> None:
        self.runs += 1
        self._deadline = time.monotonic() + HANGING

    def _awaits_others(self) -> bool:
        assert time.monotonic() < self._deadline
        return asking() < self._callers

    def _end(self) -> Any:
        if self.runs <= self._errors:
            raise LookupError(f"run {self.runs}")
        return self._value


def in_threads(function: Callable[[], Any], count: int = CALLERS) -> list[Any]:
    """Return what each thread's call returned or raised."""

    def call(_: int) -> Any:
        try:
            return function()
        except LookupError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count), timeout=HANGING))


async def in_tasks(function: Callable[[], Any], count: int = CALLERS) -> list[Any]:
    async with asyncio.timeout(HANGING):
        return await asyncio.gather(*[function() for _ in range(count)], return_exceptions=True)


def test_threads__compute_once(shop: Any) -> None:
    factory = Factory(CALLERS)
    assert in_threads(lambda: shop.get_or_set("k", factory)) == ["computed"] * CALLERS
    assert factory.runs == 1
    assert shop.get("k") == "computed"


@pytest.mark.parametrize("way", ["function", "coroutine function"])
def test_tasks__compute_once(shop: Any, way: str) -> None:
    factory = Factory(CALLERS if way == "coroutine function" else 1)
    default = factory if way == "function" else factory.awaited
    assert asyncio.run(in_tasks(lambda: shop.aget_or_set("k", default))) == ["computed"] * CALLERS
    assert factory.runs == 1


def test_threads_and_tasks_of_several_loops__compute_once(shop: Any) -> None:
    factory = Factory(30)

    def loop(_: int) -> Any:
        return asyncio.run(in_tasks(lambda: shop.aget_or_set("k", factory.awaited), 10))

    with ThreadPoolExecutor(12) as pool:
        tasks = [pool.submit(loop, 0), pool.submit(loop, 1)]
        threads = [pool.submit(shop.get_or_set, "k", factory) for _ in range(10)]
        assert [task.result(HANGING) for task in tasks] == [["computed"] * 10] * 2
        assert [thread.result(HANGING) for thread in threads] == ["computed"] * 10
    assert factory.runs == 1


def test_latecomer__who_looked_before_computes_no_more(shop: Any) -> None:
    factory = Factory()
    with flights.visit((shop.connection, "shop:1:k")) as flight:
        seen = flight.landings
        shop.get_or_set("k", factory)
        assert flights.join(flight, seen, Party()).found.value == "computed"


def test_failure__is_the_callers_own_and_the_next_tries(shop: Any) -> None:
    factory = Factory(CALLERS - 3, errors=3)
    results = in_threads(lambda: shop.get_or_set("k", factory))
    errors = [result for result in results if isinstance(result, LookupError)]
    assert sorted(map(str, errors)) == ["run 1", "run 2", "run 3"]
    assert results.count("computed") == CALLERS - 3
    assert factory.runs == 4


def test_failure__of_tasks(shop: Any) -> None:
    factory = Factory(CALLERS - 3, errors=3)
    results = asyncio.run(in_tasks(lambda: shop.aget_or_set("k", factory.awaited)))
    assert [type(result) for result in results].count(LookupError) == 3
    assert results.count("computed") == CALLERS - 3


def test_cancelled_leader__leaves_the_lead_to_the_next(shop: Any) -> None:
    runs: list[int] = []

    async def factory() -> str:
        runs.append(1)
        await asyncio.sleep(HANGING if len(runs) == 1 else 0)
        return "computed"

    async def main() -> list[Any]:
        leader = asyncio.create_task(shop.aget_or_set("k", factory, cross_process=True))
        while not runs:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(shop.aget_or_set("k", factory, cross_process=True)) for _ in range(5)]
        while asking() < 6:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        others[0].cancel()
        leader.cancel()
        return await asyncio.gather(leader, *others, return_exceptions=True)

    results = asyncio.run(main())
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, True] + [False] * 4
    assert results[2:] == ["computed"] * 4
    assert len(runs) == 2


def test_context__is_each_callers_own(shop: Any) -> None:
    who: ContextVar[str] = ContextVar("who")

    async def ask(name: str) -> Any:
        who.set(name)
        return await shop.aget_or_set(name, lambda: who.get())

    async def main() -> list[Any]:
        return list(await asyncio.gather(ask("ann"), ask("bob")))

    assert asyncio.run(main()) == ["ann", "bob"]


def test_values__are_each_callers_own(shop: Any) -> None:
    factory = Factory(CALLERS, value=["computed"])
    results = in_threads(lambda: shop.get_or_set("k", factory))
    assert len({id(result) for result in results}) == CALLERS


def test_nested_call__of_the_same_key_does_not_wait_for_itself(shop: Any) -> None:
    assert shop.get_or_set("k", lambda: shop.get_or_set("k", lambda: "inner")) == "inner"

    async def outer() -> Any:
        return await shop.aget_or_set("l", lambda: "inner")

    assert asyncio.run(shop.aget_or_set("l", outer)) == "inner"


def test_thread_of_a_loop__does_not_wait_for_a_task_of_it(shop: Any) -> None:
    async def main() -> list[Any]:
        started = asyncio.Event()
        let_go = asyncio.Event()

        async def factory() -> str:
            started.set()
            await let_go.wait()
            await sync_to_async(lambda: None)()
            return "task's"

        task = asyncio.create_task(shop.aget_or_set("k", factory, timeout=0))
        await started.wait()
        blocking = shop.get_or_set("k", lambda: "loop's", timeout=0)
        working = await sync_to_async(shop.get_or_set)("k", lambda: "worker's", timeout=0)
        let_go.set()
        return [blocking, working, await task]

    assert asyncio.run(main()) == ["loop's", "worker's", "task's"]


def test_coroutine_function__is_refused_where_nothing_awaits(shop: Any) -> None:
    async def factory() -> None: ...

    for default in (factory, lambda: factory()):
        with pytest.raises(TypeError, match="aget_or_set"):
            shop.get_or_set("k", default)


@pytest.mark.parametrize(
    "option", [{"early": -1}, {"early": "1"}, {"grace": -1}, {"lease": 0}, {"grace": float("inf")}]
)
def test_options__mistakes(shop: Any, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(option))} must be a number"):
        shop.get_or_set("k", 1, **option)


@pytest.mark.parametrize("route", ["native"])
def test_fork__in_the_midst_of_a_flight(shop: Any) -> None:
    started, let_go = threading.Event(), threading.Event()

    def factory() -> str:
        started.set()
        let_go.wait(HANGING)
        return "parent's"

    with ThreadPoolExecutor(1) as pool:
        leading = pool.submit(shop.get_or_set, "k", factory)
        started.wait(HANGING)
        child = multiprocessing.get_context("fork").Process(target=_compute_in_child, args=(shop,))
        child.start()
        child.join(HANGING)
        assert child.exitcode == 0
        let_go.set()
        assert leading.result(HANGING) == "child's"


def _compute_in_child(shop: Any) -> None:
    os._exit(0 if shop.get_or_set("k", lambda: "child's") == "child's" else 1)


def test_lead__given_to_one_who_has_left_goes_to_the_next() -> None:
    with flights.visit("name") as flight:
        leader = Party()
        assert flights.join(flight, 0, leader) is LEAD
        leaving, staying = (flights.join(flight, 0, Party()) for _ in range(2))
        flights.pass_on(flight, leader)
        assert leaving.future.result(HANGING) is LEAD
        assert not staying.future.done()
        flights.leave(flight, leaving)
        assert staying.future.result(HANGING) is LEAD
