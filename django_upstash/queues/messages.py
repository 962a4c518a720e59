"""What is put into a queue, checked, as the entries that operations send."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django_upstash import callbacks
from django_upstash.queues.codecs import Codec
from django_upstash.queues.jobs import HIGHEST_PRIORITY, LONGEST_ID, LOWEST_PRIORITY, NOBODY, JobRecord, context, new_id
from django_upstash.queues.keys import quoted
from django_upstash.queues.operations import QueueEntry

# Of one request: Upstash's smallest plan takes 1 MB, and a JSON request writes quotes as two characters.
MOST_JOBS, MOST_CHARACTERS = 500, 400_000
_LONGEST_SECONDS = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Message:
    """
    A job to be enqueued. ``priority`` is from -100 to 100, the highest first; ``delay`` and ``ttl`` are in seconds.

    A message with an ``id`` is enqueued once for as long as the queue remembers that id.
    """

    payload: Any
    priority: int = 0
    delay: float = 0
    ttl: float | None = None
    id: str | None = None


class Enqueued(NamedTuple):
    """The id of a job, and whether it is new: False where this id had been enqueued before."""

    id: str
    is_new: bool


class Pending(NamedTuple):
    """An entry, and the id that its caller gave it, or the one made for it."""

    entry: QueueEntry
    id: str
    is_remembered: bool


def pending(message: Message, queue: str, codec: Codec, ttl: float | None, now: int) -> Pending:
    """Return the entry for a message; raise ``ValueError`` or ``DataError`` for one that makes no sense."""
    check_priority(message.priority)
    ready_at = now + milliseconds("delay", message.delay)
    lifetime = message.ttl if message.ttl is not None else ttl
    expires = 0 if lifetime is None else now + milliseconds("ttl", lifetime, least=1)
    id = new_id() if message.id is None else _checked_id(message.id)
    payload = callbacks.key_text("codec.encode", codec.encode(message.payload, context(queue, quoted(id))))
    record = JobRecord(quoted(id), message.priority, now, expires, 0, NOBODY, payload)
    return Pending(QueueEntry(record, ready_at, ready_at > now), id, message.id is not None)


def batches(pendings: Iterable[Pending]) -> Iterator[Sequence[Pending]]:
    """Yield what fits into one request each, in order; ids that are remembered go with their like."""
    batch: list[Pending] = []
    size = 0
    for one in pendings:
        length = len(one.entry.record.payload)
        is_full = len(batch) == MOST_JOBS or size + length > MOST_CHARACTERS
        if batch and (is_full or one.is_remembered != batch[-1].is_remembered):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += length
    if batch:
        yield batch


def milliseconds(name: str, seconds: object, least: int = 0) -> int:
    """Return seconds in milliseconds; raise ``ValueError`` for an invalid value, negative, or longer than ten years."""
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds)
    if not is_number or not least <= (found := math.ceil(seconds * 1000)) <= _LONGEST_SECONDS * 1000:  # type: ignore[operator]
        raise ValueError(f"{name} must be a number of seconds {'above' if least else 'from'} 0, ten years at most.")
    return found


def check_priority(priority: object) -> None:
    """Raise ``ValueError`` for what is no priority."""
    if not isinstance(priority, int) or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise ValueError(f"A priority must be a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}.")


def _checked_id(id: object) -> str:
    if not (isinstance(id, str) and 0 < len(id) <= LONGEST_ID):
        raise ValueError(f"A job's id must be a text of 1 to {LONGEST_ID} characters.")
    return id
