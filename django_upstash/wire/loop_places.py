"""The connections that event loops have of their own."""

from __future__ import annotations

import weakref
from typing import Any

from django_upstash.forks import ForkSafeLock
from django_upstash.wire.places import Place
from django_upstash.wire.pool import Stock, Waiter


class LoopPlaces:
    """
    The connections that event loops have of their own, each for as long as its holder lives.

    They are places of the pool that threads use, half of them at most: the threads of loops that get none need some.
    """

    def __init__(self, stock: Stock[Any]) -> None:
        self._stock = stock
        self._lock = ForkSafeLock()
        self.after_fork()

    def take(self, holder: object, *, in_line: bool = False) -> bool:
        """
        Take a place for the holder; return whether there was one.

        ``in_line`` asks for one behind the threads that wait, where all connections are in use: a later call takes it.
        """
        with self._lock:
            if holder in self._held:
                return True
            if holder in self._waiting or len(self._held) + len(self._waiting) >= self._stock.size // 2:
                return False
            place = self._stock.make_place()
            if place is not None:
                self._held[holder] = place
            elif in_line:
                self._waiting.add(holder)
                self._stock.line.append(_LoopWaiter(holder, self))
            return place is not None

    def given(self, holder: object | None, place: Place) -> None:
        """Learn that a place has become free for the holder, or what is left of it."""
        with self._lock:
            if holder in self._waiting:
                self._waiting.discard(holder)
                self._held[holder] = place
                return
        place.free()

    def give_back(self, holder: object) -> None:
        with self._lock:
            self._waiting.discard(holder)
            place = self._held.pop(holder, None)
        if place is not None:
            place.free()

    def after_fork(self) -> None:
        """In a forked child: forget the parent's holders."""
        self._held: weakref.WeakKeyDictionary[object, Place] = weakref.WeakKeyDictionary()
        self._waiting: weakref.WeakSet[object] = weakref.WeakSet()


class _LoopWaiter(Waiter[Any]):
    """A loop in the line of threads: what it is given it takes when it looks again."""

    __slots__ = ("_holder", "_places")

    def __init__(self, holder: object, places: LoopPlaces) -> None:
        super().__init__(is_patient=False)
        self._holder = weakref.ref(holder)
        self._places = places

    def give(self, what: Any) -> None:
        place = what
        if not isinstance(what, Place):
            what.close()
            place, what.place = what.place, None
        if place is not None:
            self._places.given(self._holder(), place)
