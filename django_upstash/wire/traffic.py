"""Bytes sent and received, counted where they pass, without a lock on their way."""

from __future__ import annotations

import threading


class Flow:
    """What one wire has carried, in bytes. Only the holder of the wire adds to it."""

    __slots__ = ("ended", "received", "sent")

    def __init__(self) -> None:
        self.sent = self.received = 0
        self.ended = False  # set when the wire is closed, after which nothing is added


class Traffic:
    """The bytes that all wires of a connection have carried: those still open, and those that were."""

    def __init__(self) -> None:
        self._restart()

    def watch(self, flow: Flow) -> None:
        """Count what a newly opened wire carries from now on."""
        with self._lock:
            self._settle()
            self._flows.append(flow)

    def totals(self) -> tuple[int, int]:
        """Return the bytes sent and received so far."""
        with self._lock:
            self._settle()
            flows = self._flows
            return (
                self._sent + sum(flow.sent for flow in flows),
                self._received + sum(flow.received for flow in flows),
            )

    def after_fork(self) -> None:
        """In a forked child: start from zero, for the parent counts its own."""
        self._restart()

    def _restart(self) -> None:
        self._lock = threading.RLock()
        self._flows: list[Flow] = []
        self._sent = self._received = 0

    def _settle(self) -> None:
        """Add up the wires that have ended, so that the list is no longer than there are wires."""
        for flow in [flow for flow in self._flows if flow.ended]:
            self._sent += flow.sent
            self._received += flow.received
            self._flows.remove(flow)
