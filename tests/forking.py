"""Two ways to fork: with Python's hooks, and in C without them, as uWSGI does by default."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

LONGEST = 60  # seconds that a child may take
ATTEMPTS = 3


def fork_in_c() -> int:
    """Fork, running none of the functions that were registered for that. No other thread must be busy."""
    # A thread that is asking for the interpreter's lock would be asking in the child, too, where it is not.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(LONGEST)
    time.sleep(0.01)
    try:
        pid: int = ctypes.PyDLL(None).fork()  # not CDLL, which would let another thread have that lock
    finally:
        sys.setswitchinterval(interval)
    return pid


WAYS: dict[str, Callable[[], int]] = {"with hooks": os.fork, "in C": fork_in_c} if hasattr(os, "fork") else {}


def exit_status_in_fork(check: Callable[[], object], fork: Callable[[], int] = fork_in_c) -> int:
    """Return the exit status of a forked child: 0 where ``check()`` is true there, 1 otherwise, 2 if it raises.

    CPython supports no fork in C while other threads exist, as they do in a test: now and then such a child crashes in
    the interpreter. Code in Python cannot cause that, so such a child says nothing, and another one is asked.
    """
    for _ in range(ATTEMPTS):
        status = _exit_status(check, fork)
        if status != -signal.SIGSEGV or fork is not fork_in_c:
            break
    return status


def _exit_status(check: Callable[[], object], fork: Callable[[], int]) -> int:
    pid = fork()
    if pid == 0:
        signal.alarm(LONGEST)
        try:
            os._exit(0 if check() else 1)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
