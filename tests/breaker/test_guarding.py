"""Decorator, context manager and call, in both forms; which errors count, and what stands in for a refused call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.views import View

from django_upstash.breaker import CircuitBreaker, CircuitOpen, State, closed, half_opened, opened, refused
from django_upstash.exceptions import UpstashError
from tests.breaker.conftest import Elapse, Failure, MakeBreaker, Start, fail, succeed


@pytest.fixture
def breaker(make_breaker: MakeBreaker) -> CircuitBreaker:
    return make_breaker(failure_threshold=2)


def test_decorator__guards_a_function(breaker: CircuitBreaker) -> None:
    @breaker
    def divide(by: int, *, of: int = 1) -> float:
        """Divide."""
        return of / by

    assert divide(2, of=4) == 2
    assert (divide.__name__, divide.__doc__) == ("divide", "Divide.")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            divide(0)
    with pytest.raises(CircuitOpen):
        divide(2)


def test_decorator__guards_a_coroutine(breaker: CircuitBreaker) -> None:
    @breaker
    async def divide(by: int) -> float:
        return 1 / by

    async def main() -> None:
        assert await divide(2) == 0.5
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await divide(0)
        with pytest.raises(CircuitOpen):
            await divide(2)

    asyncio.run(main())


async def afail() -> None:
    fail()


class Fetch:
    async def __call__(self) -> None:
        fail()


class AsyncView(View):
    async def get(self, request: HttpRequest) -> None:
        fail()


GUARDED: dict[str, Callable[[CircuitBreaker], Callable[[], Any]]] = {
    "a lambda of a coroutine": lambda breaker: breaker(lambda: afail()),
    "an object with async __call__": lambda breaker: breaker(Fetch()),
    "a partial": lambda breaker: breaker(partial(afail)),
    "call": lambda breaker: lambda: breaker.call(lambda: afail()),
    "a view": lambda breaker: partial(breaker(AsyncView.as_view()), RequestFactory().get("/")),
    "acall of a plain function": lambda breaker: lambda: breaker.acall(fail),
}


@pytest.mark.parametrize("kind", GUARDED)
def test_awaitable__is_guarded_whatever_returns_it(kind: str, breaker: CircuitBreaker) -> None:
    call = GUARDED[kind](breaker)

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(Failure):
                await call()
        with pytest.raises(CircuitOpen):
            await call()

    asyncio.run(main())
    assert (breaker.stats.failures, breaker.stats.successes) == (2, 0)


def test_decorator__refuses_generators(breaker: CircuitBreaker) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def async_numbers() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, async_numbers):
        with pytest.raises(TypeError, match="numbers is a generator: guard what it does"):
            breaker(function)


def test_context_manager__nests_in_tasks_and_in_itself(breaker: CircuitBreaker, make_breaker: MakeBreaker) -> None:
    other = make_breaker("other", failure_threshold=1)

    async def call() -> None:
        async with breaker, other:
            await asyncio.sleep(0)
            with breaker:
                pass

    async def main() -> None:
        await asyncio.gather(*(call() for _ in range(5)))

    asyncio.run(main())
    assert (breaker.stats.successes, other.stats.successes) == (10, 5)
    with suppress(Failure), breaker, other:
        raise Failure
    assert (breaker.state, other.state) == (State.CLOSED, State.OPEN)


def test_context_manager__entered_in_one_context_and_left_in_another(breaker: CircuitBreaker) -> None:
    entered = copy_context()
    entered.run(breaker.__enter__)
    breaker.__exit__(None, None, None)
    entered.run(breaker.__exit__, None, None, None)
    assert breaker.stats.successes == 1


def test_excluded__errors_show_that_the_other_side_answers(make_breaker: MakeBreaker) -> None:
    breaker = make_breaker(failure_threshold=2, excluded=(KeyError,))
    for error in (KeyError, Failure, KeyError, Failure, KeyError):
        with pytest.raises(error), breaker:
            raise error
    assert breaker.state is State.CLOSED
    assert (breaker.stats.successes, breaker.stats.failures) == (3, 2)


def test_included__are_the_only_failures(make_breaker: MakeBreaker) -> None:
    breaker = make_breaker(failure_threshold=1, included=(OSError,))
    with pytest.raises(Failure), breaker:
        raise Failure
    assert breaker.stats.opens == 0
    with pytest.raises(TimeoutError), breaker:
        raise TimeoutError
    assert breaker.stats.opens == 1


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_cancelled__shows_nothing_and_frees_the_place(start: Start, elapse: Elapse, error: Any) -> None:
    process = start(failure_threshold=1, timeout=30)
    process.tries(fail)
    elapse(31, process)
    with pytest.raises(error), process.breaker:
        raise error
    assert process.state is State.HALF_OPEN
    assert process.tries(succeed) == "passed"


def test_slow_call__counts_as_a_failure(start: Start) -> None:
    process = start(failure_threshold=2, slow_call=1.5)

    def slow() -> None:
        process.seconds += 1.5

    assert [process.tries(slow) for _ in range(3)] == ["passed", "passed", "refused"]
    assert process.stats.failures == 2


def test_fallback__stands_in_for_failures_and_refusals(make_breaker: MakeBreaker) -> None:
    seen: list[Exception] = []

    def fallback(error: Exception) -> str:
        seen.append(error)
        return "instead"

    breaker = make_breaker(failure_threshold=1, fallback=fallback, excluded=(KeyError,))
    assert [breaker.call(fail), breaker.call(succeed)] == ["instead"] * 2
    assert [type(error) for error in seen] == [Failure, CircuitOpen]
    breaker.release()
    with pytest.raises(KeyError):
        breaker.call(dict[str, int]().__getitem__, "missing")


def test_fallback__may_be_awaited(make_breaker: MakeBreaker) -> None:
    async def fallback(error: Exception) -> str:
        return type(error).__name__

    async def failing() -> str:
        raise Failure

    breaker = make_breaker(failure_threshold=1, fallback=fallback)
    assert asyncio.run(breaker.acall(failing)) == "Failure"
    assert asyncio.run(breaker.acall(failing)) == "CircuitOpen"


def test_signals__tell_of_changes_and_refusals(start: Start, elapse: Elapse) -> None:
    told: list[tuple[str, Any]] = []

    def note(name: str) -> Any:
        return lambda signal, sender, **arguments: told.append((name, arguments.get("decided_here")))

    receivers = {name: note(name) for name in ("opened", "half_opened", "closed", "refused")}
    signals = {"opened": opened, "half_opened": half_opened, "closed": closed, "refused": refused}
    for name, signal in signals.items():
        signal.connect(receivers[name])
    try:
        process, other = (start(failure_threshold=1, success_threshold=1, timeout=30) for _ in range(2))
        process.tries(fail)
        other.tries(fail)
        other.tries(succeed)
        elapse(31, process, other)
        process.tries(succeed)
        other.tries(succeed)
    finally:
        for name, signal in signals.items():
            signal.disconnect(receivers[name])
    assert told == [
        ("opened", True),
        ("opened", False),
        ("refused", None),
        ("half_opened", False),
        ("closed", True),
        ("closed", False),
    ]


def test_signals__receivers_break_nothing(make_breaker: MakeBreaker) -> None:
    def broken(**arguments: Any) -> None:
        raise RuntimeError("receiver")

    opened.connect(broken)
    try:
        with pytest.raises(Failure):
            make_breaker(failure_threshold=1).call(fail)
    finally:
        opened.disconnect(broken)


def test_circuit_open__is_an_error_of_this_package() -> None:
    error = CircuitOpen("stripe", 12.34)
    assert isinstance(error, UpstashError)
    assert str(error) == "The circuit 'stripe' is open; try again in 12.3 s."


@pytest.mark.parametrize("name", ["", None, 3])
def test_name__must_be_text(name: Any) -> None:
    with pytest.raises(ValueError, match="must be a text that is not empty"):
        CircuitBreaker(name)


def test_name__may_be_any_text(make_breaker: MakeBreaker) -> None:
    for name in ("a b", "a:b", "a%3Ab", "ü", "\ud800", "x" * 300):
        breaker = make_breaker(name, failure_threshold=1)
        with pytest.raises(Failure):
            breaker.call(fail)
        assert breaker.read().state is State.OPEN
