"""Imaginary clients of an imaginary search, so that the admin's page of rate limits has something to show."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django_upstash.ratelimit import RateLimiter, SlidingWindow, TokenBucket

limiter = RateLimiter([SlidingWindow("60/h", scope="search per hour"), TokenBucket("10/min", scope="search at once")])
_CLIENTS = [*(f"user:{number}" for number in range(1, 25)), *(f"203.0.113.{number}" for number in range(1, 30))]
# Some ask much more often than others.
_WEIGHTS = [1 / place for place in range(1, len(_CLIENTS) + 1)]
_HITS = 300


def search() -> None:
    """Let one of the clients search."""
    limiter.hit(random.choices(_CLIENTS, _WEIGHTS)[0])


@contextmanager
def searching(seconds: float = 0.5) -> Iterator[None]:
    """Let clients have searched a while, and go on searching until the end of the block."""
    for _ in range(_HITS):
        search()
    limiter.block("203.0.113.7", 3600)
    limiter.set_limit("search per hour", 200, identity="user:3")
    limiter.write_statistics()
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(seconds):
            search()

    thread = threading.Thread(target=go_on, name="searching", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
