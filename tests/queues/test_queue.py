"""What a queue promises, on both routes, synchronously and awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_upstash.exceptions import DataError, OutOfMemoryError, ReservationLostError
from django_upstash.queues import Backoff, Message, Queue, SignedJSONCodec
from tests.queues.conftest import MakeQueue
from tests.servers import Server

pytestmark = pytest.mark.matrix

Turn = Callable[[float], None]


def payloads(jobs: list[Any]) -> list[Any]:
    return [job.payload for job in jobs]


def test_jobs__come_in_order_and_go_when_acknowledged(open_queue: MakeQueue) -> None:
    queue = open_queue()
    for number in range(3):
        assert queue.enqueue({"number": number}).is_new
    assert queue.length() == 3
    first, second = queue.reserve(2)
    assert (first.payload, first.attempts, second.payload) == ({"number": 0}, 1, {"number": 1})
    queue.acknowledge(first)
    queue.acknowledge(second)
    assert payloads(queue.reserve(100)) == [{"number": 2}]
    assert queue.reserve() == []


@pytest.mark.parametrize("payload", [None, 1.5, "täxt \U0001f600\n", [1, {"a": None}], "\ud800", "- 0 0 0"])
def test_payloads__come_back(open_queue: MakeQueue, payload: Any) -> None:
    queue = open_queue("a {name} with:everything %")
    queue.enqueue(payload)
    (job,) = queue.reserve()
    assert job.payload == payload


@pytest.mark.parametrize("payload", [object(), float("nan"), {1, 2}])
def test_payloads__that_json_lacks_are_refused(make_queue: MakeQueue, payload: Any) -> None:
    with pytest.raises(DataError, match="JSON"):
        make_queue().enqueue(payload)


def test_signed_payloads__are_of_this_site_queue_and_job(make_queue: MakeQueue, valkey: Server) -> None:
    queue = make_queue(codec=SignedJSONCodec())
    queue.enqueue("mine")
    assert payloads(queue.reserve()) == ["mine"]
    queue.enqueue("other")
    (line,) = valkey.call("ZRANGE", "queue:{mail}:ready", "0", "-1")
    for forged in (line.replace(b"other", b"mine!"), line.replace(line[:5], b"12345"), line[:-39] + b'"x"'):
        valkey.call("DEL", "queue:{mail}:ready")
        valkey.call("ZADD", "queue:{mail}:ready", "0", forged)
        (job,) = queue.reserve()
        with pytest.raises(DataError, match="not signed"):
            _ = job.payload


def test_priorities__come_first_and_keep_the_order_within(open_queue: MakeQueue) -> None:
    queue = open_queue()
    for number, priority in enumerate([0, -100, 100, 0, 100, -1]):
        queue.enqueue(number, priority=priority)
    assert payloads(queue.reserve(6)) == [2, 4, 0, 3, 5, 1]


def test_delay__hides_a_job_until_it_is_due(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue(visibility=3600)
    queue.enqueue("later", delay=60)
    queue.enqueue("now")
    found, due_in = queue.try_reserve(2)
    assert payloads(found) == ["now"]
    assert 50 < due_in <= 60
    turn_clock(61)
    assert payloads(queue.reserve(2)) == ["later"]


def test_ttl__drops_what_nobody_took(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue(ttl=3600)
    queue.enqueue("short", ttl=10)
    queue.enqueue("long")
    queue.enqueue("delayed", delay=5, ttl=10)
    turn_clock(11)
    assert payloads(queue.reserve(3)) == ["long"]
    turn_clock(3600)
    assert queue.reserve(3) == []
    assert queue.stats()[:4] == (0, 0, 0, 0)


def test_ttl__does_not_drop_what_was_requeued(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue()
    queue.enqueue("letter", ttl=10)
    queue.bury(*queue.reserve())
    turn_clock(11)
    assert queue.requeue(queue.dead_letters()) == 1
    assert payloads(queue.reserve()) == ["letter"]


def test_reservation__ends_and_the_job_returns(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue(visibility=30)
    queue.enqueue("work")
    (lost,) = queue.reserve()
    assert queue.reserve() == []
    turn_clock(31)
    (again,) = queue.reserve()
    assert (again.id, again.attempts) == (lost.id, 2)
    for late in (queue.acknowledge, queue.extend, queue.retry, queue.bury):
        with pytest.raises(ReservationLostError, match="may be somebody else's"):
            late(lost)
    queue.acknowledge(again)
    assert queue.stats()[:4] == (0, 0, 0, 0)


def test_acknowledge__too_late_but_before_anybody_else_still_counts(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue()
    queue.enqueue("work")
    (job,) = queue.reserve()
    turn_clock(100)
    queue.acknowledge(job)
    assert queue.reserve() == []


def test_extend__keeps_the_reservation(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue(visibility=30)
    queue.enqueue("work")
    (job,) = queue.reserve()
    for _ in range(3):
        turn_clock(20)
        queue.extend(job)
    assert queue.reserve() == []
    queue.extend(job, 3600)
    turn_clock(3500)
    assert queue.reserve() == []
    queue.acknowledge(job)


def test_retry__delays_by_the_backoff(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue(backoff=Backoff(first=10, jitter=0))
    queue.enqueue("work", priority=7)
    (job,) = queue.reserve()
    assert queue.retry(job)
    assert queue.try_reserve()[0] == []
    turn_clock(11)
    (job,) = queue.reserve()
    assert (job.attempts, job.priority) == (2, 7)
    assert queue.retry(job, delay=0)
    assert payloads(queue.reserve()) == ["work"]


def test_dead_letters__are_kept_and_return_when_asked(open_queue: MakeQueue) -> None:
    queue = open_queue(max_attempts=2)
    queue.enqueue("poison")
    assert queue.retry(queue.reserve()[0], delay=0, reason="first: no")
    assert not queue.retry(queue.reserve()[0], delay=0, reason="second: no %")
    assert queue.reserve() == []
    (letter,) = queue.dead_letters()
    assert (letter.payload, letter.reason, letter.attempts) == ("poison", "second: no %", 2)
    assert queue.requeue(letter) == 1
    assert queue.requeue(letter) == 0
    (job,) = queue.reserve()
    assert (job.payload, job.attempts) == ("poison", 1)
    queue.bury(job)
    assert queue.stats().dead == 1
    assert queue.purge_dead_letters() == 1
    assert queue.dead_letters() == []


def test_dead_letters__are_what_kills_its_workers(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue(max_attempts=2, visibility=10)
    queue.enqueue("deadly")
    queue.enqueue("harmless", priority=-1)
    for _ in range(2):
        assert payloads(queue.reserve()) == ["deadly"]
        turn_clock(11)
    assert payloads(queue.reserve(2)) == ["harmless"]
    (letter,) = queue.dead_letters()
    assert (letter.payload, letter.reason) == ("deadly", "2 reservations ended without a word")


def test_requeue__any_number(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.enqueue_many(range(250))
    while jobs := queue.reserve(100):
        for job in jobs:
            queue.bury(job)
    letters = queue.dead_letters(count=200) + queue.dead_letters(count=200, offset=200)
    assert queue.requeue(letters) == 250
    assert queue.requeue([]) == 0
    assert queue.length() == 250


def test_ids__are_enqueued_once(open_queue: MakeQueue) -> None:
    queue = open_queue()
    assert queue.enqueue("first", id="order 17/ü") == ("order 17/ü", True)
    assert queue.enqueue("second", id="order 17/ü") == ("order 17/ü", False)
    (job,) = queue.reserve(2)
    assert (job.id, job.payload) == ("order 17/ü", "first")
    queue.acknowledge(job)
    added = queue.enqueue_many([Message(1, id="order 17/ü"), Message(2, id="new", delay=60), Message(3, id="new")])
    assert [one.is_new for one in added] == [False, True, False]
    assert queue.stats()[:3] == (0, 0, 1)


def test_purge__removes_all_jobs(open_queue: MakeQueue) -> None:
    queue = open_queue()
    queue.enqueue_many([1, 2, Message(3, delay=60)])
    (job,) = queue.reserve()
    assert queue.purge() == 3
    with pytest.raises(ReservationLostError):
        queue.acknowledge(job)
    assert queue.stats() == (0, 0, 0, 0, None)


def test_stats__tell_what_jobs_do(open_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = open_queue(visibility=3600)
    queue.enqueue("low", priority=-50)
    turn_clock(100)
    queue.enqueue_many([Message(number, priority=number) for number in range(4)])
    queue.enqueue("later", delay=60)
    queue.reserve(2)
    stats = queue.stats()
    assert stats[:4] == (3, 2, 1, 0)
    assert 100 <= stats.oldest_seconds < 160


def test_queues__are_apart(make_queue: MakeQueue) -> None:
    make_queue("a").enqueue(1)
    assert make_queue("a:ready").reserve() == []
    assert payloads(make_queue("a").reserve()) == [1]


def test_what_is_no_job__does_not_stand_in_the_way(make_queue: MakeQueue, valkey: Server) -> None:
    queue = make_queue()
    for place in ("ready", "waiting"):
        valkey.call("ZADD", f"queue:{{mail}}:{place}", "0", "nonsense", "0", "a 0 0 0 x - 1", "0", b"\xff 0 0 0 0 - 1")
    queue.enqueue("work")
    assert payloads(queue.reserve(10)) == ["work"]
    assert valkey.call("ZCARD", "queue:{mail}:dead") == 3
    assert queue.dead_letters() == []


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda queue: Queue(""), "name"),
        (lambda queue: Queue("x", max_attempts=0), "max_attempts must be from 1"),
        (lambda queue: Queue("x", visibility=0), "visibility must be a number of seconds above 0"),
        (lambda queue: Queue("x", ttl=-1), "ttl must be"),
        (lambda queue: Backoff(first=-1), "backoff"),
        (lambda queue: queue.enqueue(1, priority=101), "from -100 to 100"),
        (lambda queue: queue.enqueue(1, priority=1.5), "from -100 to 100"),
        (lambda queue: queue.enqueue(1, delay=float("inf")), "delay must be"),
        (lambda queue: queue.enqueue(1, delay=True), "delay must be"),
        (lambda queue: queue.enqueue(1, id="x" * 201), "id must be a text"),
        (lambda queue: queue.enqueue(1, id=17), "id must be a text"),
        (lambda queue: queue.reserve(0), "n must be from 1 to 100"),
    ],
)
def test_mistakes__are_said(make_queue: MakeQueue, call: Callable[[Queue], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call(make_queue())


def test_repr__shows_no_payload(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.enqueue("secret", id="7")
    assert repr(queue.reserve()) == "[<Job 7 of mail, attempt 1>]"


def test_clock__that_is_corrected_keeps_the_order(make_queue: MakeQueue, turn_clock: Turn) -> None:
    queue = make_queue()
    queue.enqueue("first")
    turn_clock(-0.5)
    queue.enqueue("second")
    assert payloads(queue.reserve(2)) == ["first", "second"]


@pytest.fixture
def full_server(valkey: Server) -> Iterator[Callable[[], Any]]:
    """Return a function that fills the server, which then refuses commands that may need memory."""
    yield lambda: valkey.call("CONFIG", "SET", "maxmemory", "1")
    valkey.call("CONFIG", "SET", "maxmemory", "0")


def test_extend__of_a_full_server(
    open_queue: MakeQueue, full_server: Callable[[], Any], turn_clock: Turn, valkey: Server
) -> None:
    queue = open_queue(visibility=60)
    queue.enqueue_many(["one", "two", "three"])
    first, second, third = queue.reserve(3)
    full_server()
    with pytest.raises(OutOfMemoryError):
        queue.enqueue("more")
    turn_clock(50)
    queue.extend(first)
    queue.acknowledge(third)
    assert queue.extend_several([first, second, third]) == [True, True, False]
    with pytest.raises(ReservationLostError):
        queue.extend(third)
    turn_clock(50)
    assert queue.reserve(3) == []
    for job in (first, second):
        score = float(valkey.call("ZSCORE", "queue:{mail}:waiting", job.line))
        assert score == job.deadline
        queue.acknowledge(job)
