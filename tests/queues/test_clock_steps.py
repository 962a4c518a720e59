"""Somebody sets the server's clock while jobs are in flight: nobody else gets them, and those of the dead return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_upstash.exceptions import ReservationLostError
from django_upstash.queues import Queue
from django_upstash.queues.clocks import QueueClock
from django_upstash.ratelimit.clock import ServerClock
from tests.servers import Server

Start = Callable[..., "Machine"]
VISIBILITY = 30
EPOCH = 1_800_000_000


class Machine(Queue):
    """The queue as a process on a machine of its own sees it; both its clocks are as wrong as a test wants them."""

    def __init__(self, alias: str, wall: float) -> None:
        super().__init__("mail", alias=alias, visibility=VISIBILITY, max_attempts=9)
        self.seconds, self.wall_seconds = 0.0, wall
        server = ServerClock(lambda: self.seconds, lambda: self.seconds)
        server.sample(self.seconds, EPOCH, 0)
        self._own = QueueClock(server, lambda: EPOCH + self.wall_seconds)

    @property
    def clock(self) -> QueueClock:
        return self._own

    def step(self, seconds: float) -> None:
        """Learn the server's time after it has been set."""
        self._own._server.sample(self.seconds, self._own.now() // 1000 + int(seconds), 0)


@pytest.fixture
def start(upstash: dict[str, dict[str, Any]], route: str) -> Start:
    """Return ``start(wall=0)``, whose machine's own clock is so many seconds wrong."""
    return lambda wall=0.0: Machine(route, wall)


def pass_time(seconds: float, *machines: Machine) -> None:
    for machine in machines:
        machine.seconds += seconds
        machine.wall_seconds += seconds


@pytest.mark.parametrize("step", [10, 90, 3600, 86_400])
def test_step_forward__who_knows_of_it_does_not_take_what_is_in_flight(start: Start, step: int) -> None:
    """Neither what was reserved before the step, nor what is reserved after it by one who does not know yet."""
    older, newer = start(), start()
    older.enqueue_many(["before", "after"])
    (before,) = older.reserve()
    newer.step(step)
    (after,) = older.reserve()
    pass_time(VISIBILITY - 5, older, newer)
    assert newer.reserve(2) == []
    for job in (before, after):
        older.acknowledge(job)
    assert newer.stats()[:3] == (0, 0, 0)


@pytest.mark.parametrize("step", [90, 86_400])
def test_step_back__who_does_not_know_of_it_takes_nothing_in_flight(start: Start, step: int) -> None:
    older, newer = start(), start()
    newer.step(-step)
    newer.enqueue("job")
    (job,) = newer.reserve()
    pass_time(5, older, newer)
    assert older.reserve() == []
    newer.acknowledge(job)


@pytest.mark.parametrize("step", [90, 86_400])
def test_step__a_worker_that_extends_keeps_its_job(start: Start, step: int) -> None:
    older, newer = start(), start()
    older.enqueue("long")
    (job,) = older.reserve()
    newer.step(step)
    for _ in range(12):
        pass_time(VISIBILITY / 3, older, newer)
        older.extend(job)
        assert newer.reserve() == []
    older.acknowledge(job)


@pytest.mark.parametrize("step", [10, 90, 86_400])
def test_step__jobs_of_the_dead_return(start: Start, step: int) -> None:
    older, newer = start(), start()
    older.enqueue("job")
    (job,) = older.reserve()
    newer.step(step)
    pass_time(1, newer)
    assert newer.reserve() == []
    pass_time(VISIBILITY, newer)
    assert [found.attempts for found in newer.reserve()] == [2]
    with pytest.raises(ReservationLostError):
        older.acknowledge(job)


@pytest.mark.parametrize("wall", [20, -20, 1800, 86_400, -86_400])
def test_machines_that_differ__delay_what_returns_by_a_reservation_at_most(start: Start, wall: float) -> None:
    """Without a step the server's clock says when a job returns, whatever that of a machine does."""
    one, other = start(wall=wall), start()
    one.enqueue("job")
    one.reserve()
    pass_time(VISIBILITY - 1, other)
    assert other.reserve() == []
    pass_time(2, other)
    if not other.reserve():
        pass_time(VISIBILITY, other)
        assert other.reserve()


def test_machine_whose_clock_does_not_move__gets_jobs_of_the_dead(start: Start) -> None:
    dead, frozen = start(), start()
    dead.enqueue("job")
    dead.reserve()
    for _ in range(3):
        frozen.seconds += VISIBILITY + 1
        frozen.step(0)
        if frozen.reserve():
            return
    pytest.fail("The job has not returned.")


def test_reservation__of_an_earlier_version_ends_by_the_servers_clock(start: Start, valkey: Server) -> None:
    machine = start()
    machine.enqueue("job")
    (job,) = machine.reserve()
    earlier = job.line.replace(job.record.note, "0123456789abcdef")
    valkey.call("DEL", "queue:{mail}:waiting")
    valkey.call("ZADD", "queue:{mail}:waiting", str(job.deadline), earlier)
    machine.step(VISIBILITY + 1)
    assert len(machine.reserve()) == 1
