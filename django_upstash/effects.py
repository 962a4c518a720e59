"""What a flow of several steps asks for, done by the thread that waits, or awaited by a task."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from django_upstash.operations import Operation


class Effect(Protocol):
    """One step: done in either way, with the same result."""

    def do(self) -> Any: ...
    async def ado(self) -> Any: ...


class Runner(Protocol):
    """What runs operations: a connection, or what stands before one."""

    def run(self, operation: Operation[Any], /) -> Any: ...
    async def arun(self, operation: Operation[Any], /) -> Any: ...


Flow: TypeAlias = Generator[Effect, Any, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Run an operation."""

    runner: Runner
    operation: Operation[Any]

    def do(self) -> Any:
        return self.runner.run(self.operation) if self.operation.commands else self.operation.parse([])

    async def ado(self) -> Any:
        return await self.runner.arun(self.operation) if self.operation.commands else self.operation.parse([])


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


def drive(flow: Flow) -> Any:
    """Do one step after another, and return what the flow returns."""
    try:
        effect = next(flow)
        while True:
            try:
                result = effect.do()
            except BaseException as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as end:
        return end.value


async def adrive(flow: Flow) -> Any:
    """Do as ``drive`` does, awaited."""
    try:
        effect = next(flow)
        while True:
            try:
                result = await effect.ado()
            except BaseException as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as end:
        return end.value
