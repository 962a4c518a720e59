"""
What a method does in several steps, described once and run in two ways: by a thread that waits, or awaited by a task.

A description is a flow: a generator. Each step it yields is an effect; it is sent the outcome, or has the error raised
at the ``yield``.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar

from django_upstash.operations import Operation

P = ParamSpec("P")
Result = TypeVar("Result")


class Effect(Protocol):
    """One step: done in either way, with the same result."""

    def do(self) -> Any: ...
    async def ado(self) -> Any: ...


class Runner(Protocol):
    """What runs operations: a connection, or what stands before one."""

    def run(self, operation: Operation[Any], /) -> Any: ...
    async def arun(self, operation: Operation[Any], /) -> Any: ...


Flow: TypeAlias = Generator[Effect, Any, Result]


@dataclass(frozen=True, slots=True)
class Run:
    """Run an operation."""

    runner: Runner
    operation: Operation[Any]

    def do(self) -> Any:
        return self.runner.run(self.operation) if self.operation.commands else self.operation.parse([])

    async def ado(self) -> Any:
        return await self.runner.arun(self.operation) if self.operation.commands else self.operation.parse([])


class Method(NamedTuple):
    """Call a method that has an asynchronous twin under the same name with an ``a`` before it."""

    target: Any
    name: str
    arguments: tuple[Any, ...] = ()

    def do(self) -> Any:
        return getattr(self.target, self.name)(*self.arguments)

    async def ado(self) -> Any:
        return await getattr(self.target, f"a{self.name}")(*self.arguments)


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function of the caller's within a context; tasks await what it returns, where that can be awaited."""

    function: Callable[[], Any]
    within: Callable[[], AbstractContextManager[Any]]

    def do(self) -> Any:
        with self.within():
            result = self.function()
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError("get_or_set() cannot await what its default returns; call aget_or_set() instead.")
        return result

    async def ado(self) -> Any:
        with self.within():
            result = self.function()
            return await result if inspect.isawaitable(result) else result


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a future, which any thread may fulfil."""

    future: Future[Any]

    def do(self) -> Any:
        return self.future.result()

    async def ado(self) -> Any:
        return await asyncio.wrap_future(self.future)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let so many seconds pass."""

    seconds: float

    def do(self) -> None:
        time.sleep(self.seconds)

    async def ado(self) -> None:
        await asyncio.sleep(self.seconds)


def drive(flow: Flow[Result]) -> Result:
    """Do one step after another, and return what the flow returns."""
    try:
        effect = next(flow)
        while True:
            try:
                outcome = effect.do()
            except BaseException as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(outcome)
    except StopIteration as end:
        result: Result = end.value
        return result


async def adrive(flow: Flow[Result]) -> Result:
    """Do as ``drive`` does, awaited."""
    try:
        effect = next(flow)
        while True:
            try:
                outcome = await effect.ado()
            except BaseException as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(outcome)
    except StopIteration as end:
        result: Result = end.value
        return result


def twins(describe: Callable[P, Flow[Result]]) -> tuple[Callable[P, Result], Callable[P, Coroutine[Any, Any, Result]]]:
    """Return the function that does what is described waiting, and the one that does it awaiting."""

    def function(*args: P.args, **kwargs: P.kwargs) -> Result:
        return drive(describe(*args, **kwargs))

    async def afunction(*args: P.args, **kwargs: P.kwargs) -> Result:
        return await adrive(describe(*args, **kwargs))

    name_twins(describe, function, afunction)
    return function, afunction


def name_twins(description: Callable[..., Any], function: Callable[..., Any], afunction: Callable[..., Any]) -> None:
    """Give both functions the description's docstring and public name, the second one's with an ``a`` before it."""
    public = description.__name__.lstrip("_")
    for made, name in ((function, public), (afunction, f"a{public}")):
        update_wrapper(made, description)
        made.__name__ = name
        made.__qualname__ = description.__qualname__.replace(description.__name__, name)
