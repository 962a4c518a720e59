"""
Whether a server is worth asking: while it does not answer, it is left alone, and tried in the background.

Every connection has one ``Availability``, which learns from all that runs there. Features that have something else to
say in the server's place ask it first; what wants the server or an error need not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import perf_counter

from django_upstash.forks import ForkSafeLock
from django_upstash.log import get_logger

PAUSE = 1.0
# Seconds after which a probe that has not ended tells nothing: its process was frozen, or its thread never ran.
LONGEST_PROBE = 1.5
# Seconds without a caller that a frozen process, or one with little to do, differs by from one whose threads are late.
_SILENCE = 0.5
# Seconds that a caller waits for the first probe after a time in which nobody asked.
_SHORT_WAIT = 0.25
logger = get_logger("django_upstash")


class _Turn:
    """One attempt to find out whether the server is back."""

    def __init__(self, since: float, *, is_inline: bool = False, is_overdue: bool = False) -> None:
        self.since = since
        self.is_inline = is_inline  # the caller is to find out itself
        self.is_overdue = is_overdue  # nobody has tried for longer than a probe and a pause take
        self.ended = threading.Event()


class Availability:
    """
    What one process knows of whether one server answers. Times are those of ``perf_counter``, in seconds.

    While it does not, nobody waits for it: the first caller after each ``pause`` has ``probe`` called in a thread that
    ends with it, one at a time, and gets "not now" like all others. ``probe`` exchanges a word with the server,
    and raises what the exchange ends in.

    Processes are frozen between requests (AWS Lambda), and some run no threads (uWSGI). So a probe that has not ended
    in ``LONGEST_PROBE`` seconds is void, and a caller that comes after a silence finds out itself, once; and who asks
    after a longer silence waits a quarter of a second for the probe that begins then.
    """

    def __init__(
        self, probe: Callable[[], object], pause: float = PAUSE, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.pause = pause
        self._probe = probe
        self._clock = clock
        self._lock = ForkSafeLock()
        self._turn: _Turn | None = None
        self._was_void = False  # the last probe told nothing
        self._tried_at = self._asked_at = self._returned_at = float("-inf")
        self.is_up = True

    def may_ask(self) -> bool:
        """Tell whether the server answers, as far as is known; where it is time to find out, begin to."""
        if self.is_up:
            return True
        turn = self._take_turn()
        if turn is None:
            return self.is_up
        in_loop = _in_event_loop()
        if turn.is_inline and in_loop:
            return True  # the caller's own operation finds out, and blocks no loop
        if turn.is_inline:
            self._find_out(turn)
            return self.is_up
        self._start_probe(turn)
        if turn.is_overdue and not in_loop:
            turn.ended.wait(_SHORT_WAIT)
        return self.is_up

    def failed(self, error: BaseException, started: float) -> None:
        """Learn that what was sent at ``started`` ended in an error, which counts where no server has said it."""
        if not _is_outage(error):
            return
        turn = None
        with self._lock:
            # What was sent before the server came back says nothing about now.
            if self.is_up and started >= self._returned_at:
                self.is_up = False
                self._tried_at = self._asked_at = self._clock()
                if getattr(error, "is_doubtful", False):
                    turn = self._turn = _Turn(self._tried_at)
        if turn is not None:
            self._start_probe(turn)

    def answered(self) -> None:
        """Learn that the server has answered."""
        if not self.is_up:
            with self._lock:
                if not self.is_up:
                    self.is_up = True
                    self._returned_at = self._clock()

    def after_fork(self) -> None:
        """In a forked child: forget the probe, which goes on in the parent alone."""
        self._turn = None
        self._was_void = False

    def _take_turn(self) -> _Turn | None:
        with self._lock:
            now = self._clock()
            silence, self._asked_at = now - self._asked_at, now
            if self.is_up or not self._is_due(now):
                return None
            is_inline = self._was_void or (self._turn is not None and silence > _SILENCE)
            is_overdue = now > self._tried_at + self.pause + LONGEST_PROBE
            turn = self._turn = _Turn(now, is_inline=is_inline, is_overdue=is_overdue)
            self._was_void = False
            self._tried_at = now
            return turn

    def _is_due(self, now: float) -> bool:
        if self._turn is not None:
            return now >= self._turn.since + LONGEST_PROBE
        return self._was_void or now >= self._tried_at + self.pause

    def _start_probe(self, turn: _Turn) -> None:
        # A daemon, for the process is not to wait for the server when it ends.
        thread = threading.Thread(target=self._find_out, args=(turn,), name="django_upstash-probe", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the process ends, or may have no more threads
            logger.debug("Whether the server is back cannot be found out in a thread: %s", error)
            self._end(turn, is_void=True)

    def _find_out(self, turn: _Turn) -> None:
        is_void = False
        try:
            self._probe()
        except Exception as error:
            if _is_outage(error):
                is_void = not turn.is_inline and self._clock() > turn.since + LONGEST_PROBE
                logger.debug("The server is still away: %s", error)
            else:
                # An error that is no outage for a caller is no outage here: the next caller gets it and can report it.
                self.answered()
        else:
            self.answered()
        finally:
            self._end(turn, is_void)

    def _end(self, turn: _Turn, is_void: bool) -> None:
        with self._lock:
            if self._turn is turn:  # and not a later one
                self._turn = None
                self._was_void = is_void
        turn.ended.set()


def _is_outage(error: BaseException) -> bool:
    return bool(getattr(error, "is_outage", False))


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
