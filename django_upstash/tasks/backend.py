"""The backend that ``TASKS`` names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task, TaskResult, TaskResultStatus
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone

from django_upstash.connections import Connection, connections
from django_upstash.queues.jobs import new_id
from django_upstash.settings import conf
from django_upstash.settings.rules import Mistake
from django_upstash.tasks import records
from django_upstash.tasks.queues import TaskQueue, reading
from django_upstash.tasks.settings import SCHEMA, TaskSettings


class UpstashBackend(BaseTaskBackend):
    """
    Tasks in a queue of this package: deferred ones, coroutines, priorities, and results that any process can read.

    A task is run at least once. ``enqueue`` takes one request, after which the task is there; within a transaction
    use ``transaction.on_commit``, as with every backend that does not write to that database. Where the server does
    not answer, it raises.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._known: tuple[TaskSettings, dict[str, TaskQueue]] | None = None

    @property
    def settings(self) -> TaskSettings:
        """The options, typed; ``ImproperlyConfigured`` says what is wrong with them."""
        return self._state()[0]

    @property
    def connection(self) -> Connection:
        return connections[self.settings.alias]

    def queue(self, name: str) -> TaskQueue:
        """Return the queue of this name."""
        settings, queues = self._state()
        if name not in queues:
            queues[name] = TaskQueue(name, settings)
        return queues[name]

    def enqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any, Any]:
        """Enqueue a task and return its result, which is ready to be run."""
        result = self._new(task, args, kwargs)
        self.connection.run(self.queue(task.queue_name).adding(result))
        task_enqueued.send(type(self), task_result=result)
        return result

    async def aenqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any, Any]:
        """Async version of ``enqueue``."""
        result = self._new(task, args, kwargs)
        await self.connection.arun(self.queue(task.queue_name).adding(result))
        await task_enqueued.asend(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[Any, Any]:
        """Return a result; raise ``TaskResultDoesNotExist`` if there is none, or none any more."""
        return self._found(self.connection.run(reading(self.settings, str(result_id))), result_id)

    async def aget_result(self, result_id: str) -> TaskResult[Any, Any]:
        """Async version of ``get_result``."""
        return self._found(await self.connection.arun(reading(self.settings, str(result_id))), result_id)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return what is wrong with the options."""
        return [Error(found.text, hint=found.hint, id=f"django_upstash.{found.id}") for found in self._mistakes()]

    def _new(self, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any, Any]:
        self.validate_task(task)
        return TaskResult(
            task=task,
            id=new_id(),
            status=TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )

    def _found(self, record: dict[str, Any] | None, id: str) -> TaskResult[Any, Any]:
        if record is None:
            raise TaskResultDoesNotExist(id)
        return records.result_of(record, id, self.alias)

    def _state(self) -> tuple[TaskSettings, dict[str, TaskQueue]]:
        if self._known is None:
            for mistake in self._mistakes():
                raise ImproperlyConfigured(f"{mistake.text} {mistake.hint}")
            self._known = SCHEMA.typed(self.options), {}
        return self._known

    def _mistakes(self) -> Iterator[Mistake]:
        where = f'TASKS[{self.alias!r}]["OPTIONS"]'
        found = list(SCHEMA.mistakes(self.options, where))
        yield from found
        if not found and not any(conf.setting_mistakes()):
            alias, known = SCHEMA.typed(self.options).alias, conf.aliases()
            if alias not in known:
                text = f'{where}["ALIAS"] is {alias!r}, which UPSTASH does not have.'
                yield Mistake("E467", text, f"UPSTASH has: {', '.join(map(repr, known)) or 'none'}.")
