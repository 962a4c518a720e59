"""Failure rates."""

from __future__ import annotations

from django_upstash.breaker import State
from django_upstash.breaker.settings import BreakerOptions
from django_upstash.breaker.windows import LastCalls, LastSeconds
from tests.breaker.conftest import Elapse, Start, fail, succeed


def test_last_calls__forgets_the_oldest() -> None:
    window = LastCalls(BreakerOptions(failure_rate=0.5, window_calls=4, minimum_calls=2))
    said = []
    for failed in (True, True, False, False, False, True, True):
        window.add(failed, 0.0)
        said.append(window.trips(0.0))
    assert said == [False, True, True, True, False, False, True]


def test_last_seconds__forgets_by_time() -> None:
    window = LastSeconds(BreakerOptions(failure_rate=0.5, window_seconds=10, minimum_calls=2))
    window.add(True, 100.0)
    window.add(True, 101.0)
    assert window.trips(109.9)
    assert not window.trips(110.0)
    window.add(True, 110.0)
    assert window.trips(110.9)
    assert not window.trips(125.0)


def test_rate__opens(start: Start) -> None:
    process = start(failure_rate=0.5, window_calls=10, minimum_calls=6)
    assert [process.tries(step) for step in (succeed, fail) * 3] == ["passed", "failed"] * 3
    assert process.state is State.OPEN


def test_rate__needs_the_minimum_of_calls(start: Start) -> None:
    process = start(failure_rate=0.5, window_calls=10, minimum_calls=6)
    assert [process.tries(fail) for _ in range(7)] == ["failed"] * 6 + ["refused"]


def test_rate__in_seconds(start: Start, elapse: Elapse) -> None:
    process = start(failure_rate=0.5, window_seconds=10, minimum_calls=3)
    for _ in range(5):
        assert [process.tries(fail) for _ in range(2)] == ["failed"] * 2
        elapse(11, process)
    assert [process.tries(fail) for _ in range(4)] == ["failed"] * 3 + ["refused"]


def test_rate__begins_anew_after_closing(start: Start, elapse: Elapse) -> None:
    process = start(failure_rate=0.5, window_calls=4, minimum_calls=2, success_threshold=1, timeout=30)
    assert [process.tries(fail) for _ in range(2)] == ["failed"] * 2
    elapse(31, process)
    assert [process.tries(step) for step in (succeed, fail)] == ["passed", "failed"]
    assert process.state is State.CLOSED
