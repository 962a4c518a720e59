"""Threads that carry batches for event loops: as few as there is work for, and none that outlives its use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from django_upstash.forks import ForkSafeLock

_IDLE_SECONDS = 10.0  # after which a thread without work ends


class Carriers:
    """
    At most ``most`` daemon threads, started as they are needed.

    ``concurrent.futures`` would refuse work once the main thread has ended, when other threads' loops may still run.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = ForkSafeLock()
        self._threads = 0
        self._idle = 0  # threads that wait, less those for which work is in the queue
        self._backlog = 0  # work in the queue for which no thread waits

    def submit(self, work: Callable[[], None]) -> None:
        """Have a thread call ``work``, which must not raise; ``RuntimeError`` where no thread can be started."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._threads >= self._most or not self._start():
                self._backlog += 1
        self._work.put(work)

    def close(self) -> None:
        """End the threads, each after what it is doing; what is queued is still done."""
        with self._lock:
            threads, self._idle, self._most = self._threads, 0, 0
        for _ in range(threads):
            self._work.put(None)

    def _start(self) -> bool:
        thread = threading.Thread(target=self._carry, name="django_upstash", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or may have no more threads
            if not self._threads:
                raise
            return False
        self._threads += 1
        return True

    def _carry(self) -> None:
        while (work := self._next()) is not None:
            work()
            del work  # it holds the batch, and the batch its loop
            with self._lock:
                if self._backlog:
                    self._backlog -= 1
                else:
                    self._idle += 1

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._work.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            with self._lock:
                if self._idle:
                    self._idle -= 1
                    self._threads -= 1
                    return None
        return self._work.get()  # it has been promised in the meantime
