"""Calls on their way through a breaker, and the steps that they take on it."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from django_upstash.breaker.circuit import Circuit, Event, Permit
from django_upstash.breaker.registry import Link
from django_upstash.breaker.settings import BreakerOptions
from django_upstash.exceptions import ServerAwayError, UpstashError
from django_upstash.operations import Operation
from django_upstash.operations.steps import Effect, Run


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a signal, to receivers that cannot break the call."""

    sender: object
    event: Event

    def do(self) -> None:
        self.event.signal.send_robust(self.sender, **self.event.arguments)

    async def ado(self) -> None:
        await self.event.signal.asend_robust(self.sender, **self.event.arguments)


class Scene(NamedTuple):
    """What a call is decided by."""

    options: BreakerOptions
    link: Link
    circuit: Circuit


class CallEntry(NamedTuple):
    """A call that was let through; without a permit it is not counted."""

    breaker: object
    scene: Scene | None
    permit: Permit | None


class NotDoneYet(BaseException):
    """
    Leaves a guard whose function has returned an awaitable.

    It is no ``Exception``, so the call counts neither as a success nor as a failure.
    """

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        super().__init__()
        self.awaitable = awaitable


# The calls that are under way, the innermost last, in this thread or task.
_entries: ContextVar[tuple[CallEntry, ...]] = ContextVar("django_upstash.breaker.calls", default=())


def push(entry: CallEntry) -> None:
    _entries.set((*_entries.get(), entry))


def pop(breaker: object) -> CallEntry:
    entries = _entries.get()
    for place in reversed(range(len(entries))):
        if entries[place].breaker is breaker:
            _entries.set((*entries[:place], *entries[place + 1 :]))
            return entries[place]
    # An asynchronous generator may begin in one context and end in another: nothing is known of its call then.
    return CallEntry(breaker, None, None)


def asked(here: Link, operation: Operation[Any] | None) -> Generator[Effect, Any, Any]:
    """Return what the server says, or None where it cannot be asked."""
    connection = here.connection
    if connection is None or operation is None:
        return None
    server = connection.settings.safe_url
    if not connection.availability.may_ask():
        here.board.note(ServerAwayError(), server)
        return None
    try:
        result = yield Run(connection, operation)
    except UpstashError as error:
        here.board.note(error, server)
        return None
    here.board.note(None, server)
    return result
