"""
Rate limits against their peers: ``python -m benchmarks.throttling [--quick] [--rounds N] [--only NAME]`` prints JSON.

Ours, DRF's throttle on django-redis, and where it is installed ``limits`` (moving window), on loopback and with 5 ms
added on the wire; over REST, near and far too, ours and where it is installed ``upstash-ratelimit`` (sliding window).
Half of each limit is used, evenly over the time before. Times are medians over interleaved rounds, with client and
servers on one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from itertools import count, cycle
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import django
from django.conf import settings

from benchmarks import machine
from benchmarks.report import FAR, LATENCY, LOOPBACK, Comparison, Options, compared, near_and_far, run, timed
from benchmarks.rounds import Row, Timing, burst_of
from benchmarks.servers import RestAddress, start_rest_server
from django_upstash.connections import connections
from django_upstash.operations import command
from tests.fault_proxy import FaultProxy

# Asks for a client, and tells whether it may pass; and uses so much of its limits beforehand.
Hit: TypeAlias = Callable[[str], object]
Fill: TypeAlias = Callable[[str, Sequence[int]], None]
Make: TypeAlias = Callable[[Sequence[str], str], tuple[Hit, Fill]]

OURS, DRF, LIMITS, UPSTASH = "ours", "DRF on django-redis", "limits, moving window", "upstash-ratelimit"
REST, REST_FAR = "REST", "REST with 5 ms"
RATES = {"60/min": (60, 60), "1000/day": (1000, 86400), "10000/day": (10_000, 86400), "1000000/day": (10**6, 86400)}
SMALLEST, LARGEST = "60/min", "1000000/day"
COMPARED = ("60/min", "1000/day", "10000/day")
THREE = "three at once"
FLAT = f"flat in the limit, {LOOPBACK}"
# How many times as fast as a peer ours is meant to be.
GOALS: dict[tuple[str, str], float] = {
    (f"1000/day, {LOOPBACK}", DRF): 3,
    (f"1000/day, {FAR}", DRF): 1.9,
    (f"{THREE}, {FAR}", DRF): 5,
    **{(f"{rate}, {LOOPBACK}", LIMITS): 1 for rate in COMPARED},
    (FLAT, SMALLEST): 0.9,  # the largest limit takes no longer than the smallest, but for what a busy machine adds
}
_ROUNDS = 31
# Seconds of the core: of a burst, and of one hit at least.
_BURST = {LOOPBACK: 0.01, FAR: 0.002, REST: 0.01, REST_FAR: 0.002}
_SHORTEST = 15e-6
_numbers = count()


def main() -> None:
    run("benchmarks.throttling", (__doc__ or "").splitlines()[1], _ROUNDS, _report)


def _report(options: Options) -> dict[str, Any]:
    with ExitStack() as stack:
        server, urls = stack.enter_context(near_and_far())
        rest = stack.enter_context(start_rest_server(server.tcp_url))
        far_rest = stack.enter_context(FaultProxy(urlsplit(rest.url).port or 80))
        far_rest.latency(LATENCY)
        far_rest_url = f"http://127.0.0.1:{urlsplit(far_rest.url).port}"
        _configure(urls, {REST: rest.url, REST_FAR: far_rest_url}, rest)
        stack.callback(connections.close_all)
        pids = [server.process.pid, rest.pid]
        found = [timed(make(options.rounds), options, pids, _compare) for name, make in rows() if options.wants(name)]
        return {"machine": machine.facts(), "rows": found}


def _compare(row: Row, timings: Mapping[str, Timing]) -> Iterator[dict[str, Any]]:
    ours = LARGEST if row.name == FLAT else OURS
    peers = [name for name in timings if name != ours]
    return compared(row, timings, [Comparison(ours, peer, GOALS.get((row.name, peer))) for peer in peers])


def _configure(urls: Mapping[str, str], rest_urls: Mapping[str, str], rest: RestAddress) -> None:
    cache = "django_redis.cache.RedisCache"
    settings.configure(
        SECRET_KEY="only for the benchmarks",
        INSTALLED_APPS=["django_upstash"],
        UPSTASH={
            **{distance: {"URL": url} for distance, url in urls.items()},
            **{distance: {"URL": url, "TOKEN": rest.token} for distance, url in rest_urls.items()},
        },
        UPSTASH_RATELIMIT={"TIMEOUT": 5, "ON_FAILURE": "closed"},
        CACHES={
            "default": {"BACKEND": cache, "LOCATION": urls[LOOPBACK]},
            **{distance: {"BACKEND": cache, "LOCATION": url} for distance, url in urls.items()},
        },
    )
    django.setup()


def rows() -> Iterator[tuple[str, Callable[[int], Row]]]:
    """Yield the names of the rows, and what makes each for so many rounds."""
    for distance in (LOOPBACK, FAR, REST, REST_FAR):
        for name in (*COMPARED, THREE):
            rates = COMPARED if name == THREE else (name,)
            row_name = f"{name}, {distance}"
            yield row_name, partial(_row, row_name, {peer: (make, rates) for peer, make in _peers(distance)}, distance)
    yield FLAT, partial(_row, FLAT, {rate: (_ours, (rate,)) for rate in RATES}, LOOPBACK)


def _peers(distance: str) -> Iterator[tuple[str, Make]]:
    yield OURS, _ours
    if distance in (LOOPBACK, FAR):
        yield DRF, _drf
        if find_spec("limits"):
            yield LIMITS, _limits
    elif find_spec("upstash_ratelimit"):
        yield UPSTASH, _upstash


def _row(name: str, contenders: Mapping[str, tuple[Make, Sequence[str]]], distance: str, rounds: int) -> Row:
    # Finding out how often a burst calls takes less than four bursts.
    hits = round((rounds + 4) * _BURST[distance] / _SHORTEST)
    bursts = {
        peer: burst_of(_hitting(rates, hits, *make(rates, distance))) for peer, (make, rates) in contenders.items()
    }
    # Far away it is the waiting, and elsewhere what it takes of the core.
    kind: Any = "wall" if distance in (FAR, REST_FAR) else "core"
    return Row(name, bursts, measure=kind, seconds=_BURST[distance])


def _hitting(rates: Sequence[str], hits: int, hit: Hit, fill: Fill) -> Callable[[], None]:
    """Return what hits one client after the other, so many that none reaches its limit."""
    halves = [RATES[rate][0] // 2 for rate in rates]
    clients = [f"user:{next(_numbers)}" for _ in range(hits // min(halves) + 1)]
    for client in clients:
        fill(client, halves)
    turns = cycle(clients)

    def run() -> None:
        if not hit(next(turns)):
            raise RuntimeError("A contender refused what it must admit.")

    return run


def _ours(rates: Sequence[str], distance: str) -> tuple[Hit, Fill]:
    from django_upstash.ratelimit import RateLimiter, SlidingWindow
    from django_upstash.ratelimit.algorithms import decide

    policies = [SlidingWindow(rate, scope=rate) for rate in rates]
    limiter = RateLimiter(policies, alias=distance)

    def fill(client: str, halves: Sequence[int]) -> None:
        now = time.time()
        for policy, prefix, half in zip(policies, limiter.prefixes, halves, strict=True):
            state, times = None, min(half, 50)
            for number in range(times):
                then = round((now - policy.window * (1 - number / times)) * 1_000_000)
                state = decide(state, half // times, then, policy.terms(then)).state
            connections[LOOPBACK].run(command("SET", prefix + client, state or "", "EX", 2 * policy.window))

    return lambda client: limiter.hit(client).allowed, fill


def _drf(rates: Sequence[str], distance: str) -> tuple[Hit, Fill]:
    from django.core.cache import caches
    from rest_framework.throttling import SimpleRateThrottle

    class Throttle(SimpleRateThrottle):  # type: ignore[misc]
        cache = caches[distance]

        def __init__(self, rate: str) -> None:
            self.rate = rate
            super().__init__()

        def get_cache_key(self, request: Any, view: str) -> str:
            return f"throttle_{self.rate}_{view}"

    def hit(client: str) -> bool:
        # DRF makes the throttles anew for each request, and asks all of them.
        return all(Throttle(rate).allow_request(None, client) for rate in rates)

    def fill(client: str, halves: Sequence[int]) -> None:
        for rate, half in zip(rates, halves, strict=True):
            now = time.time()
            # Each at a time of its own, the latest first: equal ones would be pickled once.
            history = [now - number / half for number in range(half)]
            caches[LOOPBACK].set(f"throttle_{rate}_{client}", history, RATES[rate][1])

    return hit, fill


def _limits(rates: Sequence[str], distance: str) -> tuple[Hit, Fill]:
    from limits import parse
    from limits.storage import storage_from_string
    from limits.strategies import MovingWindowRateLimiter

    limiter = MovingWindowRateLimiter(storage_from_string(settings.UPSTASH[distance]["URL"]))
    filler = MovingWindowRateLimiter(storage_from_string(settings.UPSTASH[LOOPBACK]["URL"]))
    items = [parse("{} per {} second".format(*RATES[rate])) for rate in rates]

    def fill(client: str, halves: Sequence[int]) -> None:
        for item, half in zip(items, halves, strict=True):
            filler.hit(item, client, cost=half)

    return lambda client: all(limiter.hit(item, client) for item in items), fill


def _upstash(rates: Sequence[str], distance: str) -> tuple[Hit, Fill]:
    import upstash_redis
    from upstash_ratelimit import Ratelimit, SlidingWindow

    client_api = upstash_redis.Redis(settings.UPSTASH[distance]["URL"], settings.UPSTASH[distance]["TOKEN"])
    windows = {rate: SlidingWindow(max_requests=RATES[rate][0], window=RATES[rate][1]) for rate in rates}
    limiters = [Ratelimit(redis=client_api, limiter=window, prefix=rate) for rate, window in windows.items()]

    def fill(client: str, halves: Sequence[int]) -> None:
        for limiter, half in zip(limiters, halves, strict=True):
            limiter.limit(client, rate=half)

    return lambda client: all(limiter.limit(client).allowed for limiter in limiters), fill


if __name__ == "__main__":
    main()
