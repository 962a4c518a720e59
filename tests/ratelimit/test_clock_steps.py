"""
Somebody sets the server's clock, or a process' own, while several processes decide.

A real server runs under libfaketime. Time passes by skipping it, for the server's clock and for those of the processes
alike, so that a window of ten seconds takes milliseconds; a step moves one of them alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from django_upstash.dev_server import LocalServer
from django_upstash.ratelimit import Concurrency, FixedWindow, Quota, RateLimiter, SlidingWindow, TokenBucket
from django_upstash.ratelimit.clock import ServerClock
from django_upstash.ratelimit.policies import Policy
from django_upstash.ratelimit.process_state import Bounded, Denials
from tests.servers import AdjustableServer, ServerMissing, start_adjustable_valkey

WINDOW, LIMIT = 10.0, 5
# What clocks may differ by unnoticed, and what a busy machine adds between reading a clock and the decision.
DOUBT = 1.0
STEPS = (1, -1, 2, -2, 9, -9, 90, -90, 3600, -3600, 86400, -86400)
MOST_PROCESSES = 4
POLICIES: dict[str, Sequence[Policy]] = {
    "sliding": [SlidingWindow("5/10s", scope="sliding")],
    "bucket": [TokenBucket("5/10s", scope="bucket")],
    "burst": [TokenBucket("2/10s", burst=3, scope="burst")],
    "leases": [Concurrency(5, lease=10, scope="leases")],
    "fixed": [FixedWindow("5/10s", scope="fixed")],
    "quota": [Quota(5, "hour", scope="quota")],
    "several": [
        SlidingWindow("5/10s", scope="a"),
        TokenBucket("9/10s", scope="b"),
        Concurrency(9, lease=10, scope="c"),
        FixedWindow("9/10s", scope="d"),
    ],
}
# A window by the clock lets twice its limit pass around a boundary; a bucket its burst, and what comes in a window.
MOST = {"bucket": 2 * LIMIT, "fixed": 2 * LIMIT}


class World:
    """A server, several processes, and the time that really passes, in seconds."""

    def __init__(self, server: AdjustableServer, route: str) -> None:
        self.server = server
        self.route = route
        self.skipped = self.server_error = 0.0
        self.steps = [float("-inf")]
        self.met = float("inf")  # when those who know the time from before a step first meet those who do not
        self.own_errors = [0.0] * MOST_PROCESSES
        self.granted: list[tuple[float, float]] = []

    def now(self) -> float:
        return time.monotonic() + self.skipped

    def skip(self, seconds: float) -> None:
        self.skipped += seconds
        self._set_clock()

    def step(self, seconds: float) -> None:
        """Set the server's clock."""
        self.server_error += seconds
        self._set_clock()
        self.steps.append(self.now())

    def step_process(self, number: int, seconds: float) -> None:
        """Let a process' steady clock and wall clock jump together, so that it cannot know."""
        self.own_errors[number] += seconds
        self.steps.append(self.now())

    def process(self, number: int, policies: Sequence[Policy]) -> RateLimiter:
        """Return a limiter of a process that has just started."""
        limiter = RateLimiter(policies, alias=f"{self.route}-{number}")
        memory = limiter.server.memory
        memory.clock = ServerClock(
            lambda: self.now() + self.own_errors[number], lambda: self.now() + self.own_errors[number]
        )
        memory.denials, memory.windows = Denials(), Bounded()
        return limiter

    def hit(self, limiter: RateLimiter, identity: str = "user:1") -> bool:
        before = self.now()
        allowed = limiter.hit(identity).allowed
        if allowed:
            self.granted.append((before, self.now()))
        return allowed

    def hit_until_refused(self, limiter: RateLimiter) -> None:
        while self.hit(limiter):
            assert len(self.granted) < 1000, "The limit is open."

    def check(self, most: int = LIMIT, window: float = WINDOW) -> None:
        """Compare what was granted in each window that surely took less than so many seconds with the limit."""
        for first, (began, _) in enumerate(self.granted):
            inside = [ended for _, ended in self.granted[first:] if ended - began < window - DOUBT]
            steps = sum(began - DOUBT <= step <= began + window for step in self.steps)
            # A window by the clock has no mark of whose clock counted in it, but for how long its key lives. So a
            # process from before the step may count once in a window that has ended: docs/ratelimit.md says so.
            gap = LIMIT if began - DOUBT <= self.met <= began + window else 0
            assert len(inside) <= (1 + steps) * most + gap, f"{len(inside)} from {began - self.steps[1]:.1f} s on"

    def _set_clock(self) -> None:
        self.server.set_clock(self.skipped + self.server_error)


