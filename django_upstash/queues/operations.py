"""The operations of a queue: what each sends, and how it reads the replies. Times are the server's, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django_upstash.exceptions import OutOfMemoryError
from django_upstash.operations import Command, Operation, Reply, checked, only, scripts, then
from django_upstash.operations.capabilities import Capabilities
from django_upstash.queues.jobs import NOBODY, PRIORITY_WIDTH, Job, JobRecord
from django_upstash.queues.keys import QueueKeys

# So many waiting jobs are looked at to tell those in flight, which are due before most delayed ones.
MOST_EXAMINED = 5000
_MOST_WOKEN = 50


class QueueEntry(NamedTuple):
    """A record to be enqueued, and when it becomes ready; ``is_delayed`` says that this is later than now."""

    record: JobRecord
    ready_at: int
    is_delayed: bool

    @property
    def placed(self) -> tuple[str, str]:
        score = self.ready_at if self.is_delayed else self.record.score(self.ready_at)
        return str(score), self.record.line


class Claim(NamedTuple):
    """An entry that is added where its key is new, and the key's value then, which no other call uses."""

    key: str
    value: str
    entry: QueueEntry


class Taken(NamedTuple):
    """The lines of the jobs that were reserved, and when the next waiting job is due; None where none waits."""

    lines: list[bytes]
    next_due: int | None


class Move(NamedTuple):
    """A job's line, and the score and the line it is to have where it goes."""

    line: str
    score: int
    new_line: str


class QueueStats(NamedTuple):
    """
    How many jobs a queue has, by what they do, and for how many seconds the oldest ready one has been ready.

    ``in_flight`` is exact while fewer than 5,000 jobs are in flight or due before those.
    """

    ready: int
    in_flight: int
    delayed: int
    dead: int
    oldest_seconds: float | None


def enqueue(keys: QueueKeys, entries: Sequence[QueueEntry]) -> Operation[None]:
    """
    Add jobs, and wake workers that block: two commands, or three where some are delayed and others not.

    A reply that is lost leaves open whether they were added, and a repetition would add again what has been taken.
    """
    ready = [part for entry in entries if not entry.is_delayed for part in entry.placed]
    delayed = [part for entry in entries if entry.is_delayed for part in entry.placed]
    commands: list[Command] = []
    if ready:
        commands.append(("ZADD", keys.ready, "NX", *ready))
    if delayed:
        commands.append(("ZADD", keys.waiting, "NX", *delayed))
    return Operation((*commands, waking(keys, len(entries))), _nothing, replay_safe=False)


def enqueue_once(
    capabilities: Capabilities, keys: QueueKeys, claims: Sequence[Claim], milliseconds: int
) -> Operation[list[bool]]:
    """Add the jobs whose keys are new; tell of each whether this call has. A repetition changes nothing."""
    arguments = [str(milliseconds)]
    for _, value, entry in claims:
        arguments += (value, "2" if entry.is_delayed else "1", *entry.placed)
    names = [keys.ready, keys.waiting, keys.wake, *(claim.key for claim in claims)]

    def parse(replies: list[Reply]) -> list[bool]:
        return list(map(bool, only(replies)))

    return scripts.load("queues/enqueue_once").operation(capabilities, names, arguments, parse, replay_safe=True)


def waking(keys: QueueKeys, count: int) -> Command:
    """Return the command that wakes so many workers, or as many as block."""
    members = [part for number in range(1, min(count, _MOST_WOKEN) + 1) for part in ("0", str(number))]
    return "ZADD", keys.wake, *members


def reserve(
    capabilities: Capabilities, keys: QueueKeys, count: int, now: int, deadline: int, token: str
) -> Operation[Taken]:
    """Reserve up to ``count`` jobs until the deadline for the owner of the token."""
    arguments = (str(now), str(count), str(deadline), token, str(PRIORITY_WIDTH))

    def parse(replies: list[Reply]) -> Taken:
        due, *lines = only(replies)
        return Taken(lines, int(due) if due else None)

    names = (keys.ready, keys.waiting, keys.dead)
    return scripts.load("queues/reserve").operation(capabilities, names, arguments, parse)


def acknowledge(keys: QueueKeys, job: Job) -> Operation[bool]:
    """Remove a job that is done; tell whether the reservation still held."""
    return Operation((("ZREM", keys.waiting, job.line),), _is_one, replay_safe=False)


