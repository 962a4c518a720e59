"""What a worker without work waits at, and what ends that waiting when the worker is to stop."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from django_upstash.adapters.dedicated import DedicatedConnections
from django_upstash.connections import Connection
from django_upstash.queues.waiting import blocking_command, blocks


class Bell:
    """Rings when a queue has a new job, natively, and when ``stop`` is called, on every route."""

    def __init__(self, connection: Connection) -> None:
        self.stopped = threading.Event()
        # A pool of its own: ending its waiting ends nobody else's, not that of the tasks either.
        self._connections = DedicatedConnections(connection) if blocks(connection) else None

    def wait(self, wakes: Sequence[str], seconds: float) -> None:
        """Return when a job may be there, after so many seconds, or once stopped."""
        if self._connections is None or self.stopped.is_set():
            self.stopped.wait(seconds)
        else:
            self._connections.run(blocking_command(wakes, seconds))

    def pause(self, seconds: float) -> None:
        """Return after so many seconds, or once stopped."""
        self.stopped.wait(seconds)

    def stop(self) -> None:
        """Wake the waiter. A waiter that has not started yet needs another call."""
        self.stopped.set()
        if self._connections is not None:
            self._connections.disconnect()
