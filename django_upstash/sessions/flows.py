"""
What a session does, described once, and run in two ways: by one that waits, and by one that awaits.

A description is a generator. Each step it yields is a ``Call``; it is sent the outcome, or has the error raised at
the ``yield``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import update_wrapper
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


class Call(NamedTuple):
    """A method of an object that also has its asynchronous twin, under the same name with an ``a`` before it."""

    target: Any
    name: str
    arguments: tuple[Any, ...] = ()

    def run(self) -> Any:
        return getattr(self.target, self.name)(*self.arguments)

    async def arun(self) -> Any:
        return await getattr(self.target, f"a{self.name}")(*self.arguments)


Flow: TypeAlias = Generator[Call, Any, Result]


def run(flow: Flow[Result]) -> Result:
    """Carry a description out, waiting for each step."""
    step: Callable[[], Call] = flow.__next__
    while True:
        try:
            call = step()
        except StopIteration as done:
            result: Result = done.value
            return result
        try:
            step = _sending(flow, call.run())
        except Exception as error:
            step = _throwing(flow, error)


async def arun(flow: Flow[Result]) -> Result:
    """Carry a description out, awaiting each step."""
    step: Callable[[], Call] = flow.__next__
    while True:
        try:
            call = step()
        except StopIteration as done:
            result: Result = done.value
            return result
        try:
            step = _sending(flow, await call.arun())
        except Exception as error:
            step = _throwing(flow, error)


def _sending(flow: Flow[Any], outcome: Any) -> Callable[[], Call]:
    return lambda: flow.send(outcome)


def _throwing(flow: Flow[Any], error: Exception) -> Callable[[], Call]:
    return lambda: flow.throw(error)


def twins(describe: Callable[P, Flow[Result]]) -> tuple[Callable[P, Result], Callable[P, Coroutine[Any, Any, Result]]]:
    """Return the function that runs the description waiting, and the one that runs it awaiting."""

    def function(*args: P.args, **kwargs: P.kwargs) -> Result:
        return run(describe(*args, **kwargs))

    async def afunction(*args: P.args, **kwargs: P.kwargs) -> Result:
        return await arun(describe(*args, **kwargs))

    name = describe.__name__.lstrip("_")
    for made, prefix in ((function, ""), (afunction, "a")):
        update_wrapper(made, describe)
        made.__name__ = f"{prefix}{name}"
        made.__qualname__ = describe.__qualname__.replace(describe.__name__, made.__name__)
    return function, afunction
