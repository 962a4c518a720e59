"""What a queue costs: round trips and billed commands, counted by the servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_upstash.queues import Message
from tests.queues.conftest import Counting, MakeQueue

pytestmark = pytest.mark.matrix


@pytest.fixture
def queue(open_queue: MakeQueue) -> Any:
    """A queue whose server has seen the scripts, in a process that knows its time."""
    warm = open_queue("warm", max_attempts=1)
    warm.enqueue(0, id="warm")
    (job,) = warm.reserve()
    warm.retry(job)
    warm.requeue(warm.dead_letters())
    warm.stats()
    return open_queue()


def test_enqueue__budget(queue: Any, counting: Counting) -> None:
    with counting as cost:
        queue.enqueue({"number": 1})
    assert cost == (1, 2)
    with counting as cost:
        queue.enqueue({"number": 1}, delay=60, priority=5, ttl=600)
    assert cost == (1, 2)
    with counting as cost:
        assert queue.enqueue(1, id="order 17").is_new
    assert cost == (1, 4)
    with counting as cost:
        assert not queue.enqueue(1, id="order 17").is_new
    assert cost == (1, 3)


def test_enqueue_many__10_000_jobs_in_20_requests(queue: Any, counting: Counting) -> None:
    with counting as cost:
        assert len(queue.enqueue_many({"to": f"user{number}@example.com"} for number in range(10_000))) == 10_000
    assert cost == (20, 40)
    assert queue.length() == 10_000


def test_enqueue_many__large_and_mixed(queue: Any, counting: Counting) -> None:
    with counting as cost:
        queue.enqueue_many(["x" * 150_000] * 5)
    assert cost == (3, 6)
    with counting as cost:
        queue.enqueue_many([1, Message(2, delay=60), 3])
    assert cost == (1, 3)
    with counting as cost:
        queue.enqueue_many([Message(number, id=f"id {number}") for number in range(100)])
    assert cost == (1, 103)
    with counting as cost:
        assert queue.enqueue_many([]) == []
    assert cost == (0, 0)


def test_reserve__budget(queue: Any, counting: Counting) -> None:
    with counting as cost:
        assert queue.reserve() == []
    assert cost == (1, 3)
    queue.enqueue_many(range(200))
    with counting as cost:
        assert len(queue.reserve()) == 1
    assert cost == (1, 4)
    with counting as cost:
        assert len(queue.reserve(100)) == 100
    assert cost == (1, 4)


def test_reserve__budget_of_what_returns(queue: Any, counting: Counting, turn_clock: Any) -> None:
    queue.enqueue_many(range(50))
    queue.reserve(50)
    turn_clock(100)
    with counting as cost:
        assert len(queue.reserve(50)) == 50
    assert cost == (1, 7)


def test_jobs__budget(queue: Any, counting: Counting) -> None:
    queue.enqueue_many(range(4))
    jobs = queue.reserve(4)
    calls: list[tuple[Callable[[], Any], tuple[int, int]]] = [
        (lambda: queue.acknowledge(jobs[0]), (1, 1)),
        (lambda: queue.extend(jobs[1]), (1, 1)),
        (lambda: queue.retry(jobs[1]), (1, 3)),
        (lambda: queue.bury(jobs[2], "no use"), (1, 3)),
        (lambda: queue.requeue(queue.dead_letters()), (2, 5)),
        (lambda: queue.length(), (1, 1)),
        (lambda: queue.purge(), (1, 3)),
    ]
    for call, expected in calls:
        with counting as cost:
            call()
        assert cost == expected
