"""
Rate limits against their peers: ``python -m benchmarks.throttling [--quick] [--rounds N] [--only NAME]`` prints JSON.

Ours, DRF's throttle on django-redis, and where it is installed ``limits`` (moving window), on loopback and with 5 ms
added on the wire; over REST, ours and where it is installed ``upstash-ratelimit`` (sliding window). Half of each limit
is used. Times are medians over interleaved rounds, with client and servers on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from importlib.util import find_spec
from itertools import count, cycle
from typing import Any, TypeAlias

import django
from django.conf import settings

from benchmarks import machine
from benchmarks.rounds import Row, Timing, burst_of, measure
from benchmarks.servers import RestAddress, start_rest_server
from django_upstash.connections import connections
from tests.servers import ServerMissing, start_valkey
from tests.wire import FaultProxy

# Asks for a client, and tells whether it may pass; and uses so much of its limit beforehand.
Hit: TypeAlias = Callable[[str], object]
Fill: TypeAlias = Callable[[str, Sequence[int]], None]
Make: TypeAlias = Callable[[list[str], str], tuple[Hit, Fill]]

OURS, DRF, LIMITS, UPSTASH = "ours", "DRF on django-redis", "limits, moving window", "upstash-ratelimit"
LOOPBACK, FAR, REST = "loopback", "with 5 ms", "REST"
LATENCY = 0.005  # seconds, on each round trip
RATES = {"60/min": (60, 60), "1000/day": (1000, 86400), "10000/day": (10_000, 86400)}
THREE = "three at once"
# How many times as fast as a peer ours is meant to be.
GOALS: dict[tuple[str, str], float] = {
    (f"1000/day, {LOOPBACK}", DRF): 3,
    (f"1000/day, {FAR}", DRF): 1.9,
    (f"{THREE}, {FAR}", DRF): 5,
    **{(f"{rate}, {LOOPBACK}", LIMITS): 1 for rate in RATES},
}
_HITS = {LOOPBACK: 8000, FAR: 3000, REST: 6000}  # of one contender in one row, at most
_ROUNDS, _QUICK_ROUNDS, _QUICK_SECONDS = 31, 2, 0.0005
_numbers = count()


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if sys.platform != "linux":
        parser.exit(1, "The benchmark pins everything to one core and reads other processes' clocks: it needs Linux.\n")
    try:
        json.dump(_report(arguments), sys.stdout, indent=2)
    except ServerMissing as error:
        parser.exit(1, f"{error}\n")
    print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throttling", description=__doc__.splitlines()[1])
    parser.add_argument("--quick", action="store_true", help="show that everything runs; the times mean nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"turns of each contender (default: {_ROUNDS})")
    parser.add_argument("--only", default="", metavar="NAME", help="only rows whose name contains NAME")
    return parser


def _report(arguments: argparse.Namespace) -> dict[str, Any]:
    machine.pin_to_one_core()
    with ExitStack() as stack:
        server = stack.enter_context(start_valkey())
        proxy = stack.enter_context(FaultProxy(server.port))
        proxy.latency(LATENCY)
        rest = stack.enter_context(start_rest_server(server.tcp_url))
        _configure({LOOPBACK: server.tcp_url, FAR: proxy.url}, rest)
        stack.callback(connections.close_all)
        names = [(name, distance) for distance in (LOOPBACK, FAR, REST) for name in (*RATES, THREE)]
        wanted = [each for each in names if arguments.only in ", ".join(each)]
        rows = [_measured(_row(*each), arguments, [server.process.pid, rest.pid]) for each in wanted]
        return {"machine": machine.facts(), "rows": rows}


def _configure(urls: Mapping[str, str], rest: RestAddress) -> None:
    cache = "django_redis.cache.RedisCache"
    settings.configure(
        SECRET_KEY="only for the benchmarks",
        INSTALLED_APPS=["django_upstash"],
        UPSTASH={
            REST: {"URL": rest.url, "TOKEN": rest.token},
            **{distance: {"URL": url} for distance, url in urls.items()},
        },
        UPSTASH_RATELIMIT={"TIMEOUT": 5, "ON_FAILURE": "closed"},
        CACHES={
            "default": {"BACKEND": cache, "LOCATION": urls[LOOPBACK]},
            **{distance: {"BACKEND": cache, "LOCATION": url} for distance, url in urls.items()},
        },
    )
    django.setup()


def _row(name: str, distance: str) -> Row:
    rates = list(RATES) if name == THREE else [name]
    makers: dict[str, Make] = {OURS: _ours}
    if distance != REST:
        makers |= {DRF: _drf} | ({LIMITS: _limits} if find_spec("limits") else {})
    elif find_spec("upstash_ratelimit"):
        makers[UPSTASH] = _upstash
    hits = _HITS[distance]
    contenders = {peer: burst_of(_hitting(rates, hits, *make(rates, distance))) for peer, make in makers.items()}
    # Far away it is the waiting, and elsewhere what it takes of the core. Bursts are measured by the core's time.
    kind: Any = "wall" if distance == FAR else "core"
    return Row(f"{name}, {distance}", contenders, measure=kind, seconds=0.002 if distance == FAR else 0.01)


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


def _ours(rates: list[str], distance: str) -> tuple[Hit, Fill]:
    from django_upstash.ratelimit import RateLimiter, SlidingWindow

    limiters = [RateLimiter(SlidingWindow(rate, scope=rate), alias=LOOPBACK) for rate in rates]
    together = RateLimiter([SlidingWindow(rate, scope=rate) for rate in rates], alias=distance)

    def fill(client: str, halves: Sequence[int]) -> None:
        for limiter, half in zip(limiters, halves, strict=True):
            limiter.hit(client, half)

    return lambda client: together.hit(client).allowed, fill


def _drf(rates: list[str], distance: str) -> tuple[Hit, Fill]:
    from django.core.cache import caches
    from rest_framework.throttling import SimpleRateThrottle  # type: ignore[import-untyped]

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


def _limits(rates: list[str], distance: str) -> tuple[Hit, Fill]:
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


def _upstash(rates: list[str], distance: str) -> tuple[Hit, Fill]:
    import upstash_redis
    from upstash_ratelimit import Ratelimit, SlidingWindow

    client_api = upstash_redis.Redis(settings.UPSTASH[distance]["URL"], settings.UPSTASH[distance]["TOKEN"])
    windows = {rate: SlidingWindow(max_requests=RATES[rate][0], window=RATES[rate][1]) for rate in rates}
    limiters = [Ratelimit(redis=client_api, limiter=window, prefix=rate) for rate, window in windows.items()]

    def fill(client: str, halves: Sequence[int]) -> None:
        for limiter, half in zip(limiters, halves, strict=True):
            limiter.limit(client, rate=half)

    return lambda client: all(limiter.limit(client).allowed for limiter in limiters), fill


def _measured(row: Row, arguments: argparse.Namespace, servers: Sequence[int]) -> dict[str, Any]:
    """Return a row of the report. Times are microseconds per decision."""
    print(row.name, "...", file=sys.stderr)
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    quick = replace(row, seconds=_QUICK_SECONDS) if arguments.quick else row
    timings = measure(quick, rounds, servers)
    return {
        "name": row.name,
        "rounds": rounds,
        "measure": row.measure,
        "microseconds": {name: asdict(timing) for name, timing in timings.items()},
        "comparisons": list(_comparisons(row, timings)),
    }


def _comparisons(row: Row, timings: Mapping[str, Timing]) -> Iterator[dict[str, Any]]:
    for peer in [name for name in timings if name != OURS]:
        ratio = round(getattr(timings[peer], row.measure) / getattr(timings[OURS], row.measure), 2)
        found: dict[str, Any] = {"ours": OURS, "peer": peer, row.measure: ratio}
        if goal := GOALS.get((row.name, peer)):
            found |= {"goal": goal, "reached": ratio >= goal}
        yield found


if __name__ == "__main__":
    main()
