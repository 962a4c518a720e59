"""
Whether a server is worth asking: while it does not answer, it is left alone, and tried in the background.

Every connection has one ``Availability``, which learns from all that runs there. Features that have something else to
say in the server's place ask it first; what wants the server or an error need not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import perf_counter

PAUSE = 1.0
logger = logging.getLogger("django_upstash")


class Availability:
    """
    What one process knows of whether one server answers. Times are those of ``perf_counter``, in seconds.

    While it does not, nobody waits for it: whoever asks once a ``pause`` is over has ``probe`` called in a thread that
    ends with it, one at a time, and is told "not now" like all others. ``probe`` exchanges a word with the server,
    and raises what the exchange ends in.
    """

    def __init__(
        self, probe: Callable[[], object], pause: float = PAUSE, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.pause = pause
        self._probe = probe
        self._clock = clock
        self._lock = threading.Lock()
        self._is_probing = False
        self._tried_at = self._returned_at = float("-inf")
        self.is_up = True

    def may_ask(self) -> bool:
        """Tell whether the server answers, as far as is known; where it is time to find out, begin to."""
        if self.is_up:
            return True
        if self._take_turn():
            self._start_probe()
        return False

    def failed(self, error: BaseException, started: float) -> None:
        """Learn that what was sent at ``started`` ended in an error, which counts where no server has said it."""
        if not _is_outage(error):
            return
        with self._lock:
            # What was sent before the server came back says nothing about now.
            if self.is_up and started >= self._returned_at:
                self.is_up = False
                self._tried_at = self._clock()

    def answered(self) -> None:
        """Learn that the server has answered."""
        if not self.is_up:
            with self._lock:
                if not self.is_up:
                    self.is_up = True
                    self._returned_at = self._clock()

    def after_fork(self) -> None:
        """In a forked child: forget the lock, which another thread of the parent may have held, and its probe."""
        self._lock = threading.Lock()
        self._is_probing = False

    def _take_turn(self) -> bool:
        with self._lock:
            now = self._clock()
            if self.is_up or self._is_probing or now < self._tried_at + self.pause:
                return False
            self._tried_at = now
            self._is_probing = True
            return True

    def _start_probe(self) -> None:
        # A daemon, for the process is not to wait for the server when it ends.
        thread = threading.Thread(target=self._find_out, name="django_upstash-probe", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the process ends, or may have no more threads
            self._is_probing = False
            logger.debug("Whether the server is back cannot be found out now: %s", error)

    def _find_out(self) -> None:
        try:
            self._probe()
        except Exception as error:
            if _is_outage(error):
                logger.debug("The server is still away: %s", error)
            else:
                # What is no outage for a caller is none here: the next one meets with it, and can say so.
                self.answered()
        else:
            self.answered()
        finally:
            self._is_probing = False


def _is_outage(error: BaseException) -> bool:
    # Not imported before a server is asked.
    from redis.exceptions import ConnectionError, MaxConnectionsError, TimeoutError

    return isinstance(error, ConnectionError | TimeoutError) and not isinstance(error, MaxConnectionsError)
