"""One description of a method, two methods: the one that waits, and the one that is awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from django_upstash.effects import name_twins
from django_upstash.exceptions import DataError, UpstashError
from django_upstash.operations import Operation
from django_upstash.ratelimit.decisions import Decision
from django_upstash.ratelimit.inquiry import Inquiry

if TYPE_CHECKING:
    from django_upstash.ratelimit.limiter import RateLimiter

P = ParamSpec("P")
R = TypeVar("R")
Build = Callable[Concatenate["RateLimiter", P], R]
Method = Callable[Concatenate["RateLimiter", P], R]
AsyncMethod = Callable[Concatenate["RateLimiter", P], Coroutine[Any, Any, R]]


def deciding(build: Build[P, Inquiry]) -> tuple[Method[P, Decision], AsyncMethod[P, Decision]]:
    """Return the two methods that answer the inquiry which ``build`` makes, whether the server is there or not."""

    def method(self: RateLimiter, /, *args: P.args, **kwargs: P.kwargs) -> Decision:
        inquiry = build(self, *args, **kwargs)
        try:
            found = inquiry.begin()
            if isinstance(found, Operation):
                found = inquiry.connection.run(found)
                inquiry.succeeded()
        except DataError:
            raise
        except UpstashError as error:
            found = inquiry.without_server(error)
            return self.finish(found, inquiry, error)
        return self.finish(found, inquiry)

    async def amethod(self: RateLimiter, /, *args: P.args, **kwargs: P.kwargs) -> Decision:
        inquiry = build(self, *args, **kwargs)
        try:
            found = inquiry.begin()
            if isinstance(found, Operation):
                found = await inquiry.connection.arun(found)
                inquiry.succeeded()
        except DataError:
            raise
        except UpstashError as error:
            found = inquiry.without_server(error)
            return await self.afinish(found, inquiry, error)
        return await self.afinish(found, inquiry)

    name_twins(build, method, amethod)
    return method, amethod


def managing(build: Build[P, Operation[R]]) -> tuple[Method[P, R], AsyncMethod[P, R]]:
    """Return the two methods that run the operation which ``build`` makes, and raise what keeps it from running."""

    def method(self: RateLimiter, /, *args: P.args, **kwargs: P.kwargs) -> R:
        operation = build(self, *args, **kwargs)
        return self.server.connection.run(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]

    async def amethod(self: RateLimiter, /, *args: P.args, **kwargs: P.kwargs) -> R:
        operation = build(self, *args, **kwargs)
        return await self.server.connection.arun(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]

    name_twins(build, method, amethod)
    return method, amethod
