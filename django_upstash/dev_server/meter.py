"""What the clients of the local server have cost, counted as Upstash would bill it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any


class ServerMeter:
    """
    Counts since the start or the last reset.

    ``requests`` are HTTP requests. ``commands`` are billed commands: each of a pipeline or a transaction, MULTI and
    EXEC, and every one that a script runs. ``bytes_in`` and ``bytes_out`` are the sizes of request and response bodies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._requests = self._bytes_in = self._bytes_out = 0
            self._by_command: Counter[str] = Counter()

    def received(self, size: int) -> None:
        with self._lock:
            self._requests += 1
            self._bytes_in += size

    def ran(self, names: Iterable[str]) -> None:
        with self._lock:
            self._by_command.update(names)

    def sent(self, size: int) -> None:
        with self._lock:
            self._bytes_out += size

    def snapshot(self) -> dict[str, Any]:
        """Return the counts as plain data, taken at one moment."""
        with self._lock:
            return {
                "requests": self._requests,
                "commands": self._by_command.total(),
                "by_command": dict(sorted(self._by_command.items())),
                "bytes_in": self._bytes_in,
                "bytes_out": self._bytes_out,
            }