@pytest.fixture(scope="module")
def server() -> Iterator[AdjustableServer]:
    try:
        with start_adjustable_valkey() as server:
            yield server
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def rest_server(server: AdjustableServer) -> Iterator[LocalServer]:
    with LocalServer(server.url) as rest:
        yield rest


@pytest.fixture
def open_world(
    server: AdjustableServer, rest_server: LocalServer, settings: Any, route: str
) -> Iterator[Callable[[], World]]:
    # Settings of its own give each process a connection, and so a memory, of its own.
    settings.UPSTASH = {
        f"{name}-{number}": {**entry, "MAX_CONNECTIONS": 8 + number}
        for name, entry in {
            "native": {"URL": server.url},
            "rest": {"URL": rest_server.url, "TOKEN": rest_server.token},
        }.items()
        for number in range(MOST_PROCESSES)
    }

    def open_one() -> World:
        server.set_clock(0)
        server.call("FLUSHALL")
        return World(server, route)

    yield open_one
    server.set_clock(0)


def step_among(world: World, policies: Sequence[Policy], step: float, processes: int) -> None:
    """Let some processes know the time from before a step, and others from after it, and all hit for three windows."""
    older = [world.process(number, policies) for number in range(processes // 2)]
    for limiter in older:
        limiter.hit("user:another")
    world.hit_until_refused(older[0])
    world.skip(WINDOW / 2)
    world.step(step)
    for limiter in older:
        world.hit_until_refused(limiter)
    world.skip(1.5 * WINDOW)
    if isinstance(policies[0], FixedWindow | Quota):
        world.met = world.now()
    newer = [world.process(number, policies) for number in range(processes // 2, processes)]
    for limiter in newer:
        limiter.hit("user:another")
    for _ in range(30):
        for limiter in [*older, *newer]:
            world.hit(limiter)
        world.skip(WINDOW / 10)


@pytest.mark.default_cases(19)
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("step", [2, -2, 90, -86400])
def test_step_of_the_server(open_world: Callable[[], World], name: str, step: float) -> None:
    world = open_world()
    step_among(world, POLICIES[name], step, 2)
    world.check(MOST.get(name, LIMIT))
    later = [began for began, _ in world.granted if began > world.steps[1] + 3 * WINDOW]
    assert later or name == "quota"  # nobody stays locked out


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("processes", [2, 4])
def test_every_step_of_the_server(open_world: Callable[[], World], name: str, step: float, processes: int) -> None:
    world = open_world()
    step_among(world, POLICIES[name], step, processes)
    world.check(MOST.get(name, LIMIT))


@pytest.mark.default_cases(19)
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("step", [2, -2, 90, -86400])
def test_step_of_a_process(open_world: Callable[[], World], name: str, step: float) -> None:
    """Of its steady and its wall clock at once: it cannot know, but by what others have written."""
    world = open_world()
    limiters = [world.process(number, POLICIES[name]) for number in range(2)]
    for limiter in limiters:
        world.hit_until_refused(limiter)
    world.skip(WINDOW / 2)
    world.step_process(0, step)
    for _ in range(30):
        for limiter in limiters:
            world.hit(limiter)
        world.skip(WINDOW / 10)
    world.check(MOST.get(name, LIMIT))


@pytest.mark.default_cases(1)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=strategies.integers(0, 2**32), name=strategies.sampled_from(["sliding", "leases", "several", "bucket"]))
def test_any_steps(open_world: Callable[[], World], seed: int, name: str) -> None:
    chance, world = random.Random(seed), open_world()
    limiters = [world.process(number, POLICIES[name]) for number in range(MOST_PROCESSES)]
    for _ in range(120):
        number = chance.randrange(MOST_PROCESSES)
        if chance.random() < 0.02:
            world.step(chance.choice(STEPS))
        elif chance.random() < 0.03:
            limiters[number] = world.process(number, POLICIES[name])
        world.hit(limiters[number])
        world.skip(chance.choice([0, 0, 0.1, 1, 3]))
    world.check(MOST.get(name, LIMIT))
