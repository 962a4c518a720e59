"""What calls cost: round trips and billed commands, counted by the servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.breaker.conftest import Elapse, Start, fail, succeed

pytestmark = pytest.mark.matrix

Counting = Callable[[], Any]


def costs(cost: dict[str, int]) -> tuple[int, int]:
    return cost["requests"], cost["commands"]


def warm(start: Start) -> None:
    """Let the server see the script, and the connection learn how the server encodes."""
    start(name="other").tries(fail)


def test_closed__costs_nothing(start: Start, counting: Counting) -> None:
    process = start()
    with counting() as cost:
        assert [process.tries(succeed) for _ in range(100)] == ["passed"] * 100
    assert costs(cost) == (0, 0)


def test_open__costs_nothing(start: Start, counting: Counting) -> None:
    process = start(failure_threshold=1)
    process.tries(fail)
    with counting() as cost:
        assert [process.tries(succeed) for _ in range(100)] == ["refused"] * 100
    assert costs(cost) == (0, 0)


def test_failures__are_told_once_a_second(start: Start, counting: Counting, elapse: Elapse) -> None:
    warm(start)
    process = start(failure_threshold=100)
    with counting() as cost:
        for _ in range(20):
            process.tries(fail)
    assert costs(cost) == (1, 4)
    elapse(1, process)
    with counting() as cost:
        for _ in range(20):
            process.tries(fail)
    assert cost["requests"] == 1


def test_failures__that_open_are_told_at_once(start: Start, counting: Counting) -> None:
    warm(start)
    process = start(failure_threshold=5)
    with counting() as cost:
        for _ in range(5):
            process.tries(fail)
    assert costs(cost) == (2, 4 + 6)


def test_failures__in_a_window_cost_one_command(start: Start, counting: Counting) -> None:
    warm(start)
    process = start(failure_rate=0.5)
    with counting() as cost:
        for _ in range(5):
            process.tries(fail)
    assert costs(cost) == (1, 1)


def test_half_open__costs_one_question_for_each_probe_and_one_answer(
    start: Start, counting: Counting, elapse: Elapse
) -> None:
    process, other = (start(failure_threshold=1, timeout=30, refresh=None) for _ in range(2))
    warm(start)
    process.tries(fail)
    other.tries(fail)
    elapse(31, process, other)
    with counting() as cost, process.probing():
        pass
    assert costs(cost) == (2, 8)
    with process.probing(), counting() as cost:
        for _ in range(20):
            assert other.tries(succeed) == "refused"
    assert costs(cost) == (1, 3)


def test_refresh__is_one_command_for_all_breakers_of_a_process(start: Start, counting: Counting) -> None:
    warm(start)
    process = start(refresh=10)
    board = process.link.board
    board.circuit("another").clock = lambda: process.seconds
    with counting() as cost:
        for _ in range(3):
            process.tries(succeed)
            process.seconds += 4.9
    assert costs(cost) == (0, 0)
    with counting() as cost:
        for _ in range(5):
            process.tries(succeed)
    assert costs(cost) == (1, 1)


def test_disabled_by_the_settings__costs_nothing(start: Start, counting: Counting, settings: Any) -> None:
    settings.UPSTASH_BREAKER = {"ENABLED": False}
    process = start(failure_threshold=1)
    with counting() as cost:
        assert [process.tries(fail) for _ in range(3)] == ["failed"] * 3
        assert process.tries(succeed) == "passed"
    assert costs(cost) == (0, 0)
    assert process.stats.calls == 0
