"""Processes that are frozen between their calls, as those of AWS Lambda are, and threads that never run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from django_upstash import exceptions
from django_upstash.dev_server import LocalServer
from django_upstash.wire.availability import LONGEST_PROBE, PAUSE, Availability
from tests.fault_proxy import FaultProxy
from tests.servers import Server

AWAY = exceptions.ConnectionError("x")

_INVOKED = """
import sys
from django.conf import settings
settings.configure()
from django_upstash.settings.conf import make_settings
from django_upstash.connections import Connection
from django_upstash.operations import command
entry = {"URL": sys.argv[1], "TIMEOUT": 1.0, "RETRIES": 0, **({"TOKEN": sys.argv[2]} if sys.argv[2] else {})}
connection = Connection(make_settings("x", entry))
for line in sys.stdin:
    if not connection.availability.may_ask():
        print("away", flush=True)
        continue
    try:
        connection.run(command("INCR", "n"))
    except Exception as error:
        print(type(error).__name__, flush=True)
    else:
        print("answered", flush=True)
"""


class Instance:
    """A process that runs only while it is invoked."""

    def __init__(self, process: subprocess.Popen[str], input: IO[str], output: IO[str]) -> None:
        self._process, self._input, self._output = process, input, output

    def invoke(self) -> str:
        os.kill(self._process.pid, signal.SIGCONT)
        self._input.write("\n")
        self._input.flush()
        answer = self._output.readline().strip()
        os.kill(self._process.pid, signal.SIGSTOP)
        return answer


@contextmanager
def instance(url: str, token: str) -> Iterator[Instance]:
    process = subprocess.Popen(
        [sys.executable, "-c", _INVOKED, url, token], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Instance(process, process.stdin, process.stdout)
        finally:
            process.kill()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.parametrize("route", ["native", pytest.param("rest", marks=pytest.mark.slow)])
def test_frozen_process__finds_the_server_back_with_its_first_call(
    route: str, valkey: Server, local_server: LocalServer
) -> None:
    is_native = route == "native"
    with FaultProxy(valkey.port if is_native else int(local_server.url.rpartition(":")[2])) as proxy:
        url = proxy.url if is_native else f"http://127.0.0.1:{proxy.port}"
        with instance(url, "" if is_native else local_server.token) as lambda_:
            assert lambda_.invoke() == "answered"
            for _ in range(2):
                proxy.blackhole()
                assert lambda_.invoke() == "TimeoutError"
                assert lambda_.invoke() == "away"
                proxy.sever()
                proxy.heal()
                proxy.latency(0.02)
                # Frozen for longer than a probe may take.
                time.sleep(PAUSE + LONGEST_PROBE + 0.2)
                assert lambda_.invoke() == "answered"
                assert lambda_.invoke() == "answered"


@pytest.mark.parametrize("route", ["native", "rest"])
def test_frozen_process__a_connection_closed_meanwhile_is_no_outage(
    route: str, valkey: Server, local_server: LocalServer
) -> None:
    is_native = route == "native"
    with FaultProxy(valkey.port if is_native else int(local_server.url.rpartition(":")[2])) as proxy:
        url = proxy.url if is_native else f"http://127.0.0.1:{proxy.port}"
        with instance(url, "" if is_native else local_server.token) as lambda_:
            assert lambda_.invoke() == "answered"
            for fault in (proxy.sever, proxy.close_before_request):
                fault()
                # One whose end did not get here may cost the call that meets with it, and nothing more.
                assert lambda_.invoke() in ("answered", "ConnectionError", "ProtocolError")
                assert lambda_.invoke() == "answered"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Probe:
    calls = 0
    error: Exception | None = None

    def __call__(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


def test_probe__whose_thread_never_runs_is_made_by_a_caller_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, probe = Clock(), Probe()
    probe.error = AWAY
    availability = Availability(probe, clock=clock)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    availability.failed(AWAY, clock.now)
    clock.now += PAUSE
    assert (availability.may_ask(), probe.calls) == (False, 0)
    clock.now += LONGEST_PROBE
    assert (availability.may_ask(), probe.calls) == (False, 1)
    # Still away: the next look is a thread's again, after a pause.
    assert (availability.may_ask(), probe.calls) == (False, 1)
    clock.now += PAUSE
    assert (availability.may_ask(), probe.calls) == (False, 1)
    clock.now += LONGEST_PROBE
    probe.error = None
    assert (availability.may_ask(), probe.calls) == (True, 2)


def test_probe__that_ends_after_its_time_is_void() -> None:
    clock, probe = Clock(), Probe()
    availability = Availability(lambda: late(), clock=clock)

    def late() -> None:
        clock.now += LONGEST_PROBE + 10  # frozen in its handshake
        raise AWAY

    availability.failed(AWAY, clock.now)
    clock.now += PAUSE
    availability.may_ask()
    eventually_ended(availability)
    availability._probe = probe
    assert availability.may_ask()
    assert probe.calls == 1


def test_probe__of_a_doubtful_failure_begins_at_once() -> None:
    clock, probe = Clock(), Probe()
    availability = Availability(probe, pause=1000.0, clock=clock)
    error = exceptions.TimeoutError("x")
    error.is_doubtful = True
    availability.failed(error, clock.now)
    eventually_ended(availability)
    assert (availability.is_up, probe.calls) == (True, 1)


def test_may_ask__after_a_long_silence_waits_a_moment_for_the_probe() -> None:
    clock, probe = Clock(), Probe()
    availability = Availability(probe, clock=clock)
    availability.failed(AWAY, clock.now)
    clock.now += 60.0
    availability.may_ask()
    eventually_ended(availability)
    assert availability.is_up


def eventually_ended(availability: Availability) -> None:
    deadline = time.monotonic() + 20
    while availability._turn is not None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
