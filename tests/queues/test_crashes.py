"""Workers are killed at random, and replies are lost: every job is done at least once, and none is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from django_upstash.connections import connections
from django_upstash.exceptions import ConnectionError
from django_upstash.queues import Queue
from tests.fault_proxy import FaultProxy
from tests.queues.conftest import MakeQueue
from tests.servers import Server, start_valkey

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS = 3

# Works without end, or until it is killed at a random moment: notes each job as done on the server, and acknowledges
# it; now and then it fails instead.
WORKER = """
import json, os, random, signal, sys, threading, time
import django
from django.conf import settings
entry, is_mortal = json.loads(sys.argv[1])
settings.configure(SECRET_KEY="x", UPSTASH={"default": entry})
django.setup()
from django_upstash.exceptions import ReservationLostError
from django_upstash.queues import Queue
queue = Queue("crashes", visibility=1, max_attempts=999)
queue.length()
if is_mortal:
    threading.Timer(random.random() * 0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
while True:
    for job in queue.reserve(random.randint(1, 4), wait=20):
        time.sleep(random.random() * 0.01)
        try:
            if random.random() < 0.1:
                queue.retry(job, delay=0.01)
            else:
                queue.connection.redis.sadd("done", job.payload)
                queue.acknowledge(job)
        except ReservationLostError:
            pass
"""


def start(entry: dict[str, Any], is_mortal: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, json.dumps([entry, is_mortal])], cwd=ROOT)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("count", "deadly"), [(60, 3), pytest.param(500, 15, marks=pytest.mark.slow)])
def test_workers_killed_at_random__lose_nothing(
    upstash: dict[str, dict[str, Any]], route: str, make_queue: MakeQueue, valkey: Server, count: int, deadly: int
) -> None:
    queue = make_queue("crashes")
    queue.enqueue_many(range(count))
    workers = [start(upstash[route], True) for _ in range(WORKERS)]
    deaths = 0
    deadline = time.monotonic() + 100
    try:
        while deaths < deadly or any(queue.stats()[:3]):
            assert time.monotonic() < deadline, queue.stats()
            for place, worker in enumerate(workers):
                if worker.poll() is not None:
                    assert worker.returncode == -signal.SIGKILL
                    deaths += 1
                    workers[place] = start(upstash[route], deaths + WORKERS <= deadly)
            time.sleep(0.01)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert deaths == deadly
    assert valkey.call("SCARD", "done") == count
    assert queue.stats().dead == 0


@pytest.fixture
def proxied(settings: Any) -> Any:
    """A queue behind a proxy, and the proxy."""
    with start_valkey() as server, FaultProxy(server.port) as proxy:
        settings.UPSTASH = {"default": {"URL": proxy.url, "TIMEOUT": 20}}
        queue = Queue("mail", visibility=0.2)
        queue.enqueue("warm", id="warm")
        for job in queue.reserve():
            queue.acknowledge(job)
        yield queue, proxy
        connections.close_all()


def test_lost_replies__enqueue_by_id_is_repeated_and_adds_one(proxied: Any) -> None:
    queue, proxy = proxied
    proxy.close_before_reply()
    assert queue.enqueue("work", id="order 17") == ("order 17", True)
    assert queue.length() == 1


def test_lost_replies__enqueue_without_id_is_not_repeated(proxied: Any) -> None:
    queue, proxy = proxied
    proxy.close_before_reply()
    with pytest.raises(ConnectionError):
        queue.enqueue("work")
    assert queue.length() == 1


def test_lost_replies__what_was_reserved_returns(proxied: Any) -> None:
    queue, proxy = proxied
    queue.enqueue("work")
    proxy.close_before_reply()
    with pytest.raises(ConnectionError):
        queue.reserve()
    (job,) = queue.reserve(wait=60)
    assert (job.payload, job.attempts) == ("work", 2)
