"""
Deadlines in an event loop, where time in which other code blocks the loop is nobody's silence.

A timer that fires late says that the loop was blocked, not that the server was slow: what has come in the meantime
waits in the socket. So a wait of several steps counts only time in which the loop could work, and a deadline that has
passed takes one last look before it decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

SLICES = 10  # of a wait: a blocked loop costs at most one of them each time
# After a deadline, until what has come is read: uvloop runs timers, then callbacks, and reads after both.
_TURNS = 3
_MOST_TURNS = 2000  # for an answer that is still being read; each takes in up to 256 KiB


class Spent:
    """How much of a wait has been used up: a slice for each timer, however late it rings."""

    def __init__(self, seconds: float, limit: asyncio.Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._limit = limit
        self._slices = 0
        self._wait()

    @property
    def used(self) -> float:
        """The seconds, in whole slices, that the loop has spent in the wait."""
        return self._seconds * self._slices / SLICES

    def stop(self) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = self._loop.call_later(self._seconds / SLICES, self._ring)

    def _ring(self) -> None:
        self._slices += 1
        if self._slices < SLICES:
            self._wait()
        else:
            self._limit.reschedule(self._loop.time())


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[Spent]:
    """End the block in ``builtins.TimeoutError`` after so many seconds in which the loop was free to work."""
    async with asyncio.timeout(None) as limit:
        spent = Spent(seconds, limit)
        try:
            yield spent
        finally:
            spent.stop()


def after_last_look(
    loop: asyncio.AbstractEventLoop, has_news: Callable[[], bool], decide: Callable[[], None], turns: int = _TURNS
) -> None:
    """Call ``decide`` when the loop has had its turns to read, and there is no more to be read."""
    if turns > 0 or (turns > -_MOST_TURNS and has_news()):
        loop.call_soon(after_last_look, loop, has_news, decide, turns - 1)
    else:
        decide()
