"""A session's operations: what each sends, and how it reads the replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django_upstash.exceptions import ResponseError
from django_upstash.operations import Command, Operation, Reply, checked, only
from django_upstash.operations.compare_and_set import Swap, compare_and_set
from django_upstash.sessions.index import INCOMPLETE
from django_upstash.sessions.session_keys import SessionKeyspace


@dataclass(frozen=True)
class Writing:
    """
    One session to be stored under a name.

    ``lifetime`` is in milliseconds; with none left, what is stored there is removed instead. ``beside`` are commands
    that keep the index, sent along. ``named_by`` is the index that the last of them finds to name the session already.
    """

    name: str
    body: bytes
    lifetime: int
    beside: tuple[Command, ...] = ()
    named_by: str = ""


def read(name: str) -> Operation[bytes | None]:
    """Return the stored body, None if there is none."""
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

    def parse(replies: list[Reply]) -> bool | Operation[bool]:
        return _noting_loss(writing, replies[-1]) if _was_stored(replies) else False

    return Operation((_set(writing, "XX"), *writing.beside), parse)


def replace_if_unchanged(space: SessionKeyspace, writing: Writing, *, before: bytes) -> Operation[Any]:
    """Store a session where ``before`` is still stored; return True, or what is stored now, None for nothing."""
    if writing.lifetime <= 0:
        return replace(writing)

    def is_as_before(replies: list[Reply]) -> Any:
        # Between the two another request may save as well: the later one wins then, as with Django's own engines.
        return replace(writing) if only(replies) == before else only(replies)

    def by_two_commands() -> Operation[Any]:
        return Operation((("GET", writing.name),), is_as_before)

    def note_loss(added: Sequence[Reply]) -> Any:
        return _noting_loss(writing, added[-1] if added else None)

    lifetime = ("PX", str(writing.lifetime))
    swap = Swap(writing.name, before, writing.body, lifetime, writing.beside, note_loss)
    return compare_and_set(space.capabilities, swap, instead=by_two_commands)


def remove(names: Sequence[str], beside: Sequence[Command] = ()) -> Operation[bool]:
    """Remove sessions; return whether there were any."""
    return Operation((("DEL", *names), *beside), _was_some)


def take_back(name: str, beside: Sequence[Command] = ()) -> Operation[None]:
    """Remove a session that nobody has been given; where DEL is refused, let it expire now."""

    def parse(replies: list[Reply]) -> Operation[None] | None:
        if isinstance(replies[0], ResponseError):
            return Operation((("PEXPIRE", name, "0"),), lambda replies: only(replies) and None)
        return None

    return Operation((("DEL", name), *beside), parse, replay_safe=True)


def index_changes(space: SessionKeyspace, session_digest: str, before: str, after: str) -> tuple[Command, ...]:
    """
    Return the commands that have a session in one user's index, and no longer in another's; "" is nobody.

    Where it is in that index already, it joins again: the index may have gone, and is used as lately as the session.
    """
    leaving = (("SREM", space.index_name(before), session_digest),) if before not in ("", after) else ()
    joining = (("SADD", space.index_name(after), session_digest),) if after else ()
    return (*leaving, *joining)


def _noting_loss(writing: Writing, added: Reply) -> Any:
    """Return True; first have an index that had lost the session, and so perhaps others, say that it is incomplete."""
    if not writing.named_by or added != 1:
        return True
    return Operation((("SADD", writing.named_by, INCOMPLETE),), lambda replies: only(replies) is not None)


def _set(writing: Writing, *condition: str | bytes) -> Command:
    return "SET", writing.name, writing.body, *condition, "PX", str(writing.lifetime)


def _was_stored(replies: list[Reply]) -> bool:
    return checked(replies)[0] is not None


def _was_some(replies: list[Reply]) -> bool:
    return bool(checked(replies)[0] > 0)
