"""A session's operations: what each sends, and how it reads the replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django_upstash import scripts
from django_upstash.exceptions import ResponseError
from django_upstash.operations import Argument, Command, Operation, Reply, checked, only
from django_upstash.sessions.keyspace import Keyspace

_COMPARING = "SET IFEQ"


@dataclass(frozen=True)
class Writing:
    """
    One session to be stored under a name.

    ``lifetime`` is in milliseconds; with none left, what is stored there is removed instead. ``beside`` are commands
    that keep the index, sent along.
    """

    name: str
    body: bytes
    lifetime: int
    beside: tuple[Command, ...] = ()


def read(name: str) -> Operation[bytes | None]:
    """Return the stored body, None where there is none."""
    return Operation((("GET", name),), only)


def exists(name: str) -> Operation[bool]:
    """Tell whether something is stored under the name."""
    return Operation((("EXISTS", name),), _was_some)


def create(writing: Writing) -> Operation[bool]:
    """Store a session under a name that is not in use; return whether it was not."""
    if writing.lifetime <= 0:
        return Operation((("EXISTS", writing.name),), lambda replies: only(replies) == 0)
    return Operation((_set(writing, "NX"), *writing.beside), _was_stored)


def replace(writing: Writing) -> Operation[bool]:
    """Store a session that is there already; return whether it was there still."""
    if writing.lifetime <= 0:
        return remove([writing.name])
    return Operation((_set(writing, "XX"), *writing.beside), _was_stored)


def replace_if_unchanged(space: Keyspace, writing: Writing, *, before: bytes) -> Operation[Any]:
    """Store a session where ``before`` is still stored; return True, or what is stored now, None for nothing."""
    if writing.lifetime <= 0:
        return replace(writing)
    if not space.capabilities.has(_COMPARING):
        return _replace_by_script(space, writing, before)

    def parse(replies: list[Reply]) -> Any:
        reply = replies[0]
        if isinstance(reply, ResponseError) and "syntax" in str(reply):
            space.capabilities.lacks.add(_COMPARING)
            return _replace_by_script(space, writing, before)
        return read(writing.name) if checked(replies)[0] is None else True

    return Operation((_set(writing, "IFEQ", before), *writing.beside), parse)


def remove(names: Sequence[str], beside: Sequence[Command] = ()) -> Operation[bool]:
    """Remove sessions; return whether there were any."""
    return Operation((("DEL", *names), *beside), _was_some)


def index_changes(space: Keyspace, session_digest: str, before: str, after: str) -> tuple[Command, ...]:
    """Return the commands that take a session from one user's index to another's; "" is nobody."""
    if before == after:
        return ()
    leaving = (("SREM", space.index_name(before), session_digest),) if before else ()
    joining = (("SADD", space.index_name(after), session_digest),) if after else ()
    return (*leaving, *joining)


def _replace_by_script(space: Keyspace, writing: Writing, before: bytes) -> Operation[Any]:
    def parse(replies: list[Reply]) -> Any:
        reply = only(replies)
        if not isinstance(reply, int):
            return None if reply is None else reply[0]
        return Operation(writing.beside, lambda replies: bool(checked(replies))) if writing.beside else True

    arguments: list[Argument] = [before, writing.body, str(writing.lifetime)]
    return scripts.load("replace_session").operation(space.capabilities, [writing.name], arguments, parse)


def _set(writing: Writing, *condition: str | bytes) -> Command:
    return "SET", writing.name, writing.body, *condition, "PX", str(writing.lifetime)


def _was_stored(replies: list[Reply]) -> bool:
    return checked(replies)[0] is not None


def _was_some(replies: list[Reply]) -> bool:
    return bool(checked(replies)[0] > 0)
