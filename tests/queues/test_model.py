"""Any sequence of calls has the same outcome on both routes, and that of a plain model."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_upstash.connections import connections
from django_upstash.exceptions import ReservationLostError
from django_upstash.queues import Queue, clocks
from django_upstash.ratelimit.clock import ServerClock

VISIBILITY, MAX_ATTEMPTS = 30, 3
_names = itertools.count()


class Time:
    """A clock that goes when it is told to, for both connections."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000
        self.clock = ServerClock(lambda: self.seconds, lambda: self.seconds)
        self.turn(0)

    def turn(self, seconds: int) -> None:
        self.seconds += seconds
        self.clock.sample(self.seconds, self.seconds, 0)


@dataclass
class Modelled:
    """A job of the model: ``since`` is when it became ready, or when it is due."""

    number: int
    priority: int
    since: int
    state: str
    attempts: int = 0
    taken: int = 0  # how often, which a requeue does not forget


@dataclass
class Model:
    now: int
    jobs: list[Modelled] = field(default_factory=list)

    def enqueue(self, number: int, priority: int, delay: int) -> None:
        self.jobs.append(Modelled(number, priority, self.now + delay, "delayed" if delay else "ready"))

    def reserve(self, n: int) -> list[Modelled]:
        for job in self.jobs:
            if job.state in ("delayed", "flight") and job.since <= self.now:
                job.state = "ready"
        ready = sorted(self.of("ready"), key=lambda job: (-job.priority, job.since, job.number))[:n]
        for job in ready:
            job.attempts += 1
            job.taken += 1
            job.state, job.since = "flight", self.now + VISIBILITY
            if job.attempts > MAX_ATTEMPTS:
                job.state, job.attempts = "dead", MAX_ATTEMPTS
        return [job for job in ready if job.state == "flight"]

    def held(self, number: int, taken: int) -> Modelled | None:
        return next((job for job in self.of("flight") if (job.number, job.taken) == (number, taken)), None)

    def retry(self, job: Modelled, delay: int) -> None:
        job.state, job.since = "delayed" if delay else "ready", self.now + delay
        if job.attempts >= MAX_ATTEMPTS:
            job.state = "dead"

    def of(self, state: str) -> list[Modelled]:
        return [job for job in self.jobs if job.state == state]


# The first number chooses among what is held at that time.
choice = st.integers(0, 9)
steps = st.one_of(
    st.tuples(st.just("enqueue"), st.sampled_from([-100, 0, 100]), st.sampled_from([0, 0, 10, 40])),
    st.tuples(st.just("reserve"), st.integers(1, 3)),
    st.tuples(st.just("turn"), st.sampled_from([1, 15, 29, 31, 400])),
    st.tuples(st.just("acknowledge"), choice),
    st.tuples(st.just("extend"), choice),
    st.tuples(st.just("retry"), choice, st.sampled_from([0, 20])),
    st.tuples(st.just("bury"), choice),
    st.tuples(st.just("requeue")),
)


class Run:
    """Both routes' queues beside the model."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.model = Model(time.seconds)
        name = f"model {next(_names)}"
        options: dict[str, Any] = {"visibility": VISIBILITY, "max_attempts": MAX_ATTEMPTS}
        self.queues = [Queue(name + alias, alias=alias, **options) for alias in ("native", "rest")]
        self.held: list[tuple[int, tuple[Any, ...]]] = []  # how often taken, and the job as each queue handed it out
        self.number = itertools.count()

    def turn(self, seconds: int) -> None:
        self.time.turn(seconds)
        self.model.now = self.time.seconds

    def enqueue(self, priority: int, delay: int) -> None:
        number = next(self.number)
        self.model.enqueue(number, priority, delay)
        for queue in self.queues:
            queue.enqueue(number, priority=priority, delay=delay)

    def reserve(self, n: int) -> None:
        expected = self.model.reserve(n)
        found = [queue.reserve(n) for queue in self.queues]
        for jobs in found:
            assert [(job.payload, job.attempts) for job in jobs] == [(job.number, job.attempts) for job in expected]
        self.held += zip([job.taken for job in expected], zip(*found, strict=True), strict=True)

    def requeue(self) -> None:
        dead = self.model.of("dead")
        for job in dead:
            job.state, job.attempts, job.since = "ready", 0, self.model.now
        assert [queue.requeue(queue.dead_letters()) for queue in self.queues] == [len(dead)] * 2

    def __getattr__(self, name: str) -> Any:
        return lambda place, *arguments: self.change(name, place, *arguments)

    def change(self, name: str, place: int, *delay: int) -> None:
        if not self.held:
            return
        taken, jobs = self.held[place % len(self.held)]
        modelled = self.model.held(jobs[0].payload, taken)
        for queue, job in zip(self.queues, jobs, strict=True):
            call = getattr(queue, name)
            if modelled is not None:
                call(job, *delay)
                continue
            with pytest.raises(ReservationLostError):
                call(job, *delay)
        if modelled is not None:
            self.follow(name, modelled, *delay)

    def follow(self, name: str, job: Modelled, *delay: int) -> None:
        if name == "acknowledge":
            self.model.jobs.remove(job)
        elif name == "extend":
            job.since = self.model.now + VISIBILITY
        elif name == "bury":
            job.state = "dead"
        else:
            self.model.retry(job, *delay)

    def compare(self) -> None:
        expected = [len(self.model.of(state)) for state in ("ready", "flight", "delayed", "dead")]
        for queue in self.queues:
            assert list(queue.stats()[:4]) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=5, max_size=30))
def test_any_sequence__has_the_models_outcome(
    upstash: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, given_steps: list[tuple[Any, ...]]
) -> None:
    time = Time()
    for alias in ("native", "rest"):
        monkeypatch.setitem(clocks._clocks._values, connections[alias], clocks.QueueClock(time.clock))
    run = Run(time)
    for name, *arguments in given_steps:
        getattr(run, name)(*arguments)
        run.compare()
