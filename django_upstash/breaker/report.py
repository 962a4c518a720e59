"""The circuit breakers whose circuits are on a server: their states, and what operators force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from django_upstash.breaker.operations import Listed, decide, listing, look_listed
from django_upstash.breaker.registry import boards
from django_upstash.breaker.settings import BREAKERS, breaker_setting, checked
from django_upstash.breaker.status import RELEASED, Standing, State, force
from django_upstash.connections import Connection
from django_upstash.operations import Operation, Reply
from django_upstash.operations.capabilities import Capabilities

Found = TypeVar("Found")
Result = TypeVar("Result")


@dataclass(frozen=True)
class BreakerStatus:
    """
    A breaker and the state of its circuit.

    ``failures`` are those in a row that processes have told of while it was closed. ``next_probe`` is in how many
    seconds calls are let through to try, 0 while that is so; None where none are due. ``forced_for`` is how many
    seconds a forced state lasts, None until it is released. ``opened_at`` is since 1970.

    ``error`` is what the last call before the last opening raised, and ``opened_by`` the failures that opened it.
    ``threshold`` is how many in a row do, None where their rate does. ``refused`` calls at least were refused since:
    processes tell when they probe. ``is_recorded`` is false where the server has no record.
    """

    name: str
    state: State
    failures: int
    opens: int
    opened_at: float | None
    next_probe: float | None
    forced_for: float | None
    error: str = ""
    opened_by: int | None = None
    threshold: int | None = None
    refused: int = 0
    is_recorded: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_breakers(connection: Connection) -> Sequence[BreakerStatus]:
    """Return the breakers on a server by name, in two round trips; raise ``UpstashError`` where it is away."""
    return connection.run(reading(connection.settings.alias))


def force_breaker(connection: Connection, name: str, state: State, seconds: float | None = None) -> BreakerStatus:
    """
    Force a breaker for so many seconds, or until released, in all processes; raise ``ValueError`` for another state.

    They follow at their next failure, at the end of what they know, or within ``REFRESH`` seconds.
    """
    return connection.run(forcing(connection.capabilities, name, state, seconds))


def release_breaker(connection: Connection, name: str) -> BreakerStatus:
    """Take back what was forced; the circuit is closed then, in all processes, and counts from zero."""
    return connection.run(releasing(connection.capabilities, name))


def reading(alias: str) -> Operation[list[BreakerStatus]]:
    """
    Return the operation that reads the breakers of a connection.

    Those are the ones that have opened, or have been forced, within a week; that the settings name; and that this
    process has used.
    """
    return _read(listing(known_names(alias)), lambda found: [_listed_status(one) for one in found])


def reading_of(name: str) -> Operation[BreakerStatus]:
    """Return the operation that reads one breaker, whether anything is known of it or not."""
    return _read(look_listed(name), _listed_status)


def known_names(alias: str) -> set[str]:
    """Return the breakers of a connection that the settings name, or that this process has used."""
    given = breaker_setting()
    named = given.get(BREAKERS, {})
    found = {name for name in named if checked(given, name, {}).alias == alias}
    return found.union(*({one.name for one in board.circuits()} for here, board in boards() if here == alias))


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
    counts = standing.failures, standing.opens, standing.opened_at
    return BreakerStatus(name, state, *counts, next_probe, forced_for, threshold=_threshold(name))


def _listed_status(listed: Listed) -> BreakerStatus:
    notes, found = listed.notes, _status(listed.name, listed.standing)
    threshold = _count(notes.get("threshold"))
    is_failing = found.state in (State.OPEN, State.HALF_OPEN)
    return replace(
        found,
        error=notes.get("error", "").replace("slow_call", "slow call"),
        opened_by=_count(notes.get("failures")),
        threshold=(threshold or None) if is_failing and threshold is not None else found.threshold,
        refused=(_count(notes.get("refused")) or 0) + _untold(listed.name),
        is_recorded=listed.is_recorded,
    )


def _untold(name: str) -> int:
    """Return how many calls this process has refused of which it has not told the others."""
    return sum(one.untold_refusals for _, board in boards() for one in board.circuits() if one.name == name)


def _threshold(name: str) -> int | None:
    try:
        options = checked(breaker_setting(), name, {})
    except ImproperlyConfigured:
        return None
    return options.failure_threshold if options.failure_rate is None else None


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None
