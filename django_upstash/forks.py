"""
What a forked child must not share with its parent, and the one test that notices a fork.

``os.register_at_fork`` alone is not enough: uWSGI forks its workers in C and runs no such hook unless it is configured
to (``py-call-osafterfork``), and Windows has no such function. So code that uses state of this kind calls
``check_fork()`` first; taking a ``ForkSafeLock`` or a ``Turn`` of this module does so as well.

Process ids tell, but asking for one is a system call in the way of every command. Linux clears memory in forked
children on request (``MADV_WIPEONFORK``), and a look at that costs next to nothing.
"""

from __future__ import annotations

import mmap
import os
import secrets
import socket
import threading
from collections.abc import Callable
from random import Random
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

Value = TypeVar("Value")

_resets: list[Callable[[], None]] = []
_process = os.getpid()  # from the beginning of its resets on
# A lock of the parent may be held for ever in the child, so each process has its own.
_locks: dict[int, threading.RLock] = {}
_is_resetting = False
_WIPE_ON_FORK = 18  # MADV_WIPEONFORK of Linux 4.14 and later, which Python's module does not name


class ComparedIds:
    """What is true at 0 in the process that has set it, by comparing ids."""

    def __getitem__(self, place: int) -> int:
        return os.getpid() == self._pid

    def __setitem__(self, place: int, value: int) -> None:
        self._pid = os.getpid()


def _make_mark() -> mmap.mmap | ComparedIds:
    try:
        found = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        found.madvise(_WIPE_ON_FORK)
    except (AttributeError, OSError, TypeError, ValueError):
        return ComparedIds()
    return found


# True at 0, but in a forked child, until it has reset everything. The busiest path looks here before ``check_fork()``.
mark = _make_mark()
mark[0] = 1


def reset_after_fork(reset: Callable[[], None]) -> Callable[[], None]:
    """Call ``reset`` once in each forked child, before the state it resets is used there. Usable as a decorator."""
    _resets.append(reset)
    return reset


def check_fork() -> None:
    """Reset what a forked child must not share, if this process is one and has not done so yet."""
    if not mark[0]:
        _reset()


def _reset() -> None:
    global _process, _is_resetting
    pid = os.getpid()
    with _locks.setdefault(pid, threading.RLock()):
        # A reset that checks is at it itself; one that was under way in another thread of the parent has ended with it.
        if mark[0] or (_is_resetting and _process == pid):
            return
        _process, _is_resetting = pid, True
        try:
            for reset in list(_resets):
                reset()
            mark[0] = 1
        finally:
            _is_resetting = False


class ForkSafeLock:
    """
    A lock for a few assignments, which a forked child finds free, with all state reset that a child must not share.

    A thread may take it again while it holds it, for signal handlers and finalizers run anywhere, this code included.
    Nothing that waits belongs inside.
    """

    __slots__ = ("_by_process",)

    def __init__(self) -> None:
        self._by_process: dict[int, threading.RLock] = {}

    def __enter__(self) -> None:
        check_fork()
        lock = self._by_process.get(_process) or self._by_process.setdefault(_process, threading.RLock())
        lock.acquire()

    def __exit__(self, *error: object) -> None:
        lock = self._by_process.get(_process)
        if lock is None:
            return  # this process was forked while the lock was held
        try:
            lock.release()
        except RuntimeError:
            return  # and has taken its own lock meanwhile


class PerConnection(Generic[Value]):
    """
    What a process keeps of each connection: a value, made when it is first asked for, and gone with the connection.

    In a forked child, ``reset`` is called with each value before it is used there.
    """

    def __init__(self, make: Callable[..., Value], reset: Callable[[Value], None] | None = None) -> None:
        self._make = make
        self._reset = reset
        self._lock = ForkSafeLock()
        self._values: WeakKeyDictionary[Any, Value] = WeakKeyDictionary()
        reset_after_fork(self._after_fork)

    def of(self, connection: object, *arguments: Any) -> Value:
        """Return the one value of a connection, which is made with these arguments."""
        check_fork()
        found = self._values.get(connection)
        if found is None:
            with self._lock:
                found = self._values.get(connection)
                if found is None:
                    found = self._values[connection] = self._make(*arguments)
        return found

    def items(self) -> list[tuple[Any, Value]]:
        """Return the connections and their values."""
        with self._lock:
            return list(self._values.items())

    def _after_fork(self) -> None:
        if self._reset is not None:
            for value in list(self._values.values()):
                self._reset(value)


class Owner:
    """The process that something belongs to which is given back at its end, such as a lock: no child gives it back."""

    __slots__ = ("_process",)

    def __init__(self) -> None:
        self._process = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether it is this process, and not one that this was forked from."""
        return self._process == os.getpid()


class Turn:
    """The right to do what may take a while, such as to ask a server. Nobody waits for it, so nothing can be stuck."""

    __slots__ = ("_by_process",)

    def __init__(self) -> None:
        self._by_process: dict[int, threading.Lock] = {}

    def take(self) -> bool:
        """Take the turn, unless somebody in this process has it; tell whether it was taken."""
        check_fork()
        lock = self._by_process.get(_process) or self._by_process.setdefault(_process, threading.Lock())
        return lock.acquire(blocking=False)

    def end(self) -> None:
        """Let another have it."""
        lock = self._by_process.get(_process)
        if lock is not None and lock.locked():
            lock.release()


# For pauses that must not be the same in all children of a process, as the standard generator's are under uWSGI.
random = Random()
reset_after_fork(random.seed)
_run = secrets.token_hex(4)


@reset_after_fork
def _draw() -> None:
    global _run
    _run = secrets.token_hex(4)


def process_name() -> str:
    """Return what no other process is called: containers often share process ids, and forks what was drawn before."""
    check_fork()
    return f"{socket.gethostname()}:{os.getpid()}:{_run}"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=check_fork)
