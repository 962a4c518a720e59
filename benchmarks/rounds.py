"""
Contenders timed side by side: in every round each has its turn, so whatever the machine does, it does to all of them.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from statistics import median
from time import clock_gettime, perf_counter, process_time
from typing import Literal, TypeAlias

from benchmarks.machine import cpu_clock

# Does the work so many times in a row, which is timed as one: a single call is too short for a clock.
Burst: TypeAlias = Callable[[int], object]
Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """Contenders that do the same work."""

    name: str
    contenders: Mapping[str, Burst]
    measure: Literal["wall", "cpu", "core"] = "core"  # what a goal is about
    operations: int = 1  # how many operations one time of the work counts as
    seconds: float = 0.005  # about as long as a burst shall take


@dataclass(frozen=True)
class Timing:
    """
    Microseconds per operation, medians over the rounds.

    ``cpu`` is the CPU time of this process, ``core`` that of this process and the servers together: the wall time on
    a core that does nothing else.
    """

    wall: float
    cpu: float
    core: float


def measure(row: Row, rounds: int, servers: Sequence[int]) -> dict[str, Timing]:
    """
    Time the contenders in turns, the servers by their pids.

    Garbage collections are kept out of the bursts. What follows one is slower, so every round another contender begins.
    """
    clocks: list[Clock] = [perf_counter, process_time, *[partial(clock_gettime, cpu_clock(pid)) for pid in servers]]
    times = {name: _calibrated(burst, row.seconds, clocks[1:]) for name, burst in row.contenders.items()}
    samples: dict[str, list[list[float]]] = {name: [] for name in row.contenders}
    with _no_garbage_collection():
        order = deque(row.contenders)
        for _ in range(rounds):
            gc.collect()
            for name in order:
                samples[name].append(_timed(row.contenders[name], times[name], clocks))
            order.rotate()
    return {name: _timing(samples[name], times[name] * row.operations) for name in row.contenders}


def burst_of(call: Callable[[], object]) -> Burst:
    """Return the burst that makes this call again and again."""

    def burst(times: int) -> None:
        for _ in repeat(None, times):
            call()

    return burst


async def awaited(call: Callable[[], Awaitable[object]], times: int) -> None:
    """Await what this call returns, again and again."""
    for _ in repeat(None, times):
        await call()


def _calibrated(burst: Burst, seconds: float, cpu_clocks: list[Clock]) -> int:
    """Warm the contender up and return how many times fill a burst, however busy the machine is."""
    times = 1
    while True:
        burst(times)
        taken = sum(_timed(burst, times, cpu_clocks))
        if taken >= seconds / 2:
            return max(1, round(times * seconds / taken))
        times *= 2


def _timed(burst: Burst, times: int, clocks: list[Clock]) -> list[float]:
    started = [clock() for clock in clocks]
    burst(times)
    return [clock() - start for clock, start in zip(clocks, started, strict=True)]


def _timing(samples: list[list[float]], operations: int) -> Timing:
    columns = [(wall, cpu, cpu + sum(servers)) for wall, cpu, *servers in samples]
    return Timing(*[round(median(column) * 1_000_000 / operations, 2) for column in zip(*columns, strict=True)])


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
