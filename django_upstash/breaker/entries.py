"""Calls on their way through a breaker, and the steps that they take on it."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django_upstash.breaker.boards import Link
from django_upstash.breaker.circuit import Circuit, Event, Permit
from django_upstash.breaker_options import BreakerOptions
from django_upstash.effects import Effect, Run
from django_upstash.exceptions import UpstashError
from django_upstash.operations import Operation

if TYPE_CHECKING:
    from django_upstash.breaker.circuit_breaker import CircuitBreaker


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


class Entry(NamedTuple):
    """A call that was let through; without a permit it is not counted."""

    breaker: CircuitBreaker
    scene: Scene | None
    permit: Permit | None


# The calls that are under way, the innermost last, in this thread or task.
_entries: ContextVar[tuple[Entry, ...]] = ContextVar("django_upstash.breaker.entries", default=())


def push(entry: Entry) -> None:
    _entries.set((*_entries.get(), entry))


def pop(breaker: CircuitBreaker) -> Entry:
    entries = _entries.get()
    for place in reversed(range(len(entries))):
        if entries[place].breaker is breaker:
            _entries.set((*entries[:place], *entries[place + 1 :]))
            return entries[place]
    # An asynchronous generator may begin in one context and end in another: nothing is known of its call then.
    return Entry(breaker, None, None)


def asked(here: Link, operation: Operation[Any] | None) -> Generator[Effect, Any, Any]:
    """Return what the server says, or None where it cannot be asked."""
    connection = here.connection
    if connection is None or operation is None or not connection.availability.may_ask():
        return None
    server = connection.settings.safe_url
    try:
        result = yield Run(connection, operation)
    except UpstashError as error:
        here.board.note(error, server)
        return None
    here.board.note(None, server)
    return result
