"""What a connection has cost and how it has fared, counted in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_upstash.operations import Operation


class Meter:
    """
    Counts of one connection: round trips asked for, commands in them, failures, and the seconds they took.

    ``commands`` are those sent; Upstash bills those a script runs inside as well.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = self.commands = self.errors = 0
        self.seconds = 0.0

    def ran(self, operation: Operation[Any], seconds: float) -> None:
        with self._lock:
            self.requests += 1
            self.commands += len(operation.commands)
            self.seconds += seconds

    def failed(self, operation: Operation[Any], seconds: float, error: Exception) -> None:
        with self._lock:
            self.requests += 1
            self.errors += 1
            self.seconds += seconds

    def after_fork(self) -> None:
        self._lock = threading.Lock()
