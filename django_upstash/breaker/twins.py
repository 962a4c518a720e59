"""One description of a method, two methods: the one that waits, and the one that is awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from django_upstash.effects import Effect, adrive, drive

if TYPE_CHECKING:
    from django_upstash.breaker.circuit_breaker import CircuitBreaker

P = ParamSpec("P")
R = TypeVar("R")


def twins(
    describe: Callable[Concatenate[CircuitBreaker, P], Generator[Effect, Any, R]],
) -> tuple[
    Callable[Concatenate[CircuitBreaker, P], R], Callable[Concatenate[CircuitBreaker, P], Coroutine[Any, Any, R]]
]:
    """Return the method that does what is described waiting, and the one that does it awaiting."""

    def method(self: CircuitBreaker, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return drive(describe(self, *args, **kwargs))  # type: ignore[no-any-return]

    async def amethod(self: CircuitBreaker, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await adrive(describe(self, *args, **kwargs))  # type: ignore[no-any-return]

    name = describe.__name__.lstrip("_")
    for twin, public in ((method, name), (amethod, f"a{name}")):
        update_wrapper(twin, describe)
        twin.__name__, twin.__qualname__ = public, f"CircuitBreaker.{public}"
    return method, amethod
