"""Many processes, threads and tasks at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from django_upstash.breaker import CircuitBreaker, CircuitOpen, State
from tests.breaker.conftest import Elapse, Failure, MakeBreaker, Start, fail, succeed

ROOT = Path(__file__).resolve().parent.parent.parent
PROCESSES = 16

# Opens a circuit, becomes sixteen processes once it may be probed, and has each of them call at the same time. Who is
# let through stays inside until all have said what came of it.
WORKERS = """
import json, os, sys, time
import django
from django.conf import settings
entry, probes, processes = json.loads(sys.argv[1])
options = {"TIMEOUT": 0.05, "FAILURE_THRESHOLD": 1, "PROBES": probes, "REDIS_TIMEOUT": 60}
settings.configure(SECRET_KEY="x", UPSTASH={"default": entry}, UPSTASH_BREAKER=options)
django.setup()
from django_upstash.breaker import CircuitBreaker, CircuitOpen
breaker = CircuitBreaker("stripe")
try:
    with breaker:
        raise ValueError
except ValueError:
    pass
assert breaker.state == "open"
time.sleep(0.1)
(go, start), (said, say), (end, hold) = os.pipe(), os.pipe(), os.pipe()
children = []
for _ in range(processes):
    child = os.fork()
    if child:
        children.append(child)
        continue
    os.close(start)
    os.close(hold)
    os.read(go, 1)
    try:
        with breaker:
            os.write(say, b"p")
            os.read(end, 1)
    except CircuitOpen:
        os.write(say, b"r")
    finally:
        os._exit(0)
os.close(start)
os.close(say)
words = b""
while len(words) < processes:
    more = os.read(said, processes)
    if not more:
        break
    words += more
os.close(hold)
for child in children:
    os.waitpid(child, 0)
print(words.decode(), flush=True)
"""


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("probes", [1, 3])
def test_half_open__exactly_so_many_probes_in_all_processes(
    upstash: dict[str, dict[str, Any]], route: str, probes: int
) -> None:
    argument = json.dumps([upstash[route], probes, PROCESSES])
    command = [sys.executable, "-W", "error", "-c", WORKERS, argument]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert sorted(ran.stdout.strip()) == ["p"] * probes + ["r"] * (PROCESSES - probes)


def test_closed__calls_are_not_serialised(make_breaker: MakeBreaker) -> None:
    breaker = make_breaker()
    together = threading.Barrier(10)

    def wait_for_all(number: int) -> None:
        with breaker:
            together.wait(timeout=60)  # breaks unless all ten are inside at the same time

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(wait_for_all, range(10)))
    assert breaker.stats.successes >= 10


def test_closed__tasks_are_not_serialised(make_breaker: MakeBreaker) -> None:
    breaker = make_breaker()
    inside, most = [0], [0]

    async def enter(everybody: asyncio.Event) -> None:
        async with breaker:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            if inside[0] == 10:
                everybody.set()
            await everybody.wait()

    async def main() -> None:
        everybody = asyncio.Event()
        await asyncio.wait_for(asyncio.gather(*(enter(everybody) for _ in range(10))), 60)

    asyncio.run(main())
    assert most == [10]


def test_half_open__probes_are_not_serialised(make_breaker: MakeBreaker) -> None:
    breaker = make_breaker("several", failure_threshold=1, timeout=0.001, probes=10)
    with pytest.raises(Failure):
        breaker.call(fail)
    together = threading.Barrier(10)

    def wait_for_all(number: int) -> None:
        while True:
            try:
                with breaker:
                    together.wait(timeout=60)
                return
            except CircuitOpen:
                continue

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(wait_for_all, range(10)))


def test_threads__count_every_call(make_breaker: MakeBreaker) -> None:
    breaker = make_breaker("counted", failure_threshold=1_000_000)

    def call(number: int) -> None:
        for step in (succeed, fail):
            try:
                breaker.call(step)
            except Failure:
                continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(200)))
    assert (breaker.stats.calls, breaker.stats.successes, breaker.stats.failures) == (400, 200, 200)


def test_opening__is_learned_at_the_first_failure(start: Start) -> None:
    one, other = start(failure_threshold=2), start(failure_threshold=2)
    assert [one.tries(fail) for _ in range(2)] == ["failed"] * 2
    assert one.state is State.OPEN
    assert [other.tries(step) for step in (succeed, fail, succeed)] == ["passed", "failed", "refused"]
    assert other.stats.opens == 0


def test_failures__of_all_processes_make_a_row(start: Start) -> None:
    processes = [start(failure_threshold=5) for _ in range(5)]
    assert [process.tries(fail) for process in processes] == ["failed"] * 5
    assert [process.state for process in processes] == [State.CLOSED] * 4 + [State.OPEN]


def test_success__of_the_process_that_fails_ends_the_row_of_all(start: Start) -> None:
    one, other = start(failure_threshold=2), start(failure_threshold=2)
    assert other.tries(succeed) == "passed"
    assert [one.tries(fail), other.tries(fail)] == ["failed"] * 2
    assert other.state is State.CLOSED


def test_dead_prober__frees_its_place(start: Start, elapse: Elapse) -> None:
    one, other = (start(failure_threshold=1, timeout=30, probe_timeout=60) for _ in range(2))
    one.tries(fail)
    other.tries(fail)
    elapse(31, one, other)
    with one.probing():
        assert other.tries(succeed) == "refused"
        elapse(61, one, other)
        assert other.tries(succeed) == "passed"
    assert other.read().state is State.HALF_OPEN  # a success, and one that came too late to count


def test_late_answers__say_nothing_about_now(start: Start, elapse: Elapse) -> None:
    process = start(failure_threshold=1, success_threshold=1, timeout=30)
    with process.probing():  # let through while closed, and slow
        process.tries(fail)
        elapse(31, process)
        assert process.tries(succeed) == "passed"
        assert process.state is State.CLOSED
    assert process.state is State.CLOSED


def test_same_name__is_one_circuit(make_breaker: MakeBreaker) -> None:
    one, other = make_breaker("same", failure_threshold=1), CircuitBreaker("same", alias=make_breaker().options.alias)
    with pytest.raises(Failure):
        one.call(fail)
    with pytest.raises(CircuitOpen):
        other.call(succeed)


@pytest.mark.parametrize(("probes", "expected"), [(1, "refused"), (2, "passed")])
def test_half_open__a_question_under_way_holds_up_nobody_else(
    start: Start, elapse: Elapse, probes: int, expected: str
) -> None:
    process = start(failure_threshold=1, timeout=30, refresh=None, probes=probes)
    process.tries(fail)
    elapse(31, process)
    asking = process.breaker._enter()
    next(asking)  # its question has not been answered yet
    assert process.tries(succeed) == expected
    asking.close()  # nor will it be
    assert process.tries(succeed) == "passed"
