"""Many contenders, in threads, tasks and processes that are paused and killed."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from django_upstash.locks import Lock
from tests.servers import Server

ROOT = Path(__file__).resolve().parent.parent.parent
CONTENDERS = 32


class Room:
    """Where one at a time may be."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._inside = 0
        self.visits = self.most = 0

    def __enter__(self) -> None:
        with self._guard:
            self._inside += 1
            self.visits += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *exception: object) -> None:
        with self._guard:
            self._inside -= 1


def test_threads__are_inside_one_at_a_time(upstash: dict[str, dict[str, Any]]) -> None:
    room = Room()

    def visit(number: int) -> None:
        with Lock("room", 60, alias=("native", "rest")[number % 2], fencing=number % 3 == 0), room:
            time.sleep(0.002)

    with ThreadPoolExecutor(CONTENDERS) as pool:
        list(pool.map(visit, range(CONTENDERS)))
    assert (room.visits, room.most) == (CONTENDERS, 1)


def test_tasks__are_inside_one_at_a_time(upstash: dict[str, dict[str, Any]]) -> None:
    room = Room()

    async def visit(number: int) -> None:
        async with Lock("room", 60, alias=("native", "rest")[number % 2]):
            with room:
                await asyncio.sleep(0.002)

    async def visit_all() -> None:
        await asyncio.gather(*(visit(number) for number in range(CONTENDERS)))

    asyncio.run(visit_all())
    assert (room.visits, room.most) == (CONTENDERS, 1)


# Holds the lock for longer than its lease now and then, and goes on to write. The resource notes who wrote with which
# number, whether it took that, and whether the writer held the lock in this moment.
WORKER = """
import json, random, sys, time
import django
from django.conf import settings
entry, seed = json.loads(sys.argv[1])
settings.configure(SECRET_KEY="x", UPSTASH={"default": entry})
django.setup()
from django_upstash.connections import connections
from django_upstash.locks import Lock
from django_upstash.operations import command

RESOURCE = '''
local held = redis.call('GET', KEYS[1]) == ARGV[1]
local taken = tonumber(ARGV[2]) >= tonumber(redis.call('GET', KEYS[2]) or '0')
if taken then
  redis.call('SET', KEYS[2], ARGV[2])
end
redis.call('RPUSH', KEYS[3], cjson.encode({ARGV[1], ARGV[2], taken, held}))
'''
random.seed(seed)
print("ready", flush=True)
while True:
    lock = Lock("job", 0.1, wait=None, fencing=True)
    try:
        with lock:
            writer = lock.token, str(lock.fencing_number)
            for _ in range(random.randrange(1, 4)):
                time.sleep(random.choice([0, 0.005, 0.02, 0.15]))
                connections["default"].run(command("EVAL", RESOURCE, 3, "lock:job", "highest", "writes", *writer))
    except Exception as error:
        if type(error).__name__ != "LockLost":
            raise
"""


@pytest.mark.parametrize(
    ("route", "seconds"),
    [
        ("native", 1.5),
        pytest.param("native", 20, marks=pytest.mark.slow),
        pytest.param("rest", 20, marks=pytest.mark.slow),
    ],
)
def test_processes__paused_and_killed_never_write_late(
    upstash: dict[str, dict[str, Any]], valkey: Server, route: str, seconds: float
) -> None:
    chance = random.Random(seconds)
    workers = [start(upstash[route], chance.random()) for _ in range(3)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            victim = chance.randrange(len(workers))
            workers[victim].send_signal(signal.SIGSTOP)
            time.sleep(chance.uniform(0.0, 0.2))
            if chance.random() < 0.2:
                end_worker(workers[victim])
                workers[victim] = start(upstash[route], chance.random())
            workers[victim].send_signal(signal.SIGCONT)
            time.sleep(chance.uniform(0.0, 0.05))
        assert [worker.poll() for worker in workers] == [None] * len(workers)
    finally:
        for worker in workers:
            end_worker(worker)
    check_writes([json.loads(line) for line in valkey.call("LRANGE", "writes", "0", "-1")])


def check_writes(writes: list[tuple[str, str, bool, bool]]) -> None:
    assert len({token for token, *_ in writes}) > 3
    highest = 0
    number_of: dict[str, int] = {}
    for token, text, was_taken, held_the_lock in writes:
        number = int(text)
        assert number_of.setdefault(token, number) == number
        assert was_taken is (number >= highest)
        assert was_taken or not held_the_lock, "the holder of the lock was taken for a stale one"
        highest = max(highest, number)
    assert len(set(number_of.values())) == len(number_of), "two holders had the same number"


def start(entry: dict[str, Any], seed: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WORKER, json.dumps([entry, seed])]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def end_worker(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.communicate()
