"""Lines that somebody with write access has forged or damaged: they are buried, and hide no job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_upstash.exceptions import DataError, UpstashError
from django_upstash.queues import Queue
from django_upstash.queues.jobs import parsed
from tests import hostile
from tests.servers import Server

MakeQueue = Callable[..., Any]

NO_JOBS: dict[str, bytes] = {
    "empty": b"",
    "word": b"word",
    "priority_of_four_digits": b"id 1000 1 0 0 - 1",
    "priority_out_of_range": b"id 101 1 0 0 - 1",
    "negative_priority": b"id -101 1 0 0 - 1",
    "long_time": b"id 0 1234567890123456 0 0 - 1",
    "time_after_the_year_9999": b"id 0 999999999999999 0 0 - 1",
    "expires_after_the_year_9999": b"id 0 1 999999999999999 0 - 1",
    "long_attempts": b"id 0 1 0 1234567890 - 1",
    "negative_attempts": b"id 0 1 0 -1 - 1",
    "fraction": b"id 0.5 1 0 0 - 1",
    "exponent": b"id 1e1 1 0 0 - 1",
    "hexadecimal": b"id 0x1 1 0 0 - 1",
    "not_a_number": b"id nan 1 0 0 - 1",
    "other_digits": "id \u0661 1 0 0 - 1".encode(),
    "missing_fields": b"id 0 1 0 0",
    "missing_payload": b"id 0 1 0 0 -",
    "no_id": b" 0 1 0 0 - 1",
    "two_spaces": b"id  0 1 0 0 - 1",
    **{f"payload_{name}": b'id 0 1 0 0 - "' + value + b'"' for name, value in hostile.BYTES.items()},
}
NO_PAYLOADS: dict[str, str] = {
    "deep": "[" * 100_000,
    "deep_and_closed": "[" * 50_000 + "]" * 50_000,
    "deep_objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "huge_number": "9" * 10_000,
    "not_a_number": "NaN",
    "infinity": "-Infinity",
    "nothing": "",
    "code": "__import__('os')",
    "trailing": "1 2",
}


def bytes_of(place: str, queue: Queue) -> str:
    return str(getattr(queue.keys, place))


@pytest.mark.default_cases(53)
@pytest.mark.parametrize("line", hostile.cases(NO_JOBS))
@pytest.mark.parametrize("place", ["ready", "waiting"])
def test_line__that_is_no_job_is_a_dead_letter(
    open_queue: MakeQueue, valkey: Server, line: bytes, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = open_queue("mail")
    valkey.call("ZADD", bytes_of(place, queue), "1", line)
    queue.enqueue("good")
    (job,) = queue.reserve()
    assert job.payload == "good"
    queue.acknowledge(job)
    assert valkey.call("ZRANGE", queue.keys.dead, "0", "-1") == [line]
    found = queue.stats()
    assert (found.ready, found.in_flight, found.delayed, found.dead) == (0, 0, 0, 1)
    assert queue.dead_letters() == asyncio.run(queue.adead_letters()) == []
    said = [record.getMessage() for record in caplog.records if record.name == "django_upstash.queues"]
    assert said == ["Of the dead letters of queue 'mail', 1 are damaged and cannot be read."] * 2
    assert queue.purge_dead_letters() == 1


@pytest.mark.parametrize("text", hostile.cases(NO_PAYLOADS))
def test_payload__that_is_none(open_queue: MakeQueue, valkey: Server, text: str) -> None:
    queue = open_queue("mail")
    valkey.call("ZADD", queue.keys.ready, "1", f"id 0 1 0 0 - {text}")
    (job,) = queue.reserve()
    with pytest.raises(DataError, match="not JSON"):
        _ = job.payload
    queue.bury(job, "damaged")
    assert [letter.reason for letter in queue.dead_letters()] == ["damaged"]


@pytest.mark.parametrize("score", ["-inf", "+inf", "-1e300", "1e300", "-1", "0.5", "9007199254740993"])
@pytest.mark.parametrize("place", ["ready", "waiting"])
def test_score__that_nobody_here_has_written(open_queue: MakeQueue, valkey: Server, score: str, place: str) -> None:
    queue = open_queue("mail")
    valkey.call("ZADD", bytes_of(place, queue), score, "forged 0 1 0 0 - 1")
    queue.enqueue("good")
    assert queue.stats().ready >= 1
    found = queue.reserve(10)
    assert '"good"' in {job.record.payload for job in found}
    queue.reserve()
    queue.stats()


@pytest.mark.parametrize("id", ["%FF", "%ED%A0%80", "%", "%zz", "%0A%1B"])
def test_id__that_is_no_quoted_text(open_queue: MakeQueue, valkey: Server, id: str) -> None:
    queue = open_queue("mail")
    valkey.call("ZADD", queue.keys.ready, "1", f"{id} 0 1 0 0 - 1")
    (job,) = queue.reserve()
    assert isinstance(job.id, str)
    assert id in repr(job) or job.id in repr(job)
    assert job.enqueued_at.year == 1970
    queue.acknowledge(job)


@pytest.mark.parametrize("place", ["ready", "waiting", "dead"])
def test_key__of_another_type_is_an_error_of_the_server(open_queue: MakeQueue, valkey: Server, place: str) -> None:
    queue = open_queue("mail")
    valkey.call("SET", bytes_of(place, queue), "text")
    with pytest.raises(UpstashError):
        queue.stats()


FIELDS = st.one_of(
    st.integers(-2000, 2000).map(str),
    st.integers(0, 10**17).map(str),
    st.sampled_from(["-", "id", "", "0", "00", "-0", "+1", "1.0", "%41", "\x00", "\x0b", "é", "\u2028", "\u0663"]),
)
LINES = st.one_of(
    st.binary(max_size=60),
    st.lists(FIELDS, min_size=5, max_size=9).map(lambda fields: " ".join(fields).encode()),
    st.tuples(st.integers(-105, 105), st.integers(0, 10**15), st.integers(0, 2000), st.binary(max_size=8)).map(
        lambda parts: f"id {parts[0]} {parts[1]} 0 {parts[2]} - ".encode() + parts[3]
    ),
)


@pytest.mark.parametrize("route", ["native"])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINES)
def test_lines__are_jobs_for_the_server_and_for_this_process_alike(
    make_queue: MakeQueue, valkey: Server, line: bytes
) -> None:
    queue = make_queue("agreement", max_attempts=999)
    valkey.call("DEL", queue.keys.ready, queue.keys.waiting, queue.keys.dead)
    valkey.call("ZADD", queue.keys.ready, "1", line)
    queue.reserve()
    record = parsed(line)
    has_expired = record is not None and 0 < record.expires <= time.time() * 1000  # such a job is dropped
    is_buried = record is None or (record.attempts >= 999 and not has_expired)
    assert (valkey.call("ZCARD", queue.keys.dead) == 1) is is_buried
