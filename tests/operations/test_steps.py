"""Methods made from one description: what tracebacks, profiles, IDEs and users see of them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_upstash.breaker.circuit_breaker import CircuitBreaker
from django_upstash.idempotency.store import IdempotencyStore
from django_upstash.queues.queue import Queue
from django_upstash.ratelimit import RateLimiter
from django_upstash.sessions import user_sessions
from django_upstash.sessions.store import SessionStore
from django_upstash.tenants.flags import Flags
from django_upstash.tenants.usage import Usage

OWNERS = [CircuitBreaker, Flags, IdempotencyStore, Queue, RateLimiter, SessionStore, Usage, user_sessions]
# What a description returns, and the method made of it does not.
DESCRIPTIONS = ("Operation[", "Flow[", "Inquiry")


def pairs(owner: Any) -> dict[str, tuple[Any, Any]]:
    """Return the public functions that have an asynchronous version, both by the name of the first."""
    found = dict(inspect.getmembers(owner, inspect.isfunction))
    return {
        name: (method, found[f"a{name}"])
        for name, method in found.items()
        if not name.startswith("_") and f"a{name}" in found and method.__module__ in _modules(owner)
    }


def _modules(owner: Any) -> set[str]:
    return (
        {one.__module__ for one in owner.__mro__ if one.__module__.startswith("django_upstash")}
        if isinstance(owner, type)
        else {owner.__name__}
    )


@pytest.mark.parametrize("owner", OWNERS, ids=lambda owner: owner.__name__.rpartition(".")[2])
def test_methods__have_their_own_name_and_signature(owner: Any) -> None:
    found = pairs(owner)
    assert found
    for name, (method, amethod) in found.items():
        if name in ("holding", "call"):  # which are a context manager, and take any function
            continue
        assert method.__code__.co_name == method.__name__ == name
        assert amethod.__code__.co_name == amethod.__name__ == f"a{name}"
        assert amethod.__qualname__.rpartition(".")[2] == f"a{name}"
        assert inspect.iscoroutinefunction(amethod)
        assert method.__doc__
        written, awaited = inspect.signature(method), inspect.signature(amethod)
        assert list(written.parameters) == list(awaited.parameters)
        assert list(written.parameters)[1:] != ["args", "kwargs"]
        assert not str(written.return_annotation).startswith(DESCRIPTIONS)
        assert written.return_annotation == awaited.return_annotation


def test_traceback__names_the_method() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Queue("mail", alias="nowhere").purge()
    names = [entry.name for entry in caught.traceback]
    assert "purge" in names
    assert "method" not in names