def finish(
    capabilities: Capabilities,
    keys: QueueKeys,
    job: Job,
    key: str,
    text: str,
    milliseconds: int,
    again_at: int | None = None,
) -> Operation[bool]:
    """
    Remove a job that is done and store its result, both or neither; tell whether the reservation still held.

    With ``again_at`` the job is not done, and due again then.
    """
    again = () if again_at is None else (str(again_at), job.record._replace(note=NOBODY).line)
    arguments = (job.line, text, str(milliseconds), *again)
    return scripts.load("queues/finish").operation(capabilities, (keys.waiting, key), arguments, _is_one)


def extend(capabilities: Capabilities, keys: QueueKeys, job: Job, deadline: int) -> Operation[bool]:
    """
    Let a reservation end at another time; tell whether it still held.

    A server that is full refuses ZADD, but not a script whose first write removes the job: it costs one more request.
    """
    added = str(deadline - job.deadline)

    def parse(replies: list[Reply]) -> bool | Operation[bool]:
        if isinstance(replies[0], OutOfMemoryError):
            moving = move(capabilities, keys.waiting, keys.waiting, [Move(job.line, deadline, job.line)])
            return then(moving, lambda moved: _note_deadline(job, deadline if moved else None))
        return _note_deadline(job, only(replies))

    return Operation((("ZADD", keys.waiting, "XX", "INCR", added, job.line),), parse, replay_safe=False)


def _note_deadline(job: Job, score: bytes | int | None) -> bool:
    if score is not None:
        job.deadline = int(float(score))
    return score is not None


def extend_several(extensions: Sequence[Operation[bool]]) -> Operation[list[bool]]:
    """Return the operation that does what several ``extend`` do, in one round trip."""
    commands = [command for extension in extensions for command in extension.commands]

    def parse(replies: list[Reply]) -> list[bool] | Operation[list[bool]]:
        found = [extension.parse([reply]) for extension, reply in zip(extensions, replies, strict=True)]
        unfinished = [outcome for outcome in found if isinstance(outcome, Operation)]
        if not unfinished:
            return list(map(bool, found))

        def completed(others: list[bool]) -> list[bool]:
            rest = iter(others)
            return [next(rest) if isinstance(outcome, Operation) else outcome for outcome in found]

        return then(extend_several(unfinished), completed)

    return Operation(commands, parse, replay_safe=False)


def move(
    capabilities: Capabilities, origin: str, destination: str, moves: Iterable[Move], wake: str | None = None
) -> Operation[int]:
    """Move jobs from one place to another, in a new form; return how many were still there."""
    arguments = [part for line, score, new_line in moves for part in (line, str(score), new_line)]
    names = [origin, destination] if wake is None else [origin, destination, wake]
    return scripts.load("queues/move").operation(capabilities, names, arguments, only)


def dead_letters(keys: QueueKeys, count: int, offset: int) -> Operation[list[bytes]]:
    """Return the lines of dead letters, the latest first."""
    return Operation((("ZRANGE", keys.dead, str(offset), str(offset + count - 1), "REV"),), only)


def count(key: str) -> Operation[int]:
    """Return how many jobs a place holds."""
    return Operation((("ZCARD", key),), only)


def stats(capabilities: Capabilities, keys: QueueKeys, now: int) -> Operation[QueueStats]:
    def parse(replies: list[Reply]) -> QueueStats:
        ready, waiting, dead, owned, oldest = only(replies)
        age = max(now - int(oldest), 0) / 1000 if oldest else None
        return QueueStats(ready, owned, waiting - owned, dead, age)

    names = (keys.ready, keys.waiting, keys.dead)
    arguments = (str(PRIORITY_WIDTH), str(MOST_EXAMINED))
    return scripts.load("queues/stats").operation(capabilities, names, arguments, parse, replay_safe=True)


def purge(*names: str) -> Operation[int]:
    """Remove everything in some places; return how many jobs that were."""
    counting = [("ZCARD", name) for name in names]

    def parse(replies: list[Reply]) -> int:
        return sum(checked(replies)[:-1])

    return Operation((*counting, ("DEL", *names)), parse, replay_safe=False)


def _nothing(replies: list[Reply]) -> None:
    checked(replies)


def _is_one(replies: list[Reply]) -> bool:
    return bool(only(replies) == 1)
