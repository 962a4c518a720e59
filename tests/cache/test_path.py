"""The path of a native ``get``: what it costs in Python is counted, for every further call is a few per cent."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from django_upstash.cache import UpstashCache

# As many as before the wire's deadlines were kept by `poll`, or fewer.
MOST_CALLS = 20
MOST_BLOCKS = 0


def calls_of(act: Callable[[], object]) -> int:
    """Return how many Python functions a call enters."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def blocks_of(act: Callable[[], object]) -> int:
    """Return how many blocks of memory are left allocated by a call; the least of several, for others allocate too."""
    left = []
    gc.disable()
    try:
        for _ in range(20):
            before = sys.getallocatedblocks()
            act()
            left.append(sys.getallocatedblocks() - before)
    finally:
        gc.enable()
    return min(left)


def test_get__enters_no_more_functions_and_leaves_nothing_behind(make_cache: Callable[..., UpstashCache]) -> None:
    cache = make_cache("native", KEY_PREFIX="path")
    cache.set("k", "v")

    def get() -> None:
        cache.get("k")

    get()
    assert calls_of(get) <= MOST_CALLS
    assert blocks_of(get) <= MOST_BLOCKS
