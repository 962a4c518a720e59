"""What operators force reaches every process."""

from __future__ import annotations

import asyncio

import pytest

from django_upstash.breaker import CircuitOpen, State
from django_upstash.breaker.operations import decide, forced
from django_upstash.breaker.status import force
from django_upstash.connections import Connection
from tests.breaker.conftest import Elapse, MakeBreaker, Process, Start, fail, succeed

REFRESH = 10


@pytest.fixture
def pair(start: Start) -> tuple[Process, Process]:
    """Two processes; both have called."""
    processes = start(failure_threshold=2, timeout=30, refresh=REFRESH), start(failure_threshold=2, refresh=REFRESH)
    for process in processes:
        process.tries(succeed)
    return processes


def test_force_open__refuses_everywhere(pair: tuple[Process, Process], elapse: Elapse) -> None:
    one, other = pair
    one.force_open()
    assert one.tries(succeed) == "refused"
    assert other.tries(succeed) == "passed"
    elapse(REFRESH, one, other)
    assert other.tries(succeed) == "refused"
    assert other.state is State.FORCED_OPEN


def test_force_open__is_learned_at_a_failure(pair: tuple[Process, Process]) -> None:
    one, other = pair
    one.force_open()
    assert [other.tries(step) for step in (fail, succeed)] == ["failed", "refused"]


def test_force_open__for_a_time(pair: tuple[Process, Process], elapse: Elapse) -> None:
    one, other = pair
    one.force_open(120)
    with pytest.raises(CircuitOpen) as caught:
        one.call(succeed)
    assert 119 < caught.value.retry_after <= 120
    elapse(121, one, other)
    assert [process.tries(succeed) for process in pair] == ["passed"] * 2
    assert one.state is State.CLOSED


def test_force_close__ends_an_opening_and_lasts(pair: tuple[Process, Process], elapse: Elapse) -> None:
    one, other = pair
    for _ in range(2):
        other.tries(fail)
    assert other.tries(succeed) == "refused"
    one.force_close()
    elapse(REFRESH, one, other)
    for process in pair:
        assert [process.tries(step) for step in [fail] * 5 + [succeed]] == ["failed"] * 5 + ["passed"]
        assert process.state is State.FORCED_CLOSED
    assert one.stats.failures == 5


def test_disable__counts_nothing(pair: tuple[Process, Process]) -> None:
    one, _ = pair
    one.disable()
    calls = one.stats.calls
    assert [one.tries(fail) for _ in range(5)] == ["failed"] * 5
    assert (one.state, one.stats.calls) == (State.DISABLED, calls)


@pytest.mark.parametrize("way", ["force_open", "force_close", "disable"])
def test_release__reaches_everybody(pair: tuple[Process, Process], elapse: Elapse, way: str) -> None:
    one, other = pair
    getattr(one, way)()
    elapse(REFRESH, one, other)
    other.tries(succeed)
    assert other.state is one.state
    other.release()
    elapse(REFRESH, one, other)
    for process in pair:
        assert process.tries(succeed) == "passed"
        assert process.state is State.CLOSED
    assert [one.tries(fail) for _ in range(3)] == ["failed", "failed", "refused"]


def test_release__begins_from_zero(pair: tuple[Process, Process]) -> None:
    one, _ = pair
    one.tries(fail)
    one.release()
    assert [one.tries(fail), one.tries(fail), one.tries(fail)] == ["failed", "failed", "refused"]


def test_force_open__outlasts_the_questions(pair: tuple[Process, Process], elapse: Elapse) -> None:
    one, other = pair
    one.force_open()
    for _ in range(5):
        elapse(31, one, other)
        assert [process.tries(succeed) for process in pair] == ["refused"] * 2


def test_forcing__awaited(make_breaker: MakeBreaker) -> None:
    breaker = make_breaker()

    async def main() -> list[str]:
        steps = (
            breaker.aforce_open(60),
            breaker.aforce_close(),
            breaker.adisable(),
            breaker.arelease(),
            breaker.aread(),
        )
        return [(await step).state.value for step in steps]

    assert asyncio.run(main()) == ["forced_open", "forced_closed", "forced_disabled", "closed", "closed"]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9])
def test_forcing__for_no_time_is_refused(make_breaker: MakeBreaker, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be between 0 and one year"):
        make_breaker().force_open(seconds)


def test_force_open__is_learned_though_who_asks_is_cancelled(make_breaker: MakeBreaker, native: Connection) -> None:
    """What ``REFRESH`` has brought is acted on by the next call, where the first one ends before its answer."""
    breaker = make_breaker()
    breaker.force_open()
    breaker.release()
    scene = breaker._scene(breaker.options)
    native.run(decide(native.capabilities, breaker.name, force("open", None)))
    scene.link.board.take_forced(native.run(forced()))
    steps = breaker._enter()
    next(steps)
    with pytest.raises(asyncio.CancelledError):
        steps.throw(asyncio.CancelledError())
    with pytest.raises(CircuitOpen):
        breaker.call(succeed)
