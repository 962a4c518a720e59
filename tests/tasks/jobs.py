"""Tasks that the tests run, in this process and in workers of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.tasks import TaskContext, task

from django_upstash.connections import connections

meanwhile: list[Callable[[], None]] = []


@task
def overtaken() -> str:
    """Fail where another attempt was made meanwhile."""
    if meanwhile:
        meanwhile.pop()()
        raise RuntimeError("too late")
    return "done"


@task
def add(one: int, other: int = 0) -> int:
    return one + other


@task
async def double(number: int) -> int:
    return 2 * number


@task
def fail(text: str) -> None:
    raise ValueError(text)


@task(takes_context=True)
def attempt(context: TaskContext[Any, Any]) -> int:
    """Fail in the first attempt, and return the number of the one that does not."""
    if context.attempt == 1:
        raise RuntimeError("the first one fails")
    return context.attempt


@task
def leave() -> None:
    raise SystemExit(3)


@task
def endless() -> float:
    return float("inf")


@task
def unserialisable() -> object:
    return object()


@task
def note(name: str, seconds: float = 0, alias: str = "default") -> None:
    """Leave word on the server that this has begun, and that it has ended."""
    redis = connections[alias].redis
    redis.rpush("noted", f"{name} begins")
    time.sleep(seconds)
    redis.rpush("noted", f"{name} ends")


def plain() -> None:
    """This is no task."""


runs: list[str] = []


@task
def returning(size: int) -> str:
    """Note that it is run, do what is to be done meanwhile, and return so many characters."""
    runs.append("returning")
    if meanwhile:
        meanwhile.pop()()
    return "x" * size


@task
def failing(size: int) -> None:
    runs.append("failing")
    raise ValueError("x" * size)


@task
def returning_what_is_no_json() -> object:
    runs.append("returning_what_is_no_json")
    return object()
