"""A process knows the server's time, whatever happens to its own."""

from __future__ import annotations

import pytest

from django_upstash.ratelimit import SlidingWindow
from django_upstash.ratelimit.clock import ServerClock
from tests.ratelimit.conftest import MakeLimiter, Time

SECOND = 1_000_000


@pytest.fixture
def clock(time: Time) -> ServerClock:
    clock = ServerClock(time.steady, time.wall)
    clock.sample(clock.started(), *divmod(time.microseconds, SECOND))
    return clock


def test_now__follows_the_server(clock: ServerClock, time: Time) -> None:
    time.seconds = 12.5
    assert clock.now() == time.microseconds


@pytest.mark.parametrize("error", [-30, 30, 86400])
def test_now__is_not_the_wall_clocks(clock: ServerClock, time: Time, error: float) -> None:
    time.seconds, time.wall_error = 12.5, error
    assert clock.now() == time.microseconds


def test_is_due__after_five_minutes_or_a_jump(clock: ServerClock, time: Time) -> None:
    due = []
    for time.seconds, time.wall_error in ((0, 0), (299, 0), (301, 0), (10, 2)):
        due.append(clock.is_due)
    clock.sample(clock.started(), *divmod(time.microseconds, SECOND))
    assert [*due, clock.is_due] == [False, False, True, True, False]


def test_sample__of_a_slow_first_round_trip_is_followed_by_a_sharper_one(time: Time) -> None:
    clock = ServerClock(time.steady, time.wall)
    assert not clock.is_known
    started = clock.started()
    time.seconds = 0.4  # connecting took this long, and the server was asked at its end
    clock.sample(started, *divmod(time.microseconds, SECOND))
    assert clock.is_due
    assert abs(clock.now() - time.microseconds) == 200_000
    started = clock.started()
    clock.sample(started, *divmod(time.microseconds, SECOND))
    assert (clock.now(), clock.is_due) == (time.microseconds, False)


def test_sample__a_blunter_second_one_is_passed_over(time: Time) -> None:
    clock = ServerClock(time.steady, time.wall)
    started = clock.started()
    time.seconds = 0.1
    clock.sample(started, *divmod(time.microseconds - 50_000, SECOND))
    exact = clock.now()
    assert exact == time.microseconds
    started = clock.started()
    time.seconds = 0.5
    clock.sample(started, *divmod(time.microseconds, SECOND))
    assert (clock.now() - exact, clock.is_due) == (400_000, False)


def test_limiter__learns_the_servers_time(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter(SlidingWindow("1/h"))
    limiter.hit("user:1")
    seconds, microseconds = limiter.server.connection.redis.time()
    assert abs(limiter.server.memory.clock.now() / SECOND - seconds - microseconds / SECOND) < 5


def test_limiter__asks_for_the_time_again_beside_a_decision(make_limiter: MakeLimiter, time: Time) -> None:
    limiter = make_limiter(SlidingWindow("9/h"))
    limiter.hit("user:1")
    memory = limiter.server.memory
    memory.clock = ServerClock(time.steady, time.wall)
    memory.clock.sample(memory.clock.started(), *divmod(time.microseconds, SECOND))
    time.seconds = 301
    before = memory.clock.now()
    requests = limiter.server.connection.meter.requests
    limiter.hit("user:2")
    assert limiter.server.connection.meter.requests - requests == 1
    assert abs(memory.clock.now() - before) > SECOND  # the fake clock's time is not the server's
    assert not memory.clock.is_due
