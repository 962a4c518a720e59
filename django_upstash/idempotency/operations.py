"""
The operations on one idempotency key: what each sends, and how it reads the replies.

All are safe to send again where an answer was lost: each reservation is different from every other, so a caller that
finds its own has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from django_upstash.exceptions import ReservationLostError, ResponseError
from django_upstash.operations import Command, Operation, Reply, leases, only, then
from django_upstash.operations.capabilities import Capabilities
from django_upstash.operations.compare_and_set import Swap, compare_and_set

# Redis 7 says what is stored where SET NX did not; Redis 6 refuses the two together; Upstash says null, it documents.
RETURNING_SET = "SET NX GET"


class Reservation(NamedTuple):
    """A key's name, the body that says who works on it, and for how many milliseconds that holds."""

    name: str
    body: bytes
    milliseconds: int


# What to make of what is stored instead of the reservation, None for nothing: it holds.
Judge: TypeAlias = Callable[[bytes | None], Any]


def reserve(capabilities: Capabilities, wanted: Reservation, judge: Judge) -> Operation[Any]:
    """Store the reservation where nothing is stored, and return what ``judge`` makes of what was found."""
    if RETURNING_SET in capabilities.proven:
        return _reserve_or_return(capabilities, wanted, judge)

    def parse(replies: list[Reply]) -> Any:
        return judge(None) if only(replies) is not None else _look(capabilities, wanted, judge)

    return Operation((_set(wanted),), parse, replay_safe=True)


def take_over(capabilities: Capabilities, wanted: Reservation, before: bytes, judge: Judge) -> Operation[Any]:
    """Store the reservation where ``before`` is stored still, and look again where it is not."""

    def parse(found: bytes | bool | None) -> Any:
        return judge(None) if found in (True, wanted.body) else reserve(capabilities, wanted, judge)

    return then(_exchange(capabilities, wanted.name, before, wanted.body, wanted.milliseconds), parse)


def replace(capabilities: Capabilities, held: Reservation, body: bytes, milliseconds: int) -> Operation[None]:
    """Store a body in the place of the reservation; raise ``ReservationLostError`` where that has ended."""

    def parse(found: bytes | bool | None) -> None:
        if found not in (True, body):
            raise ReservationLostError(
                "The reservation of this idempotency key has expired"
                + (", and nobody has taken it since." if found is None else ", and somebody else has taken it since.")
            )

    return then(_exchange(capabilities, held.name, held.body, body, milliseconds), parse)


def release(capabilities: Capabilities, held: Reservation) -> Operation[bool]:
    """Remove the reservation; return whether it was there still, as far as the answer to a second attempt can tell."""
    return then(leases.release(capabilities, held.name, held.body.decode()), bool)


def _exchange(
    capabilities: Capabilities, name: str, before: bytes, body: bytes, milliseconds: int
) -> Operation[bytes | bool | None]:
    """Store a body where ``before`` is stored still; return True, or what is stored instead, None for nothing."""
    swap = Swap(name, before, body, ("PX", str(milliseconds)))
    return compare_and_set(capabilities, swap, replay_safe=True)


def _reserve_or_return(capabilities: Capabilities, wanted: Reservation, judge: Judge) -> Operation[Any]:
    def parse(replies: list[Reply]) -> Any:
        return judge(_unless_own(only(replies), wanted))

    return Operation((_set(wanted, "GET"),), parse, replay_safe=True)


def _look(capabilities: Capabilities, wanted: Reservation, judge: Judge) -> Operation[Any]:
    """Read what is there, and where that is not known, learn whether one command could have done both."""
    learning = capabilities.has(RETURNING_SET)

    def parse(replies: list[Reply]) -> Any:
        stored: Any = only(replies[-1:])
        if learning:
            _learn(capabilities, replies[0], stored, wanted)
        if stored is None:
            return reserve(capabilities, wanted, judge)  # it has ended in between
        return judge(_unless_own(stored, wanted))

    reading: Command = ("GET", wanted.name)
    return Operation((_set(wanted, "GET"), reading) if learning else (reading,), parse, replay_safe=True)


def _learn(capabilities: Capabilities, reply: Reply, stored: bytes | None, wanted: Reservation) -> None:
    if isinstance(reply, bytes):
        capabilities.proven.add(RETURNING_SET)
    elif isinstance(reply, ResponseError) or stored not in (None, wanted.body):
        capabilities.lacks.add(RETURNING_SET)


def _unless_own(stored: bytes | None, wanted: Reservation) -> bytes | None:
    return None if stored == wanted.body else stored


def _set(wanted: Reservation, *options: str) -> Command:
    return "SET", wanted.name, wanted.body, "NX", *options, "PX", str(wanted.milliseconds)
