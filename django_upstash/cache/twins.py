"""One description of a method, two methods: the one that waits, and the one that is awaited."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from django_upstash.cache.failures import FALLBACKS, IGNORABLE
from django_upstash.cache.through import through
from django_upstash.effects import name_twins
from django_upstash.operations import Operation

if TYPE_CHECKING:
    from django_upstash.cache.backend import UpstashCache
    from django_upstash.cache.keyspace import Keyspace

P = ParamSpec("P")
R = TypeVar("R")


def twin(
    build: Callable[Concatenate[Keyspace, P], Operation[R]],
) -> tuple[Callable[Concatenate[UpstashCache, P], R], Callable[Concatenate[UpstashCache, P], Coroutine[Any, Any, R]]]:
    """
    Return the synchronous and the asynchronous method of a cache that run the operation ``build`` makes.

    Both run it on the cache's runner, or through the ``client`` they are given, and both heed ``ON_FAILURE``. An
    operation without commands knows its result and is not run.
    """
    name = build.__name__
    fallback = FALLBACKS[name]
    place = _place_of_client(build)

    def method(self: UpstashCache, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            operation = build(self.keyspace, *args, **kwargs)
            if (kwargs or len(args) > place) and (client := _client(args, kwargs, place)) is not None:
                return through(client, operation)
            return self.runner.run(operation) if operation.commands else operation.parse([])
        except IGNORABLE as error:
            return self.fall_back(error, fallback, args, kwargs)

    async def amethod(self: UpstashCache, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            operation = build(self.keyspace, *args, **kwargs)
            if (kwargs or len(args) > place) and (client := _client(args, kwargs, place)) is not None:
                return through(client, operation)
            return await self.runner.arun(operation) if operation.commands else operation.parse([])
        except IGNORABLE as error:
            return self.fall_back(error, fallback, args, kwargs)

    name_twins(build, method, amethod)
    return method, amethod


def _place_of_client(build: Callable[..., Any]) -> int:
    _, *parameters = inspect.signature(build).parameters
    return parameters.index("client") if "client" in parameters else sys.maxsize


def _client(args: tuple[Any, ...], kwargs: dict[str, Any], place: int) -> Any:
    return args[place] if len(args) > place else kwargs.get("client")
