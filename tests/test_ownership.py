"""A forked child that comes to the end of a block gives nothing back that its parent holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from django_upstash.breaker import CircuitBreaker
from django_upstash.cache import UpstashCache
from django_upstash.idempotency import idempotent
from django_upstash.locks import Lock
from django_upstash.ratelimit import Concurrency, RateLimiter
from tests.forking import exit_status_in_fork

Fork = Callable[[], int]


@pytest.fixture(params=["native"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class ChildsError(Exception):
    """What a child leaves a block with."""


@contextmanager
def left_by_a_child(fork: Fork, stack: ExitStack) -> Iterator[None]:
    """Have a child leave the blocks on a stack, by an error, before this process goes on in them."""

    def leave() -> bool:
        with pytest.raises(ChildsError), stack:
            raise ChildsError
        return True

    assert exit_status_in_fork(leave, fork) == 0
    yield


@pytest.mark.parametrize("renew", [False, True])
def test_lock__of_the_parent(upstash: Any, route: str, fork: Fork, renew: bool) -> None:
    lock = Lock("job", lease=60, alias=route, renew=renew)
    with ExitStack() as stack:
        stack.enter_context(lock)
        with left_by_a_child(fork, stack):
            assert lock.owned()
            assert not Lock("job", wait=0, alias=route).acquire()


def test_lock__explicitly_released_by_a_child(upstash: Any, route: str, fork: Fork) -> None:
    lock = Lock("job", lease=60, wait=0, alias=route)

    def check() -> bool:
        with pytest.raises(RuntimeError, match="does not hold"):
            lock.release()
        with pytest.raises(RuntimeError, match="does not hold"):
            lock.extend()
        return not (lock.held or lock.owned() or lock.acquire()) and lock.token is None

    with lock:
        assert exit_status_in_fork(check, fork) == 0
        assert lock.owned()


def test_lock__of_a_task_of_the_parent(upstash: Any, route: str, fork: Fork) -> None:
    async def main() -> tuple[int, bool]:
        lock = Lock("job", lease=60, alias=route, renew=True)
        await lock.aacquire()

        def leave() -> bool:
            coroutine = lock.__aexit__(None, None, None)
            with pytest.raises(StopIteration):
                coroutine.send(None)  # it waits for nothing, for there is nothing to do
            return not lock.held

        return exit_status_in_fork(leave, fork), await lock.aowned()

    assert asyncio.run(main()) == (0, True)


def test_place__of_the_parent(upstash: Any, route: str, fork: Fork) -> None:
    limiter = RateLimiter(Concurrency(1, lease=60), alias=route)
    with ExitStack() as stack:
        assert stack.enter_context(limiter.holding("me")).allowed
        with left_by_a_child(fork, stack):
            assert not limiter.hit("me").allowed


def test_breaker__counts_the_parents_call_once(upstash: Any, route: str, fork: Fork) -> None:
    breaker = CircuitBreaker("shop", alias=route)
    with ExitStack() as stack:
        stack.enter_context(breaker)

        def leave() -> bool:
            with pytest.raises(ChildsError), stack:
                raise ChildsError
            return breaker.stats.failures == breaker.stats.calls == 0

        assert exit_status_in_fork(leave, fork) == 0
    assert (breaker.stats.calls, breaker.stats.failures) == (1, 0)


def test_idempotency_key__of_the_parents_request(upstash: Any, route: str, fork: Fork, settings: Any) -> None:
    settings.UPSTASH = {"default": upstash[route]}
    statuses: list[int] = []

    @idempotent
    def pay(request: Any) -> HttpResponse:
        parent = os.getpid()

        def leave() -> bool:
            raise AssertionError

        pid = fork()
        if pid == 0:
            raise ChildsError
        assert os.getpid() == parent
        os.waitpid(pid, 0)
        statuses.append(pay(request_for()).status_code)  # a second one, while this is under way
        return HttpResponse("paid")

    parent = os.getpid()
    try:
        response = pay(request_for())
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert (response.status_code, statuses) == (200, [409])


def request_for() -> Any:
    return RequestFactory().post("/", {"amount": 1}, headers={"Idempotency-Key": '"k"'})


def test_lease__of_the_parents_computation(
    make_cache: Callable[..., UpstashCache], upstash: Any, route: str, fork: Fork
) -> None:
    cache = make_cache(route, KEY_PREFIX="shop")
    parent = os.getpid()

    def factory() -> str:
        pid = fork()
        if pid == 0:
            raise ChildsError
        os.waitpid(pid, 0)
        leases = [key for key in cache.connection.redis.keys("*") if b"lease" in key]
        return f"{len(leases)} lease"

    try:
        assert cache.get_or_set("k", factory, cross_process=True) == "1 lease"
    finally:
        if os.getpid() != parent:
            os._exit(0)
