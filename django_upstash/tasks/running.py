"""Running one task: what is stored, signalled and decided before and after it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from traceback import format_exception
from typing import Any, TypeVar

from django.tasks.base import TaskContext, TaskResult, TaskResultStatus
from django.tasks.exceptions import TaskException
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from django.utils.json import normalize_json

from django_upstash.exceptions import (
    DataError,
    NoPermissionError,
    PayloadTooLargeError,
    ReservationLostError,
    ResponseError,
    UpstashError,
)
from django_upstash.forks import Owner
from django_upstash.log import get_logger
from django_upstash.operations import Operation
from django_upstash.queues import Backoff, Job
from django_upstash.tasks import records
from django_upstash.tasks.backend import UpstashBackend
from django_upstash.tasks.queues import TaskQueue, reading

R = TypeVar("R")
logger = get_logger("django_upstash.tasks")
# No later attempt would be taken either: only what is stored can change, not how often the task is run.
_PERMANENT = (DataError, NoPermissionError, PayloadTooLargeError)
# While the server is away, what a task has come to is tried to be stored for as long as its reservation may last.
_BACKOFF = Backoff(first=0.2, most=5.0)


class TaskRunner:
    """Runs the jobs of a backend's queues, in any thread, on behalf of one worker."""

    def __init__(self, backend: UpstashBackend, worker_id: str) -> None:
        self.backend = backend
        self.worker_id = worker_id

    def run(self, queue: TaskQueue, job: Job) -> None:
        """Run a job's task and store its result. Nothing that a task or the server does is raised."""
        try:
            result = self._begun(queue, job)
            if result is not None:
                self._perform(queue, job, result)
        except ReservationLostError:
            logger.warning("Task id=%s took longer than its reservation, and is run again elsewhere.", job.id)
        except UpstashError as error:
            logger.error("Task id=%s is left to another attempt: %s", job.id, error)

    def _begun(self, queue: TaskQueue, job: Job) -> TaskResult[Any, Any] | None:
        """Store and signal that a task is running; None where it is not to be run here."""
        try:
            record = self._record(queue, job)
            if record.get("status") in (TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED):
                queue.acknowledge(job)  # its worker died, or could not reach the server, after storing that
                return None
            result = records.result_of(record, job.id, self.backend.alias)
        except DataError as error:
            logger.error("Task id=%s becomes a dead letter: %s", job.id, error)
            queue.bury(job, str(error))
            return None
        except (TaskException, LookupError, TypeError, ValueError) as error:
            self._postpone(queue, job, error)
            return None
        if queue.clock.now() >= job.deadline:
            # This process stood still meanwhile: what another has stored since is not to be overwritten.
            raise ReservationLostError(f"The reservation of task {job.id} ended before it was begun.")
        self._start(queue, result)
        return result

    def _record(self, queue: TaskQueue, job: Job) -> dict[str, Any]:
        """Return what is known of a task; of the first attempt, that is what the job says."""
        said = records.checked(job.payload)
        if job.attempts == 1:
            return said
        return queue.connection.run(reading(queue.settings, job.id)) or said

    def _postpone(self, queue: TaskQueue, job: Job, error: Exception) -> None:
        """Leave a task that this code does not know to a later attempt, for newer code may."""
        logger.error("Task id=%s cannot be run by this code: %s", job.id, error)
        if not queue.retry(job, reason=str(error)):
            failure = records.traceback_error(error, str(error))
            path, text = failure.exception_class_path, failure.traceback
            queue.connection.run(queue.failing([job.id], path, text))

    def _start(self, queue: TaskQueue, result: TaskResult[Any, Any]) -> None:
        now = timezone.now()
        started = result.started_at or now
        records.change(result, status=TaskResultStatus.RUNNING, started_at=started, last_attempted_at=now)
        result.worker_ids.append(self.worker_id)
        queue.connection.run(queue.storing(result))
        task_started.send_robust(type(self.backend), task_result=result)

    def _perform(self, queue: TaskQueue, job: Job, result: TaskResult[Any, Any]) -> None:
        owner = Owner()
        try:
            value = _call(result)
        except BaseException as error:
            if not owner.is_here:
                raise  # the task forked, and this is the child: the task's end is its parent's
            # sys.exit() in a task, too, is its own end and not the worker's.
            result.errors.append(records.traceback_error(error, "".join(format_exception(error))))
            if job.attempts <= queue.settings.retries:
                self._retry(queue, job, result)
            else:
                self._finish(queue, job, result, TaskResultStatus.FAILED)
        else:
            if owner.is_here:
                self._succeed(queue, job, result, value)

    def _succeed(self, queue: TaskQueue, job: Job, result: TaskResult[Any, Any], value: Any) -> None:
        """Store what a task has returned. It has been run: where that cannot be stored, another run would not help."""
        try:
            records.change(result, _return_value=_storable(value))
        except Exception as error:
            result.errors.append(records.traceback_error(error, "".join(format_exception(error))))
            self._finish(queue, job, result, TaskResultStatus.FAILED)
        else:
            self._finish(queue, job, result, TaskResultStatus.SUCCESSFUL)

    def _retry(self, queue: TaskQueue, job: Job, result: TaskResult[Any, Any]) -> None:
        records.change(result, status=TaskResultStatus.READY)
        logger.warning("Task id=%s path=%s failed and is retried.", job.id, result.task.module_path, exc_info=True)
        self._store(queue, job, result, lambda: queue.retrying(job, result))

    def _finish(self, queue: TaskQueue, job: Job, result: TaskResult[Any, Any], status: TaskResultStatus) -> None:
        records.change(result, status=status, finished_at=timezone.now())
        self._store(queue, job, result, lambda: queue.finishing(job, result))
        task_finished.send_robust(type(self.backend), task_result=result)

    def _store(
        self, queue: TaskQueue, job: Job, result: TaskResult[Any, Any], storing: Callable[[], Operation[bool]]
    ) -> None:
        """
        Store a result with ``storing``; where the server refuses it, store that instead.

        The task has been run, and running it again would not change what the server says. What may pass, such as a
        full database, is tried again for as long as the reservation may last.
        """
        try:
            held = self._persist(queue, lambda: queue.connection.run(storing()))
        except (DataError, ResponseError) as error:
            logger.error("The result of task id=%s cannot be stored: %s", job.id, error)
            held = self._fail(queue, job, result, error)
        if not held:
            logger.warning("Task id=%s took longer than its reservation: its result is another's.", job.id)

    def _fail(self, queue: TaskQueue, job: Job, result: TaskResult[Any, Any], error: UpstashError) -> bool:
        """Finish a job whose result was refused: failed for that reason, or without a result where that is refused."""
        text = f"The task was run, and its result cannot be stored: {error}"
        failure = records.traceback_error(error, text)
        records.change(result, status=TaskResultStatus.FAILED, finished_at=timezone.now(), errors=[failure])
        records.change(result, _return_value=None)
        try:
            return queue.connection.run(queue.finishing(job, result))
        except (DataError, ResponseError) as again:
            logger.error("Task id=%s has ended without a result: %s", job.id, again)
            queue.acknowledge(job)  # raises where it is lost
            return True

    def _persist(self, queue: TaskQueue, store: Callable[[], R]) -> R:
        """Store what must not get lost, trying again while the server is away."""
        deadline, failures = time.monotonic() + queue.visibility, 0
        while True:
            try:
                return store()
            except (ReservationLostError, *_PERMANENT):
                raise
            except UpstashError as error:
                failures += 1
                wait = _BACKOFF.seconds(failures)
                if time.monotonic() + wait > deadline:
                    raise
                logger.warning("The result of a task cannot be stored yet: %s", error)
                time.sleep(wait)


def _storable(value: Any) -> Any:
    """Return what a result keeps of a value; raise ``TypeError`` or ``ValueError`` for what JSON cannot say."""
    found = normalize_json(value)
    json.dumps(found, allow_nan=False)  # which Django lets pass, and storing would refuse
    return found


def _call(result: TaskResult[Any, Any]) -> Any:
    if result.task.takes_context:
        return result.task.call(TaskContext(task_result=result), *result.args, **result.kwargs)
    return result.task.call(*result.args, **result.kwargs)
