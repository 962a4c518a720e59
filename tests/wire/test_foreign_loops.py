"""
Loops and transports of other people: whatever a step of theirs raises, each caller gets a typed error in time.

The faults are in subclasses of asyncio's loop and in what stands between it and its transports, for one connection
after another: nothing of this package is replaced.
"""

from __future__ import annotations

import ast
import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import django_upstash
from django_upstash.connections import Connection
from django_upstash.exceptions import UpstashError
from django_upstash.operations import command
from django_upstash.settings.conf import make_settings
from django_upstash.wire.batching import PROBATION
from tests.loops import new_loop, on_each_loop, run
from tests.servers import Server
from tests.wire.test_faults import rest_entry

TIMEOUT = 0.5
ANSWERED = 30.0  # a loaded machine's time, which is far from for ever


class Fault(Exception):
    """What no part of the package expects."""


class Transport:
    """A transport that belongs to no class of asyncio's, as uvloop's do, and fails where it is told to."""

    def __init__(self, loop: FaultyLoop, wrapped: Any) -> None:
        self._loop, self._wrapped = loop, wrapped

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asyncio's own: start_tls asks for it
            return getattr(self._wrapped, name)
        self._loop.perhaps_fail(name)
        return getattr(self._wrapped, name)


class Protocol(asyncio.Protocol):
    """Stands between a transport and the wire; what it raises a loop only logs, as any callback's error."""

    def __init__(self, loop: FaultyLoop, wrapped: Any) -> None:
        self._loop, self.wrapped = loop, wrapped

    def connection_made(self, transport: Any) -> None:
        self.wrapped.connection_made(Transport(self._loop, transport))
        self._loop.perhaps_fail("connection_made")

    def data_received(self, data: bytes) -> None:
        self._loop.perhaps_fail("data_received")
        self.wrapped.data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.wrapped.connection_lost(error)


