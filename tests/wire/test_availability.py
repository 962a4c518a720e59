"""Whether a server is worth asking: told by what its callers met with, and found out in the background."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from django_upstash import exceptions
from django_upstash.wire.availability import Availability

AWAY = exceptions.TimeoutError("x")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Probe:
    """Counts how often it is called, and ends each time as and when it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.may_end = threading.Event()
        self.threads: list[threading.Thread] = []

    def __call__(self) -> None:
        self.calls += 1
        self.threads.append(threading.current_thread())
        assert self.may_end.wait(20)
        if self.error is not None:
            raise self.error

    def end(self, error: Exception | None = None) -> None:
        """Let the one under way end, and wait until it has."""
        self.error = error
        self.may_end.set()
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join()
        self.may_end.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = Probe()
    yield probe
    probe.end()


@pytest.fixture
def availability(probe: Probe, clock: Clock) -> Availability:
    return Availability(probe, pause=1.0, clock=clock)


def test_availability__is_up_until_something_fails(availability: Availability, probe: Probe) -> None:
    assert availability.is_up
    assert [availability.may_ask() for _ in range(3)] == [True] * 3
    assert probe.calls == 0


@pytest.mark.parametrize(
    "error",
    [
        redis.ResponseError("OOM"),
        redis.DataError("x"),
        ValueError("x"),
        exceptions.AuthenticationError("x"),
        exceptions.ProtocolError("an HTML page"),
    ],
)
def test_failed__what_a_server_or_nobody_said_is_no_outage(availability: Availability, error: Exception) -> None:
    availability.failed(error, 100.0)
    assert availability.is_up


@pytest.mark.parametrize("error", [AWAY, exceptions.ServiceUnavailableError("x"), exceptions.BusyLoadingError("x")])
def test_may_ask__is_no_for_everybody_and_one_probe_per_pause(
    availability: Availability, clock: Clock, probe: Probe, error: Exception
) -> None:
    availability.failed(error, 100.0)
    assert [availability.may_ask() for _ in range(3)] == [False] * 3
    assert probe.calls == 0
    for second in range(3):
        clock.now += 1.0
        assert [availability.may_ask() for _ in range(3)] == [False] * 3
        probe.end(error)
        assert [availability.may_ask() for _ in range(3)] == [False] * 3
        assert probe.calls == second + 1


def test_may_ask__never_has_two_probes_under_way(availability: Availability, clock: Clock, probe: Probe) -> None:
    availability.failed(AWAY, 100.0)
    availability.pause = 0.0
    with ThreadPoolExecutor(16) as pool:
        assert not any(pool.map(lambda _: availability.may_ask(), range(200)))
    probe.end(AWAY)
    assert probe.calls == 1


@pytest.mark.parametrize("error", [None, redis.ResponseError("NOPERM"), ValueError("what a caller is to see")])
def test_may_ask__is_yes_once_the_probe_has_an_answer(
    availability: Availability, clock: Clock, probe: Probe, error: Exception | None
) -> None:
    availability.failed(AWAY, 100.0)
    clock.now += 1.0
    assert not availability.may_ask()
    probe.end(error)
    assert [availability.may_ask() for _ in range(3)] == [True] * 3
    assert probe.calls == 1


def test_may_ask__where_no_thread_can_be_started(
    availability: Availability, clock: Clock, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    availability.failed(AWAY, 100.0)
    clock.now += 1.0
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _refuse)
        assert not availability.may_ask()
    # The next caller finds out itself, and needs no thread for that.
    probe.may_end.set()
    assert (availability.may_ask(), probe.calls) == (True, 1)


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't create new thread at interpreter shutdown")


def test_may_ask__does_not_block_an_event_loop(availability: Availability, clock: Clock, probe: Probe) -> None:
    async def main() -> None:
        assert not availability.may_ask()
        # A probe that ran in the loop would wait for what comes only after it.
        probe.may_end.set()
        while not availability.may_ask():
            await asyncio.sleep(0.001)

    availability.failed(AWAY, 100.0)
    clock.now += 1.0
    asyncio.run(asyncio.wait_for(main(), 20))
    assert probe.calls == 1


_ENDING = """
import threading
from django_upstash.wire.availability import Availability
from django_upstash.exceptions import TimeoutError
availability = Availability(threading.Event().wait, pause=0.0)
availability.failed(TimeoutError("x"), 0.0)
assert not availability.may_ask()
"""


def test_probe__that_never_ends_does_not_keep_the_process() -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", _ENDING],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_answered__ends_it_for_everybody(availability: Availability) -> None:
    availability.failed(AWAY, 100.0)
    availability.answered()
    assert availability.is_up
    assert availability.may_ask()


def test_failed__what_was_sent_before_the_return_says_nothing(availability: Availability, clock: Clock) -> None:
    availability.failed(AWAY, 100.0)
    clock.now = 103.0
    availability.answered()
    availability.failed(AWAY, 102.0)
    assert availability.is_up
    availability.failed(AWAY, 103.5)
    assert not availability.is_up
