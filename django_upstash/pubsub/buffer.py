"""A bounded buffer between the connection, which must not wait, and a subscriber, who may be slow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future

from django_upstash.forks import ForkSafeLock
from django_upstash.pubsub.items import Gap, Message


class Buffer:
    """
    Items in order, at most so many messages and bytes of them; the oldest messages give way to new ones.

    What gave way, and gaps among it, become one ``Gap`` in front of what is left, so that no loss goes untold. Filled
    and emptied by any threads and tasks.
    """

    def __init__(self, most_messages: int, most_bytes: int) -> None:
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._lock = ForkSafeLock()
        self._items: deque[Message | Gap] = deque()
        self._messages = self._bytes = 0
        self._missing = Gap()
        self._waiters: list[Future[None]] = []
        self.has_ended = False
        self._error: BaseException | None = None

    def put(self, items: Iterable[Message | Gap]) -> None:
        with self._lock:
            if self.has_ended:
                return
            for item in items:
                if isinstance(item, Gap) and self._items and isinstance(last := self._items[-1], Gap):
                    self._items[-1] = last + item  # a server that comes and goes must not fill the buffer with gaps
                    continue
                self._items.append(item)
                self._count(item, 1)
            while self._messages > self._most_messages or self._bytes > self._most_bytes:
                self._give_way()
            waiters, self._waiters = self._waiters, []
        _wake(waiters)

    def take(self) -> Message | Gap | None:
        """
        Return the next item, or None if there is none yet.

        After the end of the buffer it raises its error, if it ended in one, and ``EndOfMessages``.
        """
        with self._lock:
            if self._missing != Gap():
                gap, self._missing = self._missing, Gap()
                return gap
            if self._items:
                item = self._items.popleft()
                self._count(item, -1)
                return item
            if self.has_ended:
                raise self._error or EndOfMessages
            return None

    def wait(self) -> Future[None]:
        """Return a future that is fulfilled when there is something to take; it may be cancelled."""
        waiter: Future[None] = Future()
        with self._lock:
            is_due = self._items or self.has_ended or self._missing != Gap()
            if not is_due:
                self._waiters = [*(other for other in self._waiters if not other.cancelled()), waiter]
        if is_due:
            waiter.set_result(None)
        return waiter

    def end(self, error: BaseException | None = None) -> None:
        """Take in no more; what waits can still be taken, and the error comes after it. Only the first end counts."""
        with self._lock:
            if self.has_ended:
                return
            self.has_ended, self._error = True, error
            waiters, self._waiters = self._waiters, []
        _wake(waiters)

    def clear(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._items.clear()
            self._messages = self._bytes = 0
            self._missing = Gap()

    def _give_way(self) -> None:
        item = self._items.popleft()
        self._count(item, -1)
        self._missing += item if isinstance(item, Gap) else Gap(dropped=1)

    def _count(self, item: Message | Gap, sign: int) -> None:
        if isinstance(item, Message):
            self._messages += sign
            self._bytes += sign * len(item.data)


class EndOfMessages(Exception):
    """The subscription was closed."""


def _wake(waiters: list[Future[None]]) -> None:
    for waiter in waiters:
        if waiter.set_running_or_notify_cancel():
            waiter.set_result(None)
