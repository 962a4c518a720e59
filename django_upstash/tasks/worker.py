"""The worker: takes jobs for as many tasks as it runs at once, and keeps their reservations while they run."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections

from django_upstash import flushing
from django_upstash.exceptions import UpstashError
from django_upstash.forks import process_name
from django_upstash.log import get_logger
from django_upstash.queues import Backoff, Job
from django_upstash.queues.queue import MOST_RESERVED
from django_upstash.queues.waiting import Patience, blocks
from django_upstash.tasks.backend import UpstashBackend
from django_upstash.tasks.queues import TaskQueue
from django_upstash.tasks.running import TaskRunner
from django_upstash.tasks.waker import Bell

logger = get_logger("django_upstash.tasks")
_BACKOFF = Backoff(first=0.5, most=30.0)
_MOST_FAILURES_OF_A_BURST = 3


class Worker:
    """
    Runs tasks of some queues of a backend until it is stopped; with ``burst``, until no task is ready.

    Queues are looked into in the order they are given in. ``run`` belongs to one thread, ``stop`` to any other.
    """

    def __init__(
        self, backend: UpstashBackend, names: Iterable[str], concurrency: int = 1, burst: bool = False
    ) -> None:
        self._backend = backend
        self._name = secrets.token_hex(4)
        self._queues = [backend.queue(name) for name in names]
        self._connection = backend.connection
        self._bell = Bell(self._connection)
        self._running = Running(concurrency)
        self._is_burst = burst
        self._visibility = backend.settings.visibility
        longest_poll = backend.settings.longest_poll
        self._patience = Patience(None, blocks=blocks(self._connection), longest_poll=longest_poll)

    @property
    def id(self) -> str:
        """What no other worker is called: one that is forked has another id than in the process that made it."""
        return f"{process_name()}:{self._name}"

    def run(self) -> None:
        """Work; return when all that was begun has ended. A burst raises what the server keeps raising."""
        self._runner = TaskRunner(self._backend, self.id)
        renewal = VisibilityRenewal(self._running, self._visibility / 3)
        try:
            with ThreadPoolExecutor(self._running.most, "task") as pool:
                self._fetch_until_stopped(pool)
        finally:
            renewal.stop()
            self._bell.stop()

    def stop(self) -> None:
        """Take no more jobs. To be repeated until ``run`` returns."""
        self._bell.stop()
        self._running.look()

    def _fetch_until_stopped(self, pool: ThreadPoolExecutor) -> None:
        failures = 0
        while not self._bell.stopped.is_set():
            try:
                if not self._fetch(pool):
                    return
                if failures:
                    logger.info("The server answers again.")
                failures = 0
            except UpstashError as error:
                if self._bell.stopped.is_set():
                    return
                failures += 1
                if self._is_burst and failures >= _MOST_FAILURES_OF_A_BURST:
                    raise
                if failures == 1:
                    logger.error("No tasks are run while the server cannot be asked for them: %s", error)
                self._bell.pause(_BACKOFF.seconds(failures))

    def _fetch(self, pool: ThreadPoolExecutor) -> bool:
        """Begin what is ready, or wait; tell whether to go on."""
        free = self._running.wait_for_room(self._bell.stopped)
        found, due_in = self._reserve(free)
        for queue, job in found:
            self._running.add(queue, job)
            pool.submit(self._work, queue, job)
        if found:
            self._patience.restart()
        elif self._is_burst:
            # What is running may enqueue more.
            return self._running.wait_for_an_end(self._bell.stopped)
        elif (seconds := self._patience.next_wait(due_in)) is not None:
            self._bell.wait([queue.keys.wake for queue in self._queues], seconds)
        return True

    def _reserve(self, free: int) -> tuple[list[tuple[TaskQueue, Job]], float | None]:
        found: list[tuple[TaskQueue, Job]] = []
        dues: list[float] = []
        for queue in self._queues:
            if free == len(found) or self._bell.stopped.is_set():
                break
            try:
                jobs, due_in = queue.try_reserve(min(free - len(found), MOST_RESERVED))
            except UpstashError:
                if not found:
                    raise
                break  # what is reserved is run first
            found += [(queue, job) for job in jobs]
            if due_in is not None:
                dues.append(due_in)
        return found, min(dues, default=None)

    def _work(self, queue: TaskQueue, job: Job) -> None:
        close_old_connections()
        try:
            self._runner.run(queue, job)
        except Exception:
            logger.exception("Task id=%s is left to another attempt.", job.id)
        finally:
            flushing.write_due()
            close_old_connections()
            self._running.remove(job)


class Running:
    """The jobs that are being run, ``most`` at the same time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._jobs: dict[Job, TaskQueue] = {}
        self._changed = threading.Condition()

    def add(self, queue: TaskQueue, job: Job) -> None:
        with self._changed:
            self._jobs[job] = queue

    def remove(self, job: Job) -> None:
        with self._changed:
            self._jobs.pop(job, None)
            self._changed.notify_all()

    def look(self) -> None:
        """Have those who wait look again at whether they are to stop."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_room(self, stopped: threading.Event) -> int:
        """Return for how many more jobs there is room, as soon as there is any; 0 once stopped."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._jobs) < self.most or stopped.is_set())
            return 0 if stopped.is_set() else self.most - len(self._jobs)

    def wait_for_an_end(self, stopped: threading.Event) -> bool:
        """Return True when a job has ended, and False where none is running, or once stopped."""
        with self._changed:
            count = len(self._jobs)
            if count:
                self._changed.wait_for(lambda: len(self._jobs) < count or stopped.is_set())
            return count > 0 and not stopped.is_set()

    def by_queue(self) -> dict[TaskQueue, list[Job]]:
        found: dict[TaskQueue, list[Job]] = {}
        with self._changed:
            for job, queue in self._jobs.items():
                found.setdefault(queue, []).append(job)
        return found


class VisibilityRenewal:
    """A thread that extends the reservations of running jobs every so many seconds."""

    def __init__(self, running: Running, interval: float) -> None:
        self._running = running
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="renewal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _renew_until_stopped(self) -> None:
        while not self._stopped.wait(self._interval):
            for queue, jobs in self._running.by_queue().items():
                self._renew(queue, jobs)

    def _renew(self, queue: TaskQueue, jobs: list[Job]) -> None:
        try:
            held = queue.extend_several(jobs)
        except UpstashError as error:
            logger.warning("The reservations of %s running tasks could not be extended: %s", len(jobs), error)
            return
        still = self._running.by_queue().get(queue, [])
        for job in (job for job, is_held in zip(jobs, held, strict=True) if not is_held and job in still):
            logger.warning("Task id=%s is running, but its reservation has ended: it may be run elsewhere.", job.id)
