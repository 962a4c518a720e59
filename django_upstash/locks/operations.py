"""What a lock asks the server, as operations."""

from __future__ import annotations

from django_upstash.operations import Operation, Reply, leases, only, scripts
from django_upstash.operations.capabilities import Capabilities
from django_upstash.operations.keys import root


def key(name: str) -> str:
    """Return the key that holds the token of the holder."""
    return root(f"lock:{name}")


def fence_key(name: str) -> str:
    """Return the key of the last fencing number. It never expires: starting over would let old holders pass."""
    return root(f"fence:{name}")


def acquire(
    capabilities: Capabilities, name: str, token: str, milliseconds: int, *, fencing: bool, in_doubt: bool
) -> Operation[int | None]:
    """
    Return the operation that takes the lock where it is free; its result is None where it is not.

    The result is the fencing number, or 0 without ``fencing``. The number is taken on the server in the same step as
    the lock: taken after it, by a holder that paused in between, it would exceed its successor's. ``in_doubt`` says
    that the token may hold the lock already; the lease starts over then.
    """
    if not fencing and not in_doubt:
        return Operation((leases.asking(key(name), token, milliseconds),), _taken, replay_safe=False)
    keys = [key(name), fence_key(name)] if fencing else [key(name)]
    arguments = [token, str(milliseconds), "1" if in_doubt else "0"]
    return scripts.load("locks/acquire").operation(capabilities, keys, arguments, _number, replay_safe=in_doubt)


def holder_is(name: str, token: str) -> Operation[bool]:
    """Return the operation that tells whether the token holds the lock."""
    return Operation((("GET", key(name)),), lambda replies: only(replies) == token.encode())


def is_held(name: str) -> Operation[bool]:
    """Return the operation that tells whether anybody holds the lock."""
    return Operation((("EXISTS", key(name)),), lambda replies: only(replies) == 1)


def _taken(replies: list[Reply]) -> int | None:
    return None if only(replies) is None else 0


def _number(replies: list[Reply]) -> int | None:
    reply = only(replies)
    return None if reply is None else int(reply)
