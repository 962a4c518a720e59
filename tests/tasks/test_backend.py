"""Django's contract of a task backend, on both routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("django.tasks", reason="django.tasks is in Django 6.0 and later")

from django.core.exceptions import ImproperlyConfigured
from django.tasks import TaskResultStatus
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist, TaskResultMismatch
from django.tasks.signals import task_enqueued, task_finished, task_started
from django.utils import timezone

from django_upstash.exceptions import ConnectionError, DataError
from django_upstash.tasks.queues import WorkerDied, result_key
from django_upstash.tasks.running import TaskRunner
from tests.servers import Server
from tests.tasks import jobs

pytestmark = pytest.mark.matrix

Work = Callable[..., None]


def test_task__is_enqueued_run_and_its_result_read(backend: Any, work: Work) -> None:
    result = jobs.add.enqueue(1, other=2)
    assert (result.status, result.attempts, result.is_finished) == (TaskResultStatus.READY, 0, False)
    assert jobs.add.get_result(result.id).status == TaskResultStatus.READY
    work(backend)
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, 3, 1)
    times: list[Any] = [result.enqueued_at, result.started_at, result.finished_at]
    assert times == sorted(times)
    assert result.started_at == result.last_attempted_at
    found = backend.get_result(result.id)
    assert (found.task, found.args, found.kwargs, found.backend) == (jobs.add, [1], {"other": 2}, "default")


def test_task__awaited(backend: Any, work: Work) -> None:
    async def run() -> Any:
        result = await jobs.double.using(priority=10, queue_name="urgent").aenqueue(21)
        await asyncio.to_thread(work, backend)
        await result.arefresh()
        return await jobs.double.aget_result(result.id)

    result = asyncio.run(run())
    assert (result.return_value, result.task.priority, result.task.queue_name) == (42, 10, "urgent")


def test_failure__is_stored_with_its_traceback(backend: Any, work: Work, caplog: pytest.LogCaptureFixture) -> None:
    results: list[Any] = [
        jobs.fail.enqueue("no luck"),
        jobs.leave.enqueue(),
        jobs.unserialisable.enqueue(),
        jobs.endless.enqueue(),
    ]
    with caplog.at_level(logging.CRITICAL, "django.tasks"):
        work(backend)
    for result, kind in zip(results, (ValueError, SystemExit, TypeError, ValueError), strict=True):
        result.refresh()
        assert result.status == TaskResultStatus.FAILED
        assert result.errors[0].exception_class is kind
    assert "no luck" in results[0].errors[0].traceback
    with pytest.raises(ValueError, match="failed"):
        _ = results[0].return_value


def test_retries__run_a_failed_task_again(configure: Callable[..., Any], work: Work) -> None:
    backend = configure(RETRIES=1)
    backend.queue("default").backoff = NO_BACKOFF
    result = jobs.attempt.enqueue()
    work(backend)
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, 2, 2)
    assert [error.exception_class for error in result.errors] == [RuntimeError]


def test_priorities_and_queues__are_in_order(backend: Any, work: Work, route: str, valkey: Server) -> None:
    for name, priority in (("low", -5), ("middle", 0), ("high", 100)):
        jobs.note.using(priority=priority).enqueue(name, alias=route)
    jobs.note.using(queue_name="urgent").enqueue("urgent", alias=route)
    work(backend)
    noted = [line.decode() for line in valkey.call("LRANGE", "noted", "0", "-1")]
    assert noted[::2] == [f"{name} begins" for name in ("urgent", "high", "middle", "low")]


def test_run_after__defers(backend: Any, work: Work) -> None:
    later = jobs.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1)
    past = jobs.add.using(run_after=timezone.now() - timedelta(hours=1)).enqueue(1)
    work(backend)
    assert jobs.add.get_result(later.id).status == TaskResultStatus.READY
    assert jobs.add.get_result(past.id).status == TaskResultStatus.SUCCESSFUL
    assert jobs.add.get_result(later.id).task.run_after == later.task.run_after


def test_signals__are_sent(backend: Any, work: Work) -> None:
    seen: list[Any] = []

    def receive(sender: Any, task_result: Any, signal: Any, **kwargs: Any) -> None:
        seen.append((signal, sender is type(backend), task_result.id, task_result.status))

    signals = (task_enqueued, task_started, task_finished)
    for signal in signals:
        signal.connect(receive)
    try:
        result = jobs.add.enqueue(1)
        work(backend)
    finally:
        for signal in signals:
            signal.disconnect(receive)
    states = (TaskResultStatus.READY, TaskResultStatus.RUNNING, TaskResultStatus.SUCCESSFUL)
    assert seen == [(signal, True, result.id, state) for signal, state in zip(signals, states, strict=True)]


@pytest.mark.parametrize(
    "change",
    [
        lambda: jobs.add.using(queue_name="unknown"),
        lambda: jobs.add.using(priority=101),
        lambda: jobs.add.using(run_after=timezone.make_naive(timezone.now())),
    ],
)
@pytest.mark.usefixtures("backend")
def test_invalid_tasks__are_refused(change: Callable[[], Any]) -> None:
    with pytest.raises(InvalidTask):
        change()


@pytest.mark.usefixtures("backend")
def test_invalid_arguments__are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="Unsupported type"):
        jobs.add.enqueue(object())  # type: ignore[arg-type]
    with pytest.raises(DataError, match="JSON"):
        jobs.add.enqueue(float("nan"))  # type: ignore[arg-type]


def test_get_result__of_nothing_or_another(backend: Any, valkey: Server) -> None:
    for unknown in ("unknown", "x" * 500, "a b:*", ""):
        with pytest.raises(TaskResultDoesNotExist):
            backend.get_result(unknown)
    result = jobs.add.enqueue(1)
    with pytest.raises(TaskResultMismatch):
        jobs.fail.get_result(result.id)
    valkey.call("PEXPIRE", result_key(backend.settings, result.id), "0")
    with pytest.raises(TaskResultDoesNotExist):
        result.refresh()


def test_results__that_this_site_has_not_written_are_refused(backend: Any, valkey: Server) -> None:
    first, other = jobs.add.enqueue(1), jobs.add.enqueue(2)
    stored = valkey.call("GET", result_key(backend.settings, other.id))
    for forged in (stored, b"{}", b"", b"\xff" * 50):
        valkey.call("SET", result_key(backend.settings, first.id), forged)
        with pytest.raises(DataError, match="not signed"):
            backend.get_result(first.id)


@pytest.mark.parametrize("alter", [lambda line: line.replace(b"tests.tasks.jobs.add", b"tests.tasks.jobs.fail")])
def test_jobs__that_this_site_has_not_written_are_not_run(
    backend: Any, work: Work, valkey: Server, alter: Callable[[bytes], bytes]
) -> None:
    jobs.add.enqueue(1)
    key = backend.queue("default").keys.ready
    (line,) = valkey.call("ZRANGE", key, "0", "-1")
    valkey.call("DEL", key)
    valkey.call("ZADD", key, "0", alter(line))
    work(backend)
    (letter,) = backend.queue("default").dead_letters()
    assert "not signed by this site" in letter.reason


def test_unknown_tasks__wait_for_code_that_knows_them(
    configure: Callable[..., Any], work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = configure(MAX_ATTEMPTS=2)
    queue = backend.queue("default")
    queue.backoff = NO_BACKOFF
    known, gone = jobs.add.enqueue(1), jobs.fail.enqueue("x")
    monkeypatch.setattr(jobs, "fail", jobs.plain)
    work(backend)
    assert jobs.add.get_result(known.id).return_value == 1
    monkeypatch.undo()
    result = jobs.fail.get_result(gone.id)
    assert result.status == TaskResultStatus.FAILED
    assert "is no task here" in result.errors[0].traceback
    assert [letter.reason for letter in queue.dead_letters()] == ["tests.tasks.jobs.fail is no task here."]


def test_exhausted_tasks__fail(configure: Callable[..., Any], work: Work) -> None:
    backend = configure(MAX_ATTEMPTS=1, VISIBILITY=0.05)
    queue = backend.queue("default")
    result = jobs.add.enqueue(1)
    (job,) = queue.reserve()  # and its worker dies
    while not queue.try_reserve()[0] and not queue.stats().dead:
        pass
    result.refresh()
    assert (job.id, result.status) == (result.id, TaskResultStatus.FAILED)
    assert result.errors[0].exception_class is WorkerDied


@pytest.mark.parametrize("is_begun", [False, True])
def test_late_attempt__does_not_overwrite_a_result(
    configure: Callable[..., Any], work: Work, caplog: pytest.LogCaptureFixture, is_begun: bool
) -> None:
    backend = configure(RETRIES=1, VISIBILITY=0.3, MAX_ATTEMPTS=999)
    queue, result = backend.queue("default"), jobs.overtaken.enqueue()
    (job,) = queue.reserve()

    def run_elsewhere() -> None:
        while not result.is_finished:
            work(backend)
            time.sleep(0.02)
            result.refresh()

    if is_begun:
        jobs.meanwhile.append(run_elsewhere)
    else:
        run_elsewhere()
    TaskRunner(backend, "late").run(queue, job)
    assert "took longer than its reservation" in caplog.text
    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, "done")


def test_server_away__raises(backend: Any, settings: Any, route: str) -> None:
    unreachable = {"native": "redis://127.0.0.1:1", "rest": "http://127.0.0.1:1"}[route]
    settings.UPSTASH = {route: {"URL": unreachable, **({"TOKEN": "x"} if route == "rest" else {})}}
    with pytest.raises(ConnectionError):
        jobs.add.enqueue(1)


@pytest.mark.parametrize("route", ["native"], indirect=True)
@pytest.mark.parametrize(
    ("options", "id"),
    [
        ({"ALIAS": "nowhere"}, "E467"),
        ({"VISIBLITY": 5}, "E462"),
        ({"PREFIX": ""}, "E463"),
        ({"VISIBILITY": "60"}, "E464"),
        ({"RESULT_TTL": 0}, "E464"),
        ({"MAX_ATTEMPTS": 1.5}, "E465"),
        ({"RETRIES": 5}, "E466"),
    ],
)
def test_checks__tell_wrong_options(configure: Callable[..., Any], options: dict[str, Any], id: str) -> None:
    from django.core.checks import run_checks

    backend = configure(**options)
    assert [found.id for found in backend.check()] == [f"django_upstash.{id}"]
    assert f"django_upstash.{id}" in {found.id for found in run_checks()}
    with pytest.raises(ImproperlyConfigured, match="OPTIONS"):
        jobs.add.enqueue(1)


class NoBackoff:
    def seconds(self, failures: int) -> float:
        return 0.0


NO_BACKOFF = NoBackoff()
