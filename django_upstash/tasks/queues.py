"""The queue of a task backend: its jobs are tasks, and each has a record of its result beside it."""

from __future__ import annotations

from typing import Any

from django.tasks.base import TaskResult, TaskResultStatus
from django.utils import timezone

from django_upstash.operations import Operation, Reply, checked, only
from django_upstash.operations.keys import root
from django_upstash.queues import Job, Message, Queue, SignedJSONCodec, operations
from django_upstash.queues.keys import quoted
from django_upstash.queues.messages import milliseconds, pending
from django_upstash.tasks import records
from django_upstash.tasks.settings import TaskSettings

DIED = "django_upstash.tasks.queues.WorkerDied"


class WorkerDied(Exception):
    """What a result names as its error where no worker survived running the task."""


class TaskQueue(Queue):
    """A queue of tasks, ``<prefix>:<name>``; every operation on a result is for one of its tasks."""

    def __init__(self, name: str, settings: TaskSettings) -> None:
        super().__init__(
            f"{settings.prefix}:{name}",
            alias=settings.alias,
            visibility=settings.visibility,
            max_attempts=settings.max_attempts,
            codec=SignedJSONCodec(),
            longest_poll=settings.longest_poll,
        )
        self.settings = settings
        self._result_ttl = milliseconds("RESULT_TTL", settings.result_ttl, least=1)

    def adding(self, result: TaskResult[Any, Any]) -> Operation[Any]:
        """Store a result and enqueue its job, both or neither; repeating that changes nothing."""
        task = result.task
        key, value = result_key(self.settings, result.id), records.encoded(result)
        late = 0.0 if task.run_after is None else _seconds_until(task.run_after)
        message = Message(records.payload_of(result), task.priority, late, id=result.id)

        def build(now: int) -> Operation[list[bool]]:
            claim = operations.Claim(key, value, pending(message, self.name, self.codec, None, now).entry)
            kept = self._result_ttl + round(late * 1000)
            return operations.enqueue_once(self.connection.capabilities, self.keys, [claim], kept)

        return self.clock.timed(build)

    def storing(self, result: TaskResult[Any, Any]) -> Operation[None]:
        """Store what has become of a result."""
        command = ("SET", result_key(self.settings, result.id), records.encoded(result), "PX", str(self._result_ttl))
        return Operation((command,), only)

    def finishing(self, job: Job, result: TaskResult[Any, Any]) -> Operation[bool]:
        """Store a result and remove its job, both or neither; tell whether the reservation still held."""
        capabilities, key = self.connection.capabilities, result_key(self.settings, result.id)
        return operations.finish(capabilities, self.keys, job, key, records.encoded(result), self._result_ttl)

    def retrying(self, job: Job, result: TaskResult[Any, Any]) -> Operation[bool]:
        """Store a result and let its job wait for another attempt; tell whether the reservation still held."""
        capabilities, key = self.connection.capabilities, result_key(self.settings, result.id)
        text, wait = records.encoded(result), milliseconds("delay", self.backoff.seconds(job.attempts))

        def build(now: int) -> Operation[bool]:
            return operations.finish(capabilities, self.keys, job, key, text, self._result_ttl, now + wait)

        return self.clock.timed(build)

    def exhausted(self, spent: list[Job]) -> Operation[Any]:
        """Let the results of tasks that no worker survived say so."""
        text = f"No worker survived running this task, {self.max_attempts} times."
        return self.failing([job.id for job in spent], DIED, text)

    def failing(self, ids: list[str], exception_class_path: str, text: str) -> Operation[Any]:
        """Let results, whose tasks are dead letters by now, say that they failed, and by what."""

        def failure(id: str, stored: bytes | None) -> tuple[str, ...] | None:
            record = records.readable(stored, id)
            if record is None:
                return None
            record["errors"] = [*record.get("errors", []), [exception_class_path, text]]
            record |= {"status": TaskResultStatus.FAILED.value, "finished_at": timezone.now().isoformat()}
            return "SET", result_key(self.settings, id), records.encoded_record(record, id), "PX", str(self._result_ttl)

        def parse(replies: list[Reply]) -> Any:
            found = map(failure, ids, only(replies))
            return Operation([command for command in found if command is not None], checked)

        return Operation((("MGET", *(result_key(self.settings, id) for id in ids)),), parse)


def result_key(settings: TaskSettings, id: str) -> str:
    """Return the key of a result's record."""
    return root(f"task-result:{quoted(settings.prefix)}:{quoted(id)}")


def reading(settings: TaskSettings, id: str) -> Operation[dict[str, Any] | None]:
    """Return the operation that reads the record of a result; None if there is none."""

    def parse(replies: list[Reply]) -> dict[str, Any] | None:
        text = only(replies)
        return None if text is None else records.decoded(text, id)

    return Operation((("GET", result_key(settings, id)),), parse)


def _seconds_until(time: Any) -> float:
    now = timezone.now() if timezone.is_aware(time) else timezone.make_naive(timezone.now())
    return max(float((time - now).total_seconds()), 0.0)
