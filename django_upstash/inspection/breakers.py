"""The circuit breakers whose circuits are on a server: how they stand, and what operators force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from django_upstash.breaker.operations import decide, listing, look
from django_upstash.breaker.standing import RELEASED, Standing, State, force
from django_upstash.capabilities import Capabilities
from django_upstash.connections import Connection
from django_upstash.operations import Operation, Reply

Found = TypeVar("Found")
Result = TypeVar("Result")


@dataclass(frozen=True)
class BreakerStatus:
    """
    A breaker and how its circuit stands.

    ``failures`` are those in a row that processes have told of while it was closed. ``next_probe`` is in how many
    seconds calls are let through to try, 0 while that is so; None where none are due. ``forced_for`` is how many
    seconds a forced state lasts, None until it is released. ``opened_at`` is since 1970.
    """

    name: str
    state: State
    failures: int
    opens: int
    opened_at: float | None
    next_probe: float | None
    forced_for: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_breakers(connection: Connection) -> Sequence[BreakerStatus]:
    """Return the breakers on a server by name, in two round trips; raise ``UpstashError`` where it is away."""
    return connection.run(reading())


def force_breaker(connection: Connection, name: str, state: State, seconds: float | None = None) -> BreakerStatus:
    """
    Force a breaker for so many seconds, or until released, in all processes; raise ``ValueError`` for another state.

    They follow at their next failure, at the end of what they know, or within ``REFRESH`` seconds.
    """
    return connection.run(forcing(connection.capabilities, name, state, seconds))


def release_breaker(connection: Connection, name: str) -> BreakerStatus:
    """Take back what was forced; the circuit is closed then, in all processes, and counts from zero."""
    return connection.run(releasing(connection.capabilities, name))


def reading() -> Operation[list[BreakerStatus]]:
    """Return the operation that reads the breakers that have opened, or have been forced, within a week."""
    return _read(listing(), lambda found: [_status(name, standing) for name, standing in found])


def reading_of(name: str) -> Operation[BreakerStatus]:
    """Return the operation that reads one breaker, whether anything is known of it or not."""
    return _read(look(name), lambda standing: _status(name, standing))


def forcing(
    capabilities: Capabilities, name: str, state: State, seconds: float | None = None
) -> Operation[BreakerStatus]:
    """Return the operation of ``force_breaker``."""
    if not state.is_forced:
        raise ValueError("A breaker can be forced to FORCED_OPEN, FORCED_CLOSED and DISABLED.")
    step = force(state.removeprefix("forced_"), seconds)
    return _read(decide(capabilities, name, step), lambda standing: _status(name, standing))


def releasing(capabilities: Capabilities, name: str) -> Operation[BreakerStatus]:
    """Return the operation of ``release_breaker``."""
    return _read(decide(capabilities, name, force(RELEASED, None)), lambda standing: _status(name, standing))


def _read(operation: Operation[Found], words: Callable[[Found], Result]) -> Operation[Result]:
    """Return the operation whose result is what the function makes of another's."""

    def parse(replies: list[Reply]) -> Result | Operation[Result]:
        found = operation.parse(replies)
        return _read(found, words) if isinstance(found, Operation) else words(found)

    return Operation(operation.commands, parse, atomic=operation.atomic, replay_safe=operation.replay_safe)


def _status(name: str, standing: Standing) -> BreakerStatus:
    state, left = standing.state, standing.left
    next_probe = {State.OPEN: left, State.HALF_OPEN: 0.0}.get(state)
    forced_for = left if state.is_forced else None
    return BreakerStatus(name, state, standing.failures, standing.opens, standing.opened_at, next_probe, forced_for)
