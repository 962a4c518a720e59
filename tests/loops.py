"""Event loops that code must run on: asyncio's own, and uvloop's, which app servers take where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")
HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


def needs_uvloop(value: str) -> Any:
    """Return a parameter of a test that is skipped where uvloop is not installed."""
    return pytest.param(value, marks=pytest.mark.skipif(not HAS_UVLOOP, reason="uvloop is not installed"))


on_each_loop = pytest.mark.parametrize("loop", ["asyncio", needs_uvloop("uvloop")])


def new_loop(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the function that makes a loop of this name."""
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def run(main: Coroutine[Any, Any, Result], loop: str = "asyncio") -> Result:
    """Do as ``asyncio.run`` does, in a loop of this name."""
    with asyncio.Runner(loop_factory=new_loop(loop)) as runner:
        return runner.run(main)
