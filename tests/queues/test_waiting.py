"""Waiting for a job: natively woken, over REST by asking again."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_upstash.queues import Message, Queue, waiting
from django_upstash.queues.waiting import Patience
from tests.queues.conftest import Counting, MakeQueue
from tests.servers import Server

# Nobody waits as long as that: the tests end when the job is there, or fail.
LONG, TOO_LONG = 60, 30


def blocked(valkey: Server) -> int:
    info = valkey.call("INFO", "clients").decode()
    return int(next(line for line in info.splitlines() if line.startswith("blocked_clients")).partition(":")[2])


@pytest.fixture(autouse=True)
def without_second_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not woken waits too long."""
    monkeypatch.setattr(waiting, "LONGEST_BLOCK", LONG)


def until_blocked(valkey: Server, count: int) -> None:
    for _ in range(3000):
        if blocked(valkey) == count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{blocked(valkey)} clients wait instead of {count}")


@pytest.mark.matrix
@pytest.mark.parametrize("route", ["native"], indirect=True)
def test_reserve__is_woken_natively_by_any_route(make_queue: MakeQueue, valkey: Server) -> None:
    queue = make_queue()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(queue.reserve, 1, LONG) for _ in range(2)]
        until_blocked(valkey, 2)
        Queue("mail", alias="rest").enqueue_many(["one", "two"])
        found = sorted(job.payload for future in futures for job in future.result(TOO_LONG))
    assert found == ["one", "two"]


@pytest.mark.parametrize("route", ["native"], indirect=True)
@pytest.mark.parametrize("is_requeued", [False, True])
def test_reserve__as_many_are_woken_as_there_are_jobs(make_queue: MakeQueue, valkey: Server, is_requeued: bool) -> None:
    queue = make_queue()
    if is_requeued:
        queue.enqueue_many(["one", "two"])
        for job in queue.reserve(2):
            queue.bury(job)
    valkey.call("DEL", queue.keys.wake)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(queue.reserve, 1, LONG) for _ in range(2)]
        until_blocked(valkey, 2)
        if is_requeued:
            queue.requeue(queue.dead_letters())
        else:
            queue.enqueue_many([Message("one", id="1"), Message("two", id="2")])
        found = sorted(job.payload for future in futures for job in future.result(TOO_LONG))
    assert found == ["one", "two"]


@pytest.mark.matrix
@pytest.mark.parametrize("route", ["native"], indirect=True)
def test_areserve__is_woken_natively(make_queue: MakeQueue, valkey: Server) -> None:
    queue = make_queue()

    async def run() -> Any:
        task = asyncio.create_task(queue.areserve(1, LONG))
        await asyncio.to_thread(until_blocked, valkey, 1)
        await queue.aenqueue("work")
        return [job.payload for job in await asyncio.wait_for(task, TOO_LONG)]

    assert asyncio.run(run()) == ["work"]


@pytest.mark.parametrize("route", ["native"], indirect=True)
def test_areserve__can_be_cancelled_and_loses_no_job(make_queue: MakeQueue, valkey: Server) -> None:
    queue = make_queue()

    async def run() -> Any:
        task = asyncio.create_task(queue.areserve(1, LONG))
        await asyncio.to_thread(until_blocked, valkey, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await queue.aenqueue("work")
        return [job.payload for job in await queue.areserve(1, LONG)]

    assert asyncio.run(run()) == ["work"]


@pytest.mark.parametrize("route", ["native"], indirect=True)
def test_reserve__blocks_instead_of_polling(make_queue: MakeQueue, valkey: Server, counting: Counting) -> None:
    queue = make_queue()
    queue.reserve()
    with counting as cost:
        assert queue.reserve(wait=0.3) == []
    assert cost.commands == 3 + 1 + 3  # the last attempt is at the end


def test_reserve__returns_for_a_job_that_becomes_due(open_queue: MakeQueue) -> None:
    queue = open_queue()
    queue.enqueue("soon", delay=0.2)
    (job,) = queue.reserve(wait=LONG)
    assert job.payload == "soon"


def test_reserve__takes_over_from_a_worker_that_died(open_queue: MakeQueue) -> None:
    queue = open_queue(visibility=0.2)
    queue.enqueue("work")
    (first,) = queue.reserve()
    (second,) = queue.reserve(wait=LONG)
    assert (second.id, second.attempts) == (first.id, 2)


@pytest.mark.parametrize("route", ["rest"], indirect=True)
def test_reserve__polls_over_rest(make_queue: MakeQueue) -> None:
    queue = make_queue(longest_poll=0.2)
    later = threading.Timer(0.3, queue.enqueue, ["work"])
    later.start()
    try:
        assert [job.payload for job in queue.reserve(wait=LONG)] == ["work"]
    finally:
        later.join()


def test_patience__polls_less_and_less_often() -> None:
    patience = Patience(None, blocks=False, now=lambda: 0.0)
    polls = [patience.next_wait() or 0 for _ in range(12)]
    assert 0.08 <= polls[0] <= 0.1
    assert all(4 <= poll <= 5 for poll in polls[6:])
    assert sum(polls) < 45
    patience.restart()
    assert (patience.next_wait() or 0) <= 0.1


def test_patience__ends_and_heeds_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONGEST_BLOCK", 20.0)
    now = 0.0
    patience = Patience(30, blocks=True, now=lambda: now)
    assert patience.next_wait() == 20
    assert patience.next_wait(due_in=3.5) == 3.5
    assert patience.next_wait(due_in=0) == 0.001
    now = 25.0
    assert patience.next_wait() == 5
    now = 30.0
    assert patience.next_wait(due_in=0) is None
