"""Renewal: a thread or a task that extends a lease from time to time, until it is stopped or the lease is gone."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Protocol

from django_upstash.operations.steps import Flow, adrive, drive

# A lease is extended after a third of it, so that one failure, and its timeout, need not end it.
SHARE = 3


class Renewable(Protocol):
    """A lock as far as renewals know it: ``renewing`` returns the pause before the next, None at the end."""

    @property
    def name(self) -> str: ...
    @property
    def lease(self) -> float: ...
    def renewing(self) -> Flow[float | None]: ...


class Renewal(Protocol):
    def stop(self) -> None:
        """Extend no more."""


class ThreadRenewal:
    """
    Renews in a thread of its own.

    It does not keep the lock object: one that nobody has any more, though it was never released, is not renewed.
    """

    def __init__(self, lock: Renewable) -> None:
        self._lock = weakref.ref(lock)
        self._stopped = threading.Event()
        self._pause: float | None = lock.lease / SHARE
        threading.Thread(target=self._run, name=f"renewing {lock.name}", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while self._pause is not None and not self._stopped.wait(self._pause):
            lock = self._lock()
            if lock is None:
                return
            self._pause = drive(lock.renewing())
            del lock


class TaskRenewal:
    """Renews in a task of the running event loop; does not keep the lock object either."""

    def __init__(self, lock: Renewable) -> None:
        self._lock = weakref.ref(lock)
        self._pause: float | None = lock.lease / SHARE
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    def stop(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _run(self) -> None:
        while self._pause is not None:
            await asyncio.sleep(self._pause)
            lock = self._lock()
            if lock is None:
                return
            self._pause = await adrive(lock.renewing())
            del lock
