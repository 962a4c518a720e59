"""
Whether a server is worth asking: while it does not answer, it is left alone, and tried once a second.

Every connection has one ``Availability``, which learns from all that runs there. Features that have something else to
say in the server's place ask it first; what wants the server or an error need not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter

PAUSE = 1.0


class Availability:
    """
    What one process knows of whether one server answers. Times are those of ``perf_counter``, in seconds.

    While it does not, ``may_ask`` lets one caller through per ``pause``, whether or not the one before has its answer
    yet: a caller that waits for a lost reply keeps nobody from finding out that the server is back.
    """

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = perf_counter) -> None:
        self.pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._next_try = 0.0
        self._returned_at = float("-inf")
        self.is_up = True

    def may_ask(self) -> bool:
        """Tell whether this caller is to ask the server now, in which case it must."""
        return self.is_up or self._take_turn()

    def failed(self, error: BaseException, started: float) -> None:
        """Learn that what was sent at ``started`` ended in an error, which counts where no server has said it."""
        # Not imported before a server is asked.
        from redis.exceptions import ConnectionError, MaxConnectionsError, TimeoutError

        if not isinstance(error, ConnectionError | TimeoutError) or isinstance(error, MaxConnectionsError):
            return
        with self._lock:
            # What was sent before the server came back says nothing about now.
            if self.is_up and started >= self._returned_at:
                self.is_up = False
                self._next_try = self._clock() + self.pause

    def answered(self) -> None:
        """Learn that the server has answered."""
        if not self.is_up:
            with self._lock:
                if not self.is_up:
                    self.is_up = True
                    self._returned_at = self._clock()

    def after_fork(self) -> None:
        """In a forked child: replace the lock, which another thread of the parent may have held."""
        self._lock = threading.Lock()

    def _take_turn(self) -> bool:
        with self._lock:
            now = self._clock()
            if self.is_up or now < self._next_try:
                return self.is_up
            self._next_try = now + self.pause
            return True
