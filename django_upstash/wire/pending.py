"""What one caller of an event loop sends: its commands, packed, and the future that it waits on."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Iterator, Sequence

from django_upstash.exceptions import ConnectionError, UpstashError
from django_upstash.operations import Command, Reply
from django_upstash.operations import replay_safe as names_are_replay_safe

MOST_COMMANDS = 1000  # in one batch
MOST_BYTES = 1024 * 1024  # in one batch, unless a single entry is larger


class Entry:
    """The packed commands of one caller, and the future it waits on."""

    __slots__ = (
        *("alone", "commands", "count", "deadline", "future", "is_atomic", "is_last_try", "payload", "replay_safe"),
        *("replies", "retries"),
    )

    future: asyncio.Future[list[Reply]]
    deadline: float  # in the loop's time

    def __init__(
        self,
        payload: bytes,
        count: int,
        commands: Sequence[Command],
        replay_safe: bool | None = None,
        retries: int = 0,
        *,
        alone: bool = False,
        is_atomic: bool = False,
        is_last_try: bool = False,
    ) -> None:
        self.payload = payload
        self.count = count
        self.commands = commands
        self.replay_safe = replay_safe
        self.retries = retries
        self.alone = alone
        self.is_atomic = is_atomic
        self.is_last_try = is_last_try  # a refusal is its answer, and not the connection's failure
        self.replies: list[Reply] = []

    def is_replay_safe(self) -> bool:
        return names_are_replay_safe(self.commands) if self.replay_safe is None else self.replay_safe

    def answer(self, replies: list[Reply]) -> None:
        """Wake the caller, unless it has gone."""
        if not self.future.done():
            try:
                self.future.set_result(replies)
            except RuntimeError as error_of_loop:
                _raise_unless_closed(self.future, error_of_loop)

    def fail(self, error: BaseException) -> None:
        """Wake the caller with an exception of its own: shared ones would gather each other's tracebacks."""
        if not self.future.done():
            own = copy.copy(error)
            own.__cause__ = error.__cause__
            try:
                self.future.set_exception(own)
            except RuntimeError as error_of_loop:
                _raise_unless_closed(self.future, error_of_loop)


def _raise_unless_closed(future: asyncio.Future[list[Reply]], error: RuntimeError) -> None:
    """Raise the error, unless it says that the caller's loop is closed: nothing waits there any more."""
    if not future.get_loop().is_closed():
        raise error


def deliver(batch: list[Entry], outcome: list[Reply] | Exception) -> None:
    """Give each entry of a batch its part of the replies, or its own copy of the error."""
    if isinstance(outcome, Exception):
        error = outcome if isinstance(outcome, UpstashError) else unsent(outcome)
        for entry in batch:
            entry.fail(error)
        return
    replies = iter(outcome)
    for entry in batch:
        entry.answer(list(itertools.islice(replies, entry.count)))


def batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Part entries into batches of a bearable size, in order."""
    if len(entries) == 1:
        yield entries
        return
    batch: list[Entry] = []
    commands = size = 0
    for entry in entries:
        if entry.alone:
            yield [entry]
            continue
        if batch and (commands + entry.count > MOST_COMMANDS or size + len(entry.payload) > MOST_BYTES):
            yield batch
            batch, commands, size = [], 0, 0
        batch.append(entry)
        commands += entry.count
        size += len(entry.payload)
    if batch:
        yield batch


async def nothing() -> list[Reply]:
    """Return the replies of no commands."""
    return []


def unsent(error: BaseException) -> ConnectionError:
    """Return the error for what no part of the route is known to raise: a foreign event loop's, a foreign socket's."""
    failure = ConnectionError(f"The command could not be carried: {type(error).__name__}.")
    failure.__cause__ = error
    failure.is_outage = False
    return failure


def closed_error() -> ConnectionError:
    error = ConnectionError("The connection was closed while the command was under way.")
    error.is_outage = False
    return error
