"""The machine: one core of it for everything, and what it is, for the report."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_DISTRIBUTIONS = ("django", "redis", "hiredis", "django-redis", "upstash-redis", "httpx", "httptools")


def pin_to_one_core() -> None:
    """
    Keep this process and all it starts on one core.

    On cores of their own, client and server would sleep and be woken for every reply, and waking a core takes
    longer than most of the operations measured.
    """
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def cpu_clock(pid: int) -> int:
    """Return the clock of another process's CPU time: Linux makes it of the pid, see clock_getcpuclockid(3)."""
    return ~pid << 3 | 2


def facts() -> dict[str, object]:
    """Return what times depend on, and nothing that tells whose machine it is."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        **{name: version(name) for name in _DISTRIBUTIONS},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
