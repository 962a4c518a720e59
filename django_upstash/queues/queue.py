"""The queue: jobs that are kept until somebody says that they are done."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from django_upstash.connections import Connection, connections
from django_upstash.exceptions import ReservationLostError
from django_upstash.log import get_logger
from django_upstash.operations import Operation, then
from django_upstash.operations.steps import on_connection
from django_upstash.queues import operations
from django_upstash.queues.backoff import Backoff
from django_upstash.queues.clocks import QueueClock, clock_of
from django_upstash.queues.codecs import Codec, JSONCodec
from django_upstash.queues.jobs import NOBODY, Job, jobs
from django_upstash.queues.keys import QueueKeys, quoted
from django_upstash.queues.messages import Enqueued, Message, Pending, batches, milliseconds, pending
from django_upstash.queues.operations import Claim, Move, QueueStats, Taken
from django_upstash.queues.waiting import LONGEST_POLL, Patience, ablock, block, blocks
from django_upstash.settings import conf

MOST_RESERVED = 100
MOST_ATTEMPTS = 999
_LONGEST_REASON = 500
_MOVED_AT_ONCE = 100
logger = get_logger("django_upstash.queues")


class Queue:
    """
    A queue by name, on the connection ``alias`` of ``UPSTASH``. Making one does no I/O and reads no settings.

        mail = Queue("mail", visibility=60)
        mail.enqueue({"to": "ann@example.com"}, priority=10)

    A reserved job is hidden for ``visibility`` seconds; a worker that has neither acknowledged nor extended it by
    then loses it to the next who asks. A job that ``max_attempts`` reservations did not finish becomes a dead
    letter. ``backoff`` says how long ``retry`` delays, ``ttl`` after how many seconds a job that nobody holds is
    dropped (None: never), and ``remember`` for how many seconds ids given by the caller are not enqueued again. All
    of that is in the hands of the one who uses it: workers and producers may have objects that differ.

    Every method has a form to be awaited, whose name begins with ``a``. What the server or the wire refuses is raised.
    """

    def __init__(
        self,
        name: str,
        *,
        alias: str = conf.DEFAULT_ALIAS,
        visibility: float = 30.0,
        max_attempts: int = 5,
        backoff: Backoff | None = None,
        ttl: float | None = None,
        remember: float = 86_400.0,
        codec: Codec | None = None,
        longest_poll: float = LONGEST_POLL,
    ) -> None:
        self.keys = QueueKeys(name)
        self.alias = alias
        self.max_attempts = _checked_attempts(max_attempts)
        self.backoff = backoff or Backoff()
        self.codec = codec or JSONCodec()
        self._visibility = milliseconds("visibility", visibility, least=1)
        self._remember = milliseconds("remember", remember, least=1)
        self._ttl = ttl
        self._longest_poll = longest_poll
        if ttl is not None:
            milliseconds("ttl", ttl, least=1)

    def __repr__(self) -> str:
        return f"<Queue {self.name} on {self.alias}>"

    @property
    def name(self) -> str:
        return self.keys.name

    @property
    def visibility(self) -> float:
        """For how many seconds a reservation hides a job."""
        return self._visibility / 1000

    @property
    def connection(self) -> Connection:
        return connections[self.alias]

    @property
    def clock(self) -> QueueClock:
        return clock_of(self.connection)

    def _enqueue(
        self, payload: Any, *, priority: int = 0, delay: float = 0, ttl: float | None = None, id: str | None = None
    ) -> Operation[Enqueued]:
        """
        Add a job and return its id, as ``Message`` describes it.

        Without an ``id`` that takes two commands; where the reply is lost the error leaves open whether the job is
        there. With one it takes four, and repeating it adds nothing.
        """
        return then(self._enqueue_many([Message(payload, priority, delay, ttl, id)]), lambda added: added[0])

    def _enqueue_many(self, payloads: Iterable[Any]) -> Operation[list[Enqueued]]:
        """
        Add many jobs, payloads or ``Message``s, in their order: 500 or 400,000 characters of them in a request.

        Where a request fails, the jobs of those before it have been added.
        """
        messages = [given if isinstance(given, Message) else Message(given) for given in payloads]

        def build(now: int) -> Operation[list[Enqueued]]:
            made = [pending(message, self.name, self.codec, self._ttl, now) for message in messages]
            return self._adding(list(batches(made)), [])

        return self.clock.timed(build)

    enqueue, aenqueue = on_connection(_enqueue)
    enqueue_many, aenqueue_many = on_connection(_enqueue_many)

    def reserve(self, n: int = 1, wait: float = 0) -> list[Job]:
        """
        Reserve up to ``n`` jobs, the most urgent first; wait up to so many seconds until there is one.

        Natively the waiting blocks on a connection of its own, and a job is there at once; over REST it asks again
        after 0.1 s, twice that, and so on up to ``longest_poll``, at three commands each time.
        """
        patience = Patience(wait, blocks=blocks(self.connection), longest_poll=self._longest_poll)
        while True:
            found, due_in = self.try_reserve(n)
            seconds = None if found else patience.next_wait(due_in)
            if seconds is None:
                return found
            if blocks(self.connection):
                block(self.connection, [self.keys.wake], seconds)
            else:
                time.sleep(seconds)

    async def areserve(self, n: int = 1, wait: float = 0) -> list[Job]:
        """Like ``reserve``, without blocking the event loop."""
        patience = Patience(wait, blocks=blocks(self.connection), longest_poll=self._longest_poll)
        while True:
            found, due_in = await self.atry_reserve(n)
            seconds = None if found else patience.next_wait(due_in)
            if seconds is None:
                return found
            if blocks(self.connection):
                await ablock(self.connection, [self.keys.wake], seconds)
            else:
                await asyncio.sleep(seconds)

    def _try_reserve(self, n: int = 1) -> Operation[tuple[list[Job], float | None]]:
        """Reserve up to ``n`` jobs of those that are ready; return them, and in how many seconds a job will be due."""
        if not 1 <= n <= MOST_RESERVED:
            raise ValueError(f"n must be from 1 to {MOST_RESERVED}.")
        connection = self.connection

        def build(now: int) -> Operation[Any]:
            deadline = _even(now + self._visibility)
            found = operations.reserve(connection.capabilities, self.keys, n, now, deadline, self.clock.owner(now))
            return then(found, lambda taken: self._without_exhausted(taken, now, deadline))

        return self.clock.timed(build)

    try_reserve, atry_reserve = on_connection(_try_reserve)

    def _acknowledge(self, job: Job) -> Operation[None]:
        """Remove a job that is done. Raises ``ReservationLostError`` where its reservation has gone to another."""
        return then(operations.acknowledge(self.keys, job), lambda held: _held(held, job))

    def _extend(self, job: Job, seconds: float | None = None) -> Operation[None]:
        """
        Let the reservation last so many seconds from now, by default as many as a new one.

        Raises ``ReservationLostError`` where it has gone to another.
        """
        added = self._visibility if seconds is None else milliseconds("seconds", seconds)

        def build(now: int) -> Operation[None]:
            extending = operations.extend(self.connection.capabilities, self.keys, job, _even(now + added))
            return then(extending, lambda held: _held(held, job))

        return self.clock.timed(build)

    def _extend_several(self, chosen: Sequence[Job]) -> Operation[list[bool]]:
        """Let reservations last as long from now as new ones, in one request; tell of each whether it still held."""

        def build(now: int) -> Operation[list[bool]]:
            capabilities, deadline = self.connection.capabilities, _even(now + self._visibility)
            return operations.extend_several(
                [operations.extend(capabilities, self.keys, job, deadline) for job in chosen]
            )

        return self.clock.timed(build)

    def _retry(self, job: Job, delay: float | None = None, reason: str = "") -> Operation[bool]:
        """
        Put a job back, for after so many seconds or as the backoff says; tell whether there will be another attempt.

        Where its attempts are used up it becomes a dead letter. Raises ``ReservationLostError``.
        """
        if job.attempts >= self.max_attempts:
            return then(self._bury(job, reason or f"{job.attempts} attempts failed"), lambda _: False)
        wait = milliseconds("delay", self.backoff.seconds(job.attempts) if delay is None else delay)
        line = job.record._replace(note=NOBODY).line

        def build(now: int) -> Operation[bool]:
            place, score = (self.keys.waiting, now + wait) if wait else (self.keys.ready, job.record.score(now))
            return then(self._moving(self.keys.waiting, place, [Move(job.line, score, line)]), lambda n: _held(n, job))

        return then(self.clock.timed(build), lambda _: True)

    def _bury(self, job: Job, reason: str = "") -> Operation[None]:
        """Make a job a dead letter. Raises ``ReservationLostError``."""
        line = job.record._replace(note=quoted(reason[:_LONGEST_REASON]) or NOBODY).line

        def build(now: int) -> Operation[None]:
            moving = self._moving(self.keys.waiting, self.keys.dead, [Move(job.line, now, line)])
            return then(moving, lambda n: _held(n, job))

        return self.clock.timed(build)

    acknowledge, aacknowledge = on_connection(_acknowledge)
    extend, aextend = on_connection(_extend)
    extend_several, aextend_several = on_connection(_extend_several)
    retry, aretry = on_connection(_retry)
    bury, abury = on_connection(_bury)

    def _dead_letters(self, count: int = 100, offset: int = 0) -> Operation[list[Job]]:
        """Return dead letters, the latest first; how many damaged lines are among them is logged."""
        return then(operations.dead_letters(self.keys, count, offset), self._readable)

    def _readable(self, lines: list[bytes]) -> list[Job]:
        letters = jobs(lines, self.name, self.codec)
        if damaged := len(lines) - len(letters):
            logger.warning("Of the dead letters of queue %r, %d are damaged and cannot be read.", self.name, damaged)
        return letters

    def _requeue(self, letters: Job | Iterable[Job]) -> Operation[int]:
        """
        Make dead letters ready again, their attempts uncounted; return how many still were dead letters.

        They expire no more: their time may be over long since.
        """
        chosen = [letters] if isinstance(letters, Job) else list(letters)

        def build(now: int) -> Operation[int]:
            return self._requeuing(chosen, now, 0)

        return self.clock.timed(build) if chosen else Operation((), lambda _: 0)

    def _purge_dead_letters(self) -> Operation[int]:
        """Remove all dead letters; return how many there were."""
        return operations.purge(self.keys.dead)

    def _length(self) -> Operation[int]:
        """Return how many jobs are ready to be taken."""
        return operations.count(self.keys.ready)

    def _stats(self) -> Operation[QueueStats]:
        """Return how many jobs there are, by what they do."""
        connection = self.connection
        return self.clock.timed(lambda now: operations.stats(connection.capabilities, self.keys, now))

    def _purge(self) -> Operation[int]:
        """Remove all jobs, those in flight too; dead letters and remembered ids stay. Return how many there were."""
        return operations.purge(self.keys.ready, self.keys.waiting)

    dead_letters, adead_letters = on_connection(_dead_letters)
    requeue, arequeue = on_connection(_requeue)
    purge_dead_letters, apurge_dead_letters = on_connection(_purge_dead_letters)
    length, alength = on_connection(_length)
    stats, astats = on_connection(_stats)
    purge, apurge = on_connection(_purge)

    def _adding(self, left: list[Sequence[Pending]], done: list[Enqueued]) -> Operation[list[Enqueued]]:
        """Return the operation that adds one batch after another."""
        if not left:
            return Operation((), lambda _: done)
        batch, *others = left
        entries = [one.entry for one in batch]
        adding: Operation[Any] = operations.enqueue(self.keys, entries)
        if batch[0].is_remembered:
            claims = [Claim(self.keys.of_id(entry.record.id), secrets.token_hex(8), entry) for entry in entries]
            adding = operations.enqueue_once(self.connection.capabilities, self.keys, claims, self._remember)

        def follow(answers: list[bool] | None) -> Any:
            new = answers or [True] * len(batch)
            done.extend(Enqueued(one.id, is_new) for one, is_new in zip(batch, new, strict=True))
            return self._adding(others, done) if others else done

        return then(adding, follow)

    def _without_exhausted(self, taken: Taken, now: int, deadline: int) -> Any:
        """Bury what has had its attempts, and return the rest; that a worker died with each of them counts."""
        found = jobs(taken.lines, self.name, self.codec, deadline)
        due_in = None if taken.next_due is None else max(taken.next_due - now, 0) / 1000
        spent = [job for job in found if job.attempts > self.max_attempts]
        kept = [job for job in found if job.attempts <= self.max_attempts]
        if not spent:
            return kept, due_in
        note, attempts = quoted(f"{self.max_attempts} reservations ended without a word"), self.max_attempts
        moves = [Move(job.line, now, job.record._replace(note=note, attempts=attempts).line) for job in spent]
        moving = self._moving(self.keys.waiting, self.keys.dead, moves)
        # Behind those, others may be ready.
        return then(then(moving, lambda _: self.exhausted(spent)), lambda _: (kept, 0.0))

    def exhausted(self, spent: list[Job]) -> Operation[Any]:
        """Return what else is to be done when these jobs have become dead letters, for subclasses to say."""
        return Operation((), lambda _: None)

    def _requeuing(self, letters: list[Job], now: int, moved: int) -> Operation[int]:
        chosen, others = letters[:_MOVED_AT_ONCE], letters[_MOVED_AT_ONCE:]
        moves = [
            Move(job.line, job.record.score(now), job.record._replace(attempts=0, expires=0, note=NOBODY).line)
            for job in chosen
        ]
        moving = self._moving(self.keys.dead, self.keys.ready, moves, self.keys.wake)
        return then(moving, lambda n: self._requeuing(others, now, moved + n) if others else moved + n)

    def _moving(self, origin: str, destination: str, moves: list[Move], wake: str | None = None) -> Operation[int]:
        return operations.move(self.connection.capabilities, origin, destination, moves, wake)


def _even(deadline: int) -> int:
    """Return the deadline of a reservation: odd ones are those which others have put off (``lua/reserve.lua``)."""
    return deadline + deadline % 2


def _held(held: object, job: Job) -> None:
    if not held:
        _raise_lost(job)


def _raise_lost(job: Job) -> NoReturn:
    raise ReservationLostError(
        f"The reservation of job {job.id} has ended, and the job may be somebody else's: a longer visibility, or "
        "extend() in time, keeps it."
    )


def _checked_attempts(most: int) -> int:
    if not 1 <= most <= MOST_ATTEMPTS:
        raise ValueError(f"max_attempts must be from 1 to {MOST_ATTEMPTS}.")
    return most
