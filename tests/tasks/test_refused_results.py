"""A task whose result the server does not take has been run: it fails for that reason, and is not run again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("django.tasks", reason="django.tasks is in Django 6.0 and later")

from django.tasks import TaskResultStatus

from tests.servers import Server
from tests.tasks import jobs

Work = Callable[..., None]
TOO_LARGE = 11_000_000


@pytest.fixture(autouse=True)
def runs() -> Iterator[list[str]]:
    jobs.runs.clear()
    jobs.meanwhile.clear()
    yield jobs.runs
    jobs.meanwhile.clear()


def left(backend: Any) -> tuple[int, int, int]:
    """Return how many jobs are ready, hidden or delayed, and dead."""
    found = backend.queue("default").stats()
    return found.ready, found.in_flight + found.delayed, found.dead


@pytest.mark.parametrize("route", ["rest"])
@pytest.mark.parametrize("retries", [0, 2])
def test_result__that_is_too_large(configure: Any, work: Work, runs: list[str], retries: int) -> None:
    backend = configure(VISIBILITY=30, RETRIES=retries)
    result = jobs.returning.enqueue(TOO_LARGE)
    work(backend)
    found = backend.get_result(result.id)
    assert (found.status, runs, left(backend)) == (TaskResultStatus.FAILED, ["returning"], (0, 0, 0))
    assert "its result cannot be stored" in found.errors[0].traceback
    assert found.errors[0].exception_class_path.startswith("django_upstash.exceptions.")


@pytest.mark.parametrize("route", ["rest"])
def test_error__that_is_too_large(configure: Any, work: Work, runs: list[str]) -> None:
    backend = configure(VISIBILITY=30)
    result = jobs.failing.enqueue(TOO_LARGE)
    work(backend)
    found = backend.get_result(result.id)
    assert (found.status, runs, left(backend)) == (TaskResultStatus.FAILED, ["failing"], (0, 0, 0))
    assert len(found.errors) == 1


def test_result__that_is_no_json_is_not_tried_for_again(configure: Any, work: Work, runs: list[str]) -> None:
    backend = configure(RETRIES=2)
    result = jobs.returning_what_is_no_json.enqueue()
    work(backend)
    found = backend.get_result(result.id)
    assert (found.status, runs) == (TaskResultStatus.FAILED, ["returning_what_is_no_json"])
    assert left(backend) == (0, 0, 0)
    assert found.errors[0].exception_class_path == "builtins.TypeError"


def test_result__that_may_not_be_stored(configure: Any, work: Work, runs: list[str], valkey: Server) -> None:
    backend = configure(VISIBILITY=30)
    jobs.meanwhile.append(lambda: valkey.call("ACL", "SETUSER", "default", "-set"))
    jobs.returning.enqueue(1)
    try:
        work(backend)
    finally:
        valkey.call("ACL", "SETUSER", "default", "+set")
    assert (runs, left(backend)) == (["returning"], (0, 0, 0))


def test_result__of_a_full_database_is_stored_once_there_is_room(
    configure: Any, work: Work, runs: list[str], valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = configure(VISIBILITY=30)
    jobs.meanwhile.append(lambda: valkey.call("CONFIG", "SET", "maxmemory", "1"))

    def free(seconds: float) -> None:
        valkey.call("CONFIG", "SET", "maxmemory", "0")

    monkeypatch.setattr("django_upstash.tasks.running.time.sleep", free)
    result = jobs.returning.enqueue(1)
    try:
        work(backend)
    finally:
        free(0)
    assert (backend.get_result(result.id).return_value, runs) == ("x", ["returning"])


def test_job__of_another_shape_than_a_task_is_buried(configure: Any, work: Work, runs: list[str]) -> None:
    backend = configure()
    payloads: list[Any] = [None, 1, "text", [], {}, {"task": 1}, {"task": "tests.tasks.jobs.add", "args": 1}]
    for payload in payloads:
        backend.queue("default").enqueue(payload)
    result = jobs.returning.enqueue(1)
    work(backend)
    assert (backend.get_result(result.id).return_value, runs) == ("x", ["returning"])
    assert left(backend) == (0, 0, 7)
