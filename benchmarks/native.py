"""Rows of the native route: a Django cache's methods, and redis-py alone to the same effect."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import hiredis
import redis
from django.core.cache import caches

from benchmarks.peers import BARE_SOCKET, CACHES_TO_COMPARE, REDIS_PY, TASKS, THREADS, Task
from benchmarks.rounds import Burst, Row, burst_of
from django_upstash.operations import Command


def rows(client: redis.Redis, sock: socket.socket) -> Iterator[Row]:
    """Yield the rows; the caches they read have been filled. ``sock`` is connected to the server."""
    for task in TASKS:
        calls = {alias: task.with_cache(caches[alias]) for alias in CACHES_TO_COMPARE}
        calls[REDIS_PY] = task.with_redis(client)
        bursts = {name: _burst_of_right(name, task, call) for name, call in calls.items()}
        yield Row(f"native {task.name}", {**bursts, BARE_SOCKET: burst_of(_on(sock, task.command))})
    yield _threads_row(client)
    yield _request_row()


def _burst_of_right(name: str, task: Task, call: Callable[[], object]) -> Burst:
    result = call()
    if not task.is_right(result):
        raise RuntimeError(f"{name} does not do the work of {task.name!r}: it returned {result!r:.200}.")
    return burst_of(call)


def _on(sock: socket.socket, command: Command) -> Callable[[], object]:
    """Return the call that sends the command and receives as many bytes as its reply has."""
    payload = hiredis.pack_command(command)  # type: ignore[arg-type]
    buffer = bytearray(65536)
    length = _length_of_reply(sock, payload)

    def call() -> None:
        sock.sendall(payload)
        missing = length
        while missing > 0:
            missing -= sock.recv_into(buffer)

    return call


def _length_of_reply(sock: socket.socket, payload: bytes) -> int:
    reader = hiredis.Reader()
    sock.sendall(payload)
    length = 0
    while not length or reader.gets() is False:
        received = sock.recv(65536)
        reader.feed(received)
        length += len(received)
    return length


def _request_row() -> Row:
    """Return the row of a new cache object, as Django makes one for each request under ASGI, and its first get."""
    get = TASKS[0]
    contenders = {
        alias: burst_of(lambda alias=alias: get.with_cache(caches.create_connection(alias))())  # type: ignore[misc]
        for alias in CACHES_TO_COMPARE
    }
    return Row("native get of a cache made for a request", contenders)


def _threads_row(client: redis.Redis) -> Row:
    """Return the row in which 16 threads get and set by turns. Django makes each its own cache objects."""
    get, set = TASKS[:2]

    def makes_calls(alias: str) -> Callable[[], tuple[Callable[[], object], ...]]:
        return lambda: (get.with_cache(caches[alias]), set.with_cache(caches[alias]))

    # 16 connections each, by as many threads: redis-py's pools grow as they are asked.
    contenders = {alias: _in_threads(makes_calls(alias)) for alias in CACHES_TO_COMPARE}
    contenders[REDIS_PY] = _in_threads(lambda: (get.with_redis(client), set.with_redis(client)))
    return Row(f"native {THREADS} threads", contenders, operations=2 * THREADS, seconds=0.05)


def _in_threads(make_calls: Callable[[], tuple[Callable[[], object], ...]]) -> Burst:
    """Return the burst in which every thread makes the calls so many times, all at once."""
    threads = ThreadPoolExecutor(THREADS)
    barrier = Barrier(THREADS)

    def work(times: int) -> None:
        calls = make_calls()
        barrier.wait()  # so that no thread takes the work of two
        for _ in range(times):
            for call in calls:
                call()

    def burst(times: int) -> None:
        list(threads.map(work, [times] * THREADS))

    return burst
