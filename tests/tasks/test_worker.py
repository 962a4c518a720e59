"""``manage.py upstash_worker``, in processes of its own, on both routes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django.tasks", reason="django.tasks is in Django 6.0 and later")

from django.core.management import CommandError, call_command
from django.tasks import TaskResultStatus

from django_upstash.connections import connections
from django_upstash.exceptions import UpstashError
from django_upstash.queues import Backoff
from django_upstash.tasks import worker as workers
from django_upstash.tasks.worker import Running, VisibilityRenewal
from tests.fault_proxy import FaultProxy
from tests.servers import Server, start_valkey
from tests.tasks import jobs

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0

MANAGE = """
import json, logging, sys
from django.conf import settings
logging.basicConfig(level=logging.WARNING)
upstash, tasks, arguments = json.loads(sys.argv[1])
settings.configure(
    SECRET_KEY="only for the tests", USE_TZ=True, INSTALLED_APPS=["django_upstash"], UPSTASH=upstash, TASKS=tasks
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "upstash_worker", *arguments])
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(settings: Any) -> Iterator[Start]:
    """Return ``start(*arguments)``: a worker with the settings of this moment."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        given = json.dumps([settings.UPSTASH, settings.TASKS, arguments])
        started.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", MANAGE, given],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def noted(valkey: Server, count: int) -> list[str]:
    """Return what tasks have noted, once that is so much."""
    deadline = time.monotonic() + PATIENCE
    while valkey.call("LLEN", "noted") < count:
        assert time.monotonic() < deadline, valkey.call("LRANGE", "noted", "0", "-1")
        time.sleep(0.005)
    return [line.decode() for line in valkey.call("LRANGE", "noted", "0", "-1")]


def until_finished(result: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not result.is_finished:
        assert time.monotonic() < deadline
        time.sleep(0.005)
        result.refresh()
    return result


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


@pytest.mark.matrix
def test_burst__runs_what_is_there_and_ends(backend: Any, start: Start) -> None:
    results = [jobs.add.enqueue(number, 1) for number in range(20)]
    returncode, out, _ = ended(start("--burst", "--concurrency", "4"))
    assert returncode == 0
    assert "runs the tasks of default, urgent." in out
    assert [jobs.add.get_result(result.id).return_value for result in results] == list(range(1, 21))
    assert backend.queue("default").stats()[:4] == (0, 0, 0, 0)


@pytest.mark.matrix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal__lets_the_running_task_finish_and_begins_no_other(
    backend: Any, start: Start, valkey: Server, route: str, number: signal.Signals
) -> None:
    worker = start()
    first = jobs.note.enqueue("first", 0.5, alias=route)
    second = jobs.note.enqueue("second", alias=route)
    noted(valkey, 1)
    worker.send_signal(number)
    returncode, out, _ = ended(worker)
    assert (returncode, out.endswith("nothing is left half done.\n")) == (0, True)
    assert noted(valkey, 2) == ["first begins", "first ends"]
    assert jobs.note.get_result(first.id).status == TaskResultStatus.SUCCESSFUL
    assert jobs.note.get_result(second.id).status == TaskResultStatus.READY


def test_signal__ends_an_idle_worker(backend: Any, start: Start, valkey: Server, route: str) -> None:
    worker = start("--verbosity", "0")
    jobs.note.enqueue("first", alias=route)
    noted(valkey, 2)
    worker.terminate()
    assert ended(worker)[:2] == (0, "")


def test_second_signal__ends_at_once(backend: Any, start: Start, valkey: Server, route: str) -> None:
    worker = start()
    jobs.note.enqueue("first", PATIENCE * 2, alias=route)
    noted(valkey, 1)
    worker.terminate()
    while worker.poll() is None:
        time.sleep(0.05)
        worker.terminate()
    assert worker.returncode == -signal.SIGTERM


@pytest.mark.matrix
def test_killed_worker__is_made_up_for(configure: Callable[..., Any], start: Start, valkey: Server, route: str) -> None:
    configure(VISIBILITY=1)
    result = jobs.note.enqueue("work", 0.2, alias=route)
    first = start()
    noted(valkey, 1)
    first.kill()
    start()
    assert noted(valkey, 3) == ["work begins", "work begins", "work ends"]
    found = until_finished(result)
    assert (found.status, found.attempts, len(set(found.worker_ids))) == (TaskResultStatus.SUCCESSFUL, 2, 2)


def test_reserved_tasks__are_run_though_the_next_queue_fails(
    backend: Any, work: Callable[..., None], valkey: Server, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_BACKOFF", Backoff(first=0))
    result = jobs.add.using(queue_name="urgent").enqueue(1)
    connections[route].redis.set(backend.queue("default").keys.ready, "this is no queue")
    with pytest.raises(UpstashError):
        work(backend, concurrency=2)
    result.refresh()
    assert result.return_value == 1


@pytest.mark.matrix
def test_renewal__extends_what_is_running(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    queue = backend.queue("default")
    results = [jobs.add.enqueue(1), jobs.add.enqueue(2)]
    first, second = queue.reserve(2)
    deadlines = first.deadline, second.deadline
    running = Running(2)
    running.add(queue, first)
    running.add(queue, second)
    queue.acknowledge(second)
    renewal = VisibilityRenewal(running, 0.02)
    end = time.monotonic() + PATIENCE
    while first.deadline < deadlines[0] + 100:
        assert time.monotonic() < end
        time.sleep(0.01)
    renewal.stop()
    assert second.deadline == deadlines[1]
    assert f"id={results[1].id} is running, but its reservation has ended" in caplog.text
    queue.acknowledge(first)


@pytest.mark.slow
def test_running_task__keeps_its_reservation_to_its_end(
    configure: Callable[..., Any], start: Start, valkey: Server, route: str
) -> None:
    backend = configure(VISIBILITY=3)
    jobs.note.enqueue("long", 4, alias=route)
    start()
    noted(valkey, 1)
    queue = backend.queue("default")
    while valkey.call("LLEN", "noted") < 2:
        assert queue.reserve(wait=0.2) == []
    assert noted(valkey, 2) == ["long begins", "long ends"]


@pytest.mark.parametrize("route", ["native"], indirect=True)
def test_server_away__is_waited_for(upstash: Any, settings: Any, configure: Callable[..., Any], start: Start) -> None:
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        settings.UPSTASH = {"native": {"URL": proxy.url}, "direct": {"URL": server.tcp_url}}
        configure()
        worker = start()
        until_finished(jobs.note.enqueue("one", alias="direct"))
        proxy.refuse()
        proxy.sever()
        assert worker.stderr is not None
        assert any("while the server cannot be asked" in line for line in iter(worker.stderr.readline, ""))
        proxy.heal()
        jobs.note.enqueue("two", alias="direct")
        assert noted(server, 4)[2:] == ["two begins", "two ends"]
        worker.terminate()
        assert ended(worker)[0] == 0
        connections.close_all()


@pytest.mark.parametrize("route", ["native"], indirect=True)
def test_burst__ends_with_1_where_the_server_stays_away(
    upstash: Any, settings: Any, configure: Callable[..., Any], start: Start
) -> None:
    settings.UPSTASH = {"native": {"URL": "redis://:hidden@127.0.0.1:1"}}
    configure()
    returncode, _, err = ended(start("--burst"))
    assert returncode == 1
    assert "The server cannot be asked for tasks" in err
    assert "hidden" not in err


@pytest.mark.matrix
@pytest.mark.parametrize("route", ["native"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--queue", "unknown"], "has no queue 'unknown'; it has 'default', 'urgent'"),
        (["--backend", "unknown"], "unknown"),
        (["--backend", "dummy"], "is no django_upstash.tasks.UpstashBackend"),
        (["--backend", "open"], "names none: say which by --queue"),
        (["--backend", "wrong"], "unknown key 'ALIS'"),
        (["--concurrency", "0"], "from 1 to 1000"),
    ],
)
def test_usage__ends_with_2(backend: Any, settings: Any, arguments: list[str], sentence: str) -> None:
    ours = "django_upstash.tasks.UpstashBackend"
    settings.TASKS = settings.TASKS | {
        "dummy": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
        "open": {"BACKEND": ours, "QUEUES": []},
        "wrong": {"BACKEND": ours, "OPTIONS": {"ALIS": "native"}},
    }
    with pytest.raises(CommandError, match=sentence) as caught:
        call_command("upstash_worker", *arguments)
    assert caught.value.returncode == 2
