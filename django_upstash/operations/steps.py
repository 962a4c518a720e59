"""
Write a multi-step operation once as a generator; run it synchronously or await it.

A description is a flow: a generator. Each step it yields is an effect; it is sent the outcome, or has the error raised
at the ``yield``.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar

from django_upstash.callbacks import awaitable_error
from django_upstash.operations import Operation

P = ParamSpec("P")
Result = TypeVar("Result")
Owner = TypeVar("Owner", bound="Connected")


class Effect(Protocol):
    """One step: done in either way, with the same result."""

    def do(self) -> Any: ...
    async def ado(self) -> Any: ...


class Runner(Protocol):
    """What runs operations: a connection, or a layer above one."""

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
            raise awaitable_error("The default of get_or_set()", result, "which aget_or_set() awaits")
        return result

    async def ado(self) -> Any:
        with self.within():
            result = self.function()
            return await result if inspect.isawaitable(result) else result


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a future, which any thread may fulfil; raise ``TimeoutError`` after so many ``seconds``."""

    future: Future[Any]
    seconds: float | None = None

    def do(self) -> Any:
        return self.future.result(self.seconds)

    async def ado(self) -> Any:
        future = asyncio.wrap_future(self.future)
        if self.seconds is None:
            return await future
        done, _ = await asyncio.wait({future}, timeout=self.seconds)
        if not done:
            raise TimeoutError
        return future.result()


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
    """Async version of ``drive``."""
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


class Connected(Protocol):
    """What runs its operations on one connection, as a queue does."""

    @property
    def connection(self) -> Runner: ...


def on_connection(
    build: Callable[Concatenate[Owner, P], Operation[Result]],
) -> tuple[Callable[Concatenate[Owner, P], Result], Callable[Concatenate[Owner, P], Coroutine[Any, Any, Result]]]:
    """Return the two methods that run the operation which ``build`` makes."""

    def method(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.connection.run(build(self, *args, **kwargs))

    async def amethod(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return await self.connection.arun(build(self, *args, **kwargs))

    name_twins(build, method, amethod)
    return method, amethod


def name_twins(description: Callable[..., Any], function: Callable[..., Any], afunction: Callable[..., Any]) -> None:
    """
    Give both functions the description's docstring, signature and public name, the second one's with an ``a`` first.

    Their code has the name too, which tracebacks and profiles show. What they return is the result, not the operation
    or the flow that leads to it.
    """
    public = description.__name__.lstrip("_")
    for made, name in ((function, public), (afunction, f"a{public}")):
        update_wrapper(made, description)
        del made.__wrapped__  # type: ignore[attr-defined]
        made.__name__ = name
        made.__qualname__ = description.__qualname__.replace(description.__name__, name)
        made.__code__ = made.__code__.replace(co_name=name, co_qualname=made.__qualname__)
        made.__annotations__ = {**description.__annotations__, "return": _result_of(description)}
        signature = inspect.signature(description)
        made.__signature__ = signature.replace(return_annotation=made.__annotations__["return"])  # type: ignore[attr-defined]


def _result_of(description: Callable[..., Any]) -> Any:
    """Return what is between the brackets of ``Operation[…]`` and ``Flow[…]``; other annotations as they are."""
    written = description.__annotations__.get("return", Any)
    found = re.fullmatch(r"(?:Operation|Flow)\[(.*)\]", written) if isinstance(written, str) else None
    return found[1] if found else written
