"""Processes fork, threads crowd, event loops come and go: what a route must survive."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.wire.batching import PROBATION
from tests.servers import Server


def in_child(work: Callable[[], Any], fork: Callable[[], int] = os.fork) -> Callable[[], Any]:
    """Fork, run ``work`` in the child, and return a function that waits for its JSON result."""
    reading, writing = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)

    def wait() -> Any:
        with os.fdopen(reading, "rb") as pipe:
            result = pipe.read()
        os.waitpid(pid, 0)
        return json.loads(result)

    return wait


def echo_many(connection: Connection, name: str, count: int = 200) -> list[str]:
    """Return the replies that were not the caller's own."""
    sent = [f"{name}-{n}" for n in range(count)]
    got = [connection.run(command("ECHO", text)).decode() for text in sent]
    return [reply for text, reply in zip(sent, got, strict=True) if reply != text]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork__children_and_parent_get_their_own_replies(connection: Connection, fork: Callable[[], int]) -> None:
    connection.ping()
    waits = [in_child(lambda name=f"child{n}": echo_many(connection, name), fork) for n in range(4)]  # type: ignore[misc]
    assert echo_many(connection, "parent") == []
    assert [wait() for wait in waits] == [[]] * 4


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork__after_async_use_and_while_threads_are_busy(connection: Connection) -> None:
    async def use() -> None:
        for _ in range(PROBATION + 2):
            await connection.arun(command("PING"))

    asyncio.run(use())
    stop = threading.Event()
    busy = [threading.Thread(target=lambda: [connection.ping() for _ in iter(stop.is_set, True)]) for _ in range(4)]
    for thread in busy:
        thread.start()

    def work() -> list[str]:
        asyncio.run(use())
        return echo_many(connection, "child", 50)

    waits = [in_child(work) for _ in range(3)]
    wrong = [wait() for wait in waits]
    stop.set()
    for thread in busy:
        thread.join()
    assert wrong == [[]] * 3


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("turns", [50, pytest.param(334, marks=pytest.mark.slow)])
def test_threads__lose_and_mix_up_nothing(connection: Connection, turns: int) -> None:
    """32 threads, each with three operations a turn: 1,000 of them in the long run."""
    wrong: list[Any] = []

    def work(name: int) -> None:
        try:
            for n in range(turns):
                mine = f"{name}-{n}"
                connection.run(command("SET", f"t{name}", mine))
                if connection.run(command("GET", f"t{name}")) != mine.encode():
                    wrong.append(mine)
                connection.run(command("INCR", "total"))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert connection.run(command("GET", "total")) == str(32 * turns).encode()
    assert connection.route.open_connections <= connection.settings.max_connections


@pytest.mark.default_cases(3)
@pytest.mark.usefixtures("each_loop")
def test_loops__one_after_the_other_leave_nothing_behind(connection: Connection) -> None:
    kept: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def use() -> None:
        kept.append(weakref.ref(asyncio.get_running_loop()))
        for n in range(PROBATION + 5):
            assert await connection.arun(command("ECHO", n)) == str(n).encode()

    for _ in range(5):
        asyncio.run(use())
    gc.collect()
    assert [loop() for loop in kept] == [None] * 5


@pytest.mark.usefixtures("each_loop")
def test_loops__side_by_side_in_threads(connection: Connection) -> None:
    wrong: list[Any] = []

    async def use(name: int) -> None:
        for _ in range(30):
            texts = [f"{name}-{n}" for n in range(10)]
            replies = await asyncio.gather(*(connection.arun(command("ECHO", text)) for text in texts))
            if [reply.decode() for reply in replies] != texts:
                wrong.append(replies)

    threads = [threading.Thread(target=lambda name=name: asyncio.run(use(name))) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("route", ["native"], indirect=True)  # of REST's connections the server knows nothing
def test_loops__short_ones_pay_no_handshake(connection: Connection, valkey: Server) -> None:
    connection.ping()

    async def view() -> bytes:
        await connection.arun(command("SET", "k", "v"))
        value: bytes = await connection.arun(command("GET", "k"))
        return value

    with valkey.counting() as counted:
        assert [async_to_sync(view)() for _ in range(20)] == [b"v"] * 20
    assert counted.connections == 0


@pytest.mark.usefixtures("each_loop")
def test_close__while_a_loop_is_running(connection: Connection) -> None:
    async def main() -> list[bytes]:
        before = [await connection.arun(command("ECHO", n)) for n in range(PROBATION + 2)]
        connection.close()
        await asyncio.sleep(0.01)
        after = [await connection.arun(command("ECHO", n)) for n in range(PROBATION + 2)]
        return before + after

    assert asyncio.run(main()) == [str(n).encode() for n in range(PROBATION + 2)] * 2
