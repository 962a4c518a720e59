"""
A job in the database and in a worker: one line of text, and the object that a worker gets.

    <id> <priority> <enqueued> <expires> <attempts> <note> <payload>

Times are the server's, in milliseconds since 1970; a job that never expires has 0. The note is ``-`` for a job that
nobody holds, the owner's token in flight, and among the dead letters the reason, percent-encoded.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django_upstash import callbacks
from django_upstash.queues.codecs import Codec
from django_upstash.queues.keys import quoted, unquoted

HIGHEST_PRIORITY, LOWEST_PRIORITY = 100, -100
# A score holds the rank of a priority and milliseconds up to the year 2109, exactly.
PRIORITY_WIDTH = 2**42
NOBODY = "-"
LONGEST_ID = 200
# lua/reserve.lua reads lines, too, and takes the same for jobs.
_LINE = re.compile(r"(\S+) (-?\d{1,3}) (\d{1,15}) (\d{1,15}) (\d{1,9}) (\S+) (.*)", re.ASCII | re.DOTALL)
_LAST_TIME = 253_402_300_799_000  # the end of the year 9999
_number = itertools.count()


class JobRecord(NamedTuple):
    """A job as it is stored. The id is percent-encoded."""

    id: str
    priority: int
    enqueued: int
    expires: int
    attempts: int
    note: str
    payload: str

    @property
    def line(self) -> str:
        return " ".join(map(str, self))

    def score(self, ready_at: int) -> int:
        """Return the place among the ready jobs of one that becomes ready at a time."""
        return (HIGHEST_PRIORITY - self.priority) * PRIORITY_WIDTH + ready_at


def parsed(line: bytes) -> JobRecord | None:
    """Return what a line says, or None for one that is no job."""
    try:
        found = _LINE.fullmatch(line.decode())
    except UnicodeDecodeError:
        return None
    if found is None:
        return None
    id, priority, enqueued, expires, attempts, note, payload = found.groups()
    record = JobRecord(id, int(priority), int(enqueued), int(expires), int(attempts), note, payload)
    is_priority = LOWEST_PRIORITY <= record.priority <= HIGHEST_PRIORITY
    return record if is_priority and max(record.enqueued, record.expires) <= _LAST_TIME else None


def new_id() -> str:
    """Return an id that no other job has; those of one process are in the order of their making."""
    return f"{time.time_ns() // 1_000_000:012x}{next(_number) % 16**6:06x}{secrets.token_hex(7)}"


class Job:
    """
    A job in a worker's hands, or a dead letter.

    ``attempts`` counts the reservations, this one included. ``payload`` is decoded when it is asked for, and raises
    ``DataError`` where it cannot be. ``reason`` says why a dead letter is one.
    """

    __slots__ = ("_codec", "_queue", "deadline", "line", "record")

    def __init__(self, line: str, record: JobRecord, queue: str, codec: Codec, deadline: int = 0) -> None:
        self.line = line
        self.record = record
        self.deadline = deadline  # when the reservation ends, by the server's clock, in milliseconds
        self._queue = queue
        self._codec = codec

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self._queue}, attempt {self.attempts}>"

    @property
    def id(self) -> str:
        return unquoted(self.record.id)

    @property
    def payload(self) -> Any:
        found = self._codec.decode(self.record.payload, context(self._queue, self.record.id))
        return callbacks.refuse_awaitable("codec.decode", found)

    @property
    def priority(self) -> int:
        return self.record.priority

    @property
    def attempts(self) -> int:
        return self.record.attempts

    @property
    def enqueued_at(self) -> datetime:
        return datetime.fromtimestamp(self.record.enqueued / 1000, UTC)

    @property
    def expires_at(self) -> datetime | None:
        return datetime.fromtimestamp(self.record.expires / 1000, UTC) if self.record.expires else None

    @property
    def reason(self) -> str:
        return "" if self.record.note == NOBODY else unquoted(self.record.note)


def jobs(lines: Iterable[bytes], queue: str, codec: Codec, deadline: int = 0) -> list[Job]:
    """Return the jobs among the lines."""
    found = ((line, parsed(line)) for line in lines)
    return [Job(line.decode(), record, queue, codec, deadline) for line, record in found if record is not None]


def context(queue: str, quoted_id: str) -> str:
    """Return what a payload belongs to."""
    return f"{quoted(queue)} {quoted_id}"