class FaultyLoop(asyncio.SelectorEventLoop):
    """Fails at one step, each time from when it is told to."""

    failing: str | None = None

    def perhaps_fail(self, step: str) -> None:
        if step == self.failing:
            raise Fault(step)

    async def create_connection(self, factory: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.perhaps_fail("create_connection")
        made: list[Any] = []

        def wrap() -> Protocol:
            made.append(factory())
            return Protocol(self, made[-1])

        transport, _ = await super().create_connection(wrap, *args, **kwargs)
        return Transport(self, transport), made[-1]

    def create_task(self, coroutine: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        if getattr(coroutine, "__qualname__", "").startswith(("NativeLane", "RestLane")):
            self.perhaps_fail("create_task")
        return super().create_task(coroutine, **kwargs)

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.perhaps_fail("call_soon_threadsafe")
        return super().call_soon_threadsafe(*args, **kwargs)

    def call_at(self, when: float, callback: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        if "django_upstash" in str(callback):  # not the test's own timers
            self.perhaps_fail("call_at")
        return super().call_at(when, callback, *args, **kwargs)

    def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        self.perhaps_fail("getaddrinfo")
        return super().getaddrinfo(*args, **kwargs)


@pytest.fixture(params=["native", "rest"])
def route(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hasty(request: pytest.FixtureRequest, route: str, valkey: Server) -> Iterator[Connection]:
    entry = rest_entry(request) if route == "rest" else {"URL": f"redis://localhost:{valkey.port}"}
    connection = Connection(
        make_settings("hasty", {**entry, "TIMEOUT": TIMEOUT, "POOL_TIMEOUT": 10 * TIMEOUT, "RETRIES": 1})
    )
    yield connection
    connection.close()


STEPS = [
    *("write", "is_closing", "get_extra_info", "abort", "create_connection", "connection_made", "data_received"),
    *("create_task", "call_at", "getaddrinfo"),
]


async def outcome(connection: Connection, name: str) -> Any:
    """Return the result or the error of a command, which must come."""
    try:
        return await asyncio.wait_for(connection.arun(command(name, "n")), ANSWERED)
    except UpstashError as error:
        return error


async def while_failing(loop: FaultyLoop, connection: Connection, step: str, name: str) -> list[Any]:
    calls = [asyncio.ensure_future(outcome(connection, name)) for _ in range(3)]
    loop.failing = step
    try:
        _, waiting = await asyncio.wait(calls)
    finally:
        loop.failing = None
    assert not waiting
    return [call.result() for call in calls]


@pytest.mark.default_cases(23)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", ["GET", "INCR"])
@pytest.mark.parametrize("is_open", [False, True], ids=["a new connection", "an open one"])
@pytest.mark.parametrize("step", STEPS)
def test_each_step__that_fails_is_its_callers_error_and_no_more(
    hasty: Connection, step: str, is_open: bool, name: str
) -> None:
    hasty.run(command("DEL", "n"))
    ended: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FaultyLoop)
        loop.set_exception_handler(lambda loop, context: None)  # which is all that a loop does with them
        for _ in range(PROBATION + is_open):
            await hasty.arun(command("PING"))
        await asyncio.sleep(0.02)  # so that an open wire is looked at
        ended.extend(await while_failing(loop, hasty, step, name))
        # Afterwards all is as before.
        assert await outcome(hasty, "TYPE") in (b"none", b"string")

    with asyncio.Runner(loop_factory=FaultyLoop) as runner:
        runner.run(main())
    for result in ended:
        assert isinstance(result, UpstashError) or result is None or isinstance(result, int | bytes), result


@pytest.mark.parametrize("when", ["before it ran", "under way"])
def test_cancelled_task__of_a_lane_answers_its_callers(hasty: Connection, when: str) -> None:
    async def main() -> None:
        for _ in range(PROBATION):
            await hasty.arun(command("PING"))
        caller = asyncio.ensure_future(hasty.arun(command("INCR", "n")))
        mine = {caller, asyncio.current_task()}
        while not (others := asyncio.all_tasks() - mine):
            await asyncio.sleep(0)
        if when == "under way":
            await asyncio.sleep(0)
        for task in others:
            task.cancel()
        with pytest.raises(UpstashError):
            await asyncio.wait_for(caller, ANSWERED)
        assert await outcome(hasty, "TYPE") in (b"none", b"string")

    asyncio.run(main())


@pytest.mark.slow
def test_answers_of_threads__that_never_arrive_end_at_a_deadline(hasty: Connection) -> None:
    """The way back from a thread is the loop's, too."""

    class Lossy(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, callback: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            if getattr(callback, "__name__", "") == "finish":
                raise RuntimeError("lost")
            return super().call_soon_threadsafe(callback, *args, **kwargs)

    async def main() -> Any:
        return await asyncio.wait_for(outcome(hasty, "GET"), ANSWERED)

    with asyncio.Runner(loop_factory=Lossy) as runner:
        assert isinstance(runner.run(main()), UpstashError)


@pytest.mark.parametrize("alias", ["native", "rest", "embedded"])
@on_each_loop
def test_many_commands__in_each_loop(upstash: dict[str, dict[str, Any]], alias: str, loop: str) -> None:
    connection = Connection(make_settings(alias, {**upstash[alias], "TIMEOUT": 5}))

    async def main() -> list[Any]:
        for n in range(3 * PROBATION):
            assert await asyncio.wait_for(connection.arun(command("ECHO", n)), 10) == str(n).encode()
        return await asyncio.gather(*(connection.arun(command("ECHO", n)) for n in range(200)))

    try:
        assert run(main(), loop) == [str(n).encode() for n in range(200)]
    finally:
        connection.close()


@pytest.mark.parametrize("is_settled", [False, True])
@pytest.mark.parametrize("alias", ["native", "rest"])
def test_new_loop__after_the_main_thread_has_ended(
    upstash: dict[str, dict[str, Any]], valkey: Server, alias: str, is_settled: bool
) -> None:
    """A thread that goes on in a process that is ending may use a new loop, and a name, which a thread must resolve."""
    names = {
        "native": f"redis://localhost:{valkey.port}",
        "rest": upstash["rest"]["URL"].replace("127.0.0.1", "localhost"),
    }
    entry = json.dumps({**upstash[alias], "URL": names[alias]})
    script = f"""
import asyncio, threading, time
from django.conf import settings
settings.configure(SECRET_KEY="x")
from django_upstash.settings.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.operations import command
from django_upstash.wire import batching
batching.PROBATION_SECONDS = {0 if is_settled else 10}
connection = Connection(make_settings("x", {entry}))

async def several():
    return [await connection.arun(command("ECHO", n)) for n in range(40)]

def late():
    threading.main_thread().join()
    for _ in range(2):
        print(asyncio.run(several())[-1], flush=True)

threading.Thread(target=late).start()
"""
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["b'39'"] * 2, done.stderr


def blocked_now_and_then(connection: Connection, seconds: float) -> Callable[[int], Any]:
    async def call(ticks: int) -> Any:
        asked = asyncio.ensure_future(connection.arun(command("ECHO", ticks)))
        for _ in range(ticks):
            await asyncio.sleep(0)
        time.sleep(seconds)  # other code, in the loop
        return await asked

    return call


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("alias", ["native", "rest"])
@on_each_loop
def test_blocked_loop__is_no_timeout(upstash: dict[str, dict[str, Any]], alias: str, loop: str, valkey: Server) -> None:
    entry = {**upstash[alias], "TIMEOUT": 0.5, "RETRIES": 0}
    if alias == "native":
        entry["URL"] = valkey.tcp_url
    connection = Connection(make_settings(alias, entry))

    async def main() -> list[Any]:
        call = blocked_now_and_then(connection, 0.7)
        for _ in range(PROBATION):
            await connection.arun(command("PING"))
        replies = [await call(ticks) for ticks in range(6)]  # the first opens the connection
        connection.close()
        await asyncio.sleep(0.01)
        connection.route._lanes.current()._batches = PROBATION  # type: ignore[attr-defined]
        return [*replies, await call(4)]

    try:
        assert run(main(), loop) == [*(str(n).encode() for n in range(6)), b"4"]
        assert connection.availability.is_up
    finally:
        connection.close()


def test_loops_of_threads__stay_on_the_threads_connections(valkey: Server) -> None:
    """``async_to_sync`` in a WSGI thread: a loop for each call, with many batches in it."""
    connection = Connection(make_settings("native", {"URL": valkey.url, "MAX_CONNECTIONS": 4}))
    wrong: list[Any] = []

    async def view() -> None:
        for n in range(3 * PROBATION):
            if await connection.arun(command("ECHO", n)) != str(n).encode():
                wrong.append(n)

    def work() -> None:
        for _ in range(2):
            asyncio.run(view())

    connection.ping()
    with valkey.counting() as counted:
        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    connection.close()
    assert wrong == []
    assert counted.connections <= 3


@pytest.mark.parametrize("route", ["native", "rest"], indirect=True)
def test_loops__that_stay_and_threads_have_no_more_connections_together_than_allowed(
    hasty: Connection, route: str, monkeypatch: pytest.MonkeyPatch, valkey: Server
) -> None:
    monkeypatch.setattr("django_upstash.wire.batching.PROBATION_SECONDS", 0.0)
    from django_upstash.wire.retrying import PooledRoute

    before = valkey.connections()

    wired = hasty.route
    assert isinstance(wired, PooledRoute)
    most = hasty.settings.max_connections
    together = threading.Barrier(most + 5)
    taken: list[int] = []
    open_here: list[int] = []

    async def stay() -> None:
        for _ in range(PROBATION + 3):
            await hasty.arun(command("PING"))
        await asyncio.gather(*(hasty.arun(command("PING")) for _ in range(3)))
        together.wait(60)
        for _ in range(5):
            await hasty.arun(command("PING"))
        together.wait(60)
        taken.append(len(wired._lanes._places._held))
        together.wait(60)

    def work() -> None:
        for _ in range(100):
            hasty.run(command("PING"))

    threads = [threading.Thread(target=lambda: asyncio.run(stay())) for _ in range(most + 5)]
    threads += [threading.Thread(target=work) for _ in range(most)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        open_here.append(valkey.connections() - before if route == "native" else len(wired._stock.places))
        time.sleep(0.01)
    assert max(taken) == most // 2
    assert 0 < max(open_here) <= most


def test_the_package__has_no_assert() -> None:
    """``python -O`` leaves them out, and what they judge may come from outside."""
    package = Path(django_upstash.__file__).parent
    found = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def test_new_loop__makes_what_it_is_asked_for() -> None:
    assert new_loop("asyncio") is asyncio.new_event_loop
