"""What is stored of a task: the job's payload, and the record of its result. Both are signed JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.tasks.base import Task, TaskError, TaskResult, TaskResultStatus
from django.utils.module_loading import import_string

from django_upstash.exceptions import DataError
from django_upstash.queues.codecs import SignedJSONCodec

_CODEC = SignedJSONCodec()
_SHAPE: dict[str, Any] = {
    "task": str,
    "args": list,
    "kwargs": dict,
    "priority": int,
    "queue": str,
    "run_after": str | None,
}
_TIMES = ("enqueued_at", "started_at", "finished_at", "last_attempted_at")


class UnknownTaskError(LookupError):
    """The code that is running here has no such task."""


def payload_of(result: TaskResult[Any, Any]) -> dict[str, Any]:
    """Return what a job carries of a task that is about to be enqueued."""
    return {
        "task": result.task.module_path,
        "args": result.args,
        "kwargs": result.kwargs,
        "priority": result.task.priority,
        "queue": result.task.queue_name,
        "run_after": _text(result.task.run_after),
        "enqueued_at": _text(result.enqueued_at),
    }


def record_of(result: TaskResult[Any, Any]) -> dict[str, Any]:
    """Return what is stored of a result."""
    times = {name: _text(getattr(result, name)) for name in _TIMES}
    errors = [[error.exception_class_path, error.traceback] for error in result.errors]
    state = {"status": result.status.value, "errors": errors, "workers": result.worker_ids}
    return payload_of(result) | times | state | {"return_value": result._return_value}  # type: ignore[attr-defined]


def encoded(result: TaskResult[Any, Any]) -> str:
    """Return the record of a result as it is stored."""
    return encoded_record(record_of(result), result.id)


def encoded_record(record: dict[str, Any], id: str) -> str:
    """Return a record as it is stored."""
    return _CODEC.encode(record, _context(id))


def decoded(text: bytes, id: str) -> dict[str, Any]:
    """Return a record; raise ``DataError`` for one that this site has not written for this id."""
    found: dict[str, Any] = _CODEC.decode(text.decode("utf-8", "replace"), _context(id))
    return found


def checked(payload: Any) -> dict[str, Any]:
    """Return the payload of a job; raise ``DataError`` for one that is not of a task's shape."""
    if not isinstance(payload, dict) or any(not isinstance(payload.get(name), kind) for name, kind in _SHAPE.items()):
        raise DataError("The payload of a job is no task's: something else wrote it.")
    return payload


def result_of(record: dict[str, Any], id: str, backend: str) -> TaskResult[Any, Any]:
    """
    Return the result that a record, or the payload of a job, describes.

    Raises ``UnknownTaskError`` where its task is not to be found here.
    """
    result: TaskResult[Any, Any] = TaskResult(
        task=task_of(record, backend),
        id=id,
        status=TaskResultStatus(record.get("status", TaskResultStatus.READY)),
        args=record["args"],
        kwargs=record["kwargs"],
        backend=backend,
        errors=[TaskError(exception_class_path=path, traceback=text) for path, text in record.get("errors", [])],
        worker_ids=record.get("workers", []),
        **{name: _time(record.get(name)) for name in _TIMES},
    )
    object.__setattr__(result, "_return_value", record.get("return_value"))
    return result


def task_of(record: dict[str, Any], backend: str) -> Task[Any, Any]:
    """Return the task as it was enqueued; raise ``UnknownTaskError`` if this process has no task of its name."""
    path = record["task"]
    try:
        found = import_string(path)
    except ImportError as error:
        raise UnknownTaskError(f"The task {path} cannot be imported here: {error}.") from error
    if not isinstance(found, Task):
        raise UnknownTaskError(f"{path} is no task here.")
    return found.using(
        priority=record["priority"], queue_name=record["queue"], run_after=_time(record["run_after"]), backend=backend
    )


def change(result: TaskResult[Any, Any], **fields: Any) -> None:
    """Set fields of a result, which is frozen for its users."""
    for name, value in fields.items():
        object.__setattr__(result, name, value)


def traceback_error(error: BaseException, text: str) -> TaskError:
    kind = type(error)
    return TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=text)


def readable(text: bytes | None, id: str) -> dict[str, Any] | None:
    """Return a record, or None if there is none that this site has written."""
    try:
        return None if text is None else decoded(text, id)
    except DataError:
        return None


def _context(id: str) -> str:
    return f"task-result {id}"


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
