"""What a breaker does with calls, on both routes, waited for and awaited."""

from __future__ import annotations

import pytest

from django_upstash.breaker import CircuitOpen, State
from tests.breaker.conftest import Elapse, Start, fail, succeed

pytestmark = pytest.mark.matrix


def test_call__returns_and_raises_what_the_function_does(start: Start) -> None:
    process = start()
    assert process.call(succeed) == "done"
    assert process.tries(fail) == "failed"
    assert process.state is State.CLOSED


def test_failures_in_a_row__open(start: Start) -> None:
    process = start(failure_threshold=3, timeout=30)
    assert [process.tries(fail) for _ in range(5)] == ["failed"] * 3 + ["refused"] * 2
    with pytest.raises(CircuitOpen) as caught:
        process.call(succeed)
    assert caught.value.name == "stripe"
    assert 29 < caught.value.retry_after <= 30


def test_successes__end_a_row(start: Start) -> None:
    process = start(failure_threshold=3)
    for _ in range(5):
        assert [process.tries(step) for step in (fail, fail, succeed)] == ["failed", "failed", "passed"]


def test_half_open__closes_after_successes(start: Start, elapse: Elapse) -> None:
    process = start(failure_threshold=1, success_threshold=2, timeout=30)
    process.tries(fail)
    elapse(29, process)
    assert process.tries(succeed) == "refused"
    elapse(1.1, process)
    assert process.tries(succeed) == "passed"
    assert process.state == "half_open"
    assert process.tries(succeed) == "passed"
    assert process.state is State.CLOSED


def test_half_open__opens_at_the_first_failure(start: Start, elapse: Elapse) -> None:
    process = start(failure_threshold=1, timeout=30)
    process.tries(fail)
    elapse(31, process)
    assert [process.tries(step) for step in (succeed, fail, succeed)] == ["passed", "failed", "refused"]
    elapse(31, process)
    assert process.tries(succeed) == "passed"
