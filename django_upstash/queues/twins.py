"""One description of a method, two methods: the one that waits, and the one that is awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from django_upstash.effects import name_twins
from django_upstash.operations import Operation

if TYPE_CHECKING:
    from django_upstash.queues.queue import Queue

P = ParamSpec("P")
R = TypeVar("R")


def twin(
    build: Callable[Concatenate[Queue, P], Operation[R]],
) -> tuple[Callable[Concatenate[Queue, P], R], Callable[Concatenate[Queue, P], Coroutine[Any, Any, R]]]:
    """Return the two methods that run the operation which ``build`` makes."""

    def method(self: Queue, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.connection.run(build(self, *args, **kwargs))

    async def amethod(self: Queue, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.connection.arun(build(self, *args, **kwargs))

    name_twins(build, method, amethod)
    return method, amethod
