"""
When a process writes what it has counted: at the end of a request or task what is due, at its own end everything.

Nothing here is a thread, which a serverless function would freeze and a fork would lose. How a process says that it
ends differs: most run ``atexit``; Celery's prefork children send a signal instead, and uWSGI has a function of its own.
ASGI servers speak the lifespan protocol: see ``contrib.asgi``. Where none of these is, ``write_all`` is to be called.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from django.core.signals import request_finished

__all__ = ["write_all"]


class Counted(NamedTuple):
    """Something that processes count. Neither function raises: what cannot be written is logged."""

    write_due: Callable[[], None]
    write_all: Callable[[], None]


_counted: list[Counted] = []
_UID = "django_upstash.flushing"


def register(counted: Counted) -> None:
    """Have ``counted`` written from now on; once is enough."""
    if counted in _counted:
        return
    if not _counted:
        request_finished.connect(_unit_ends, dispatch_uid=_UID)
        atexit.register(write_all)
    _counted.append(counted)
    _watch_celery()
    _watch_uwsgi()


def write_due() -> None:
    """Write what has been waiting long enough, as at the end of a request or task."""
    for counted in list(_counted):
        counted.write_due()


def write_all() -> None:
    """Write everything, as at the end of the process. May be called more than once."""
    for counted in list(_counted):
        counted.write_all()


def _unit_ends(**kwargs: Any) -> None:
    write_due()


def _process_ends(**kwargs: Any) -> None:
    write_all()


def _watch_celery() -> None:
    """Follow Celery's signals where this process runs a worker: by then they have been imported."""
    signals = sys.modules.get("celery.signals")
    if signals is None:
        return
    signals.task_postrun.connect(_unit_ends, weak=False, dispatch_uid=_UID)
    for end in (signals.worker_process_shutdown, signals.worker_shutdown):
        end.connect(_process_ends, weak=False, dispatch_uid=_UID)


def _watch_uwsgi() -> None:
    """Have uWSGI call us at a worker's end, beside what it calls already: there may be no ``atexit``."""
    uwsgi = sys.modules.get("uwsgi")
    before = getattr(uwsgi, "atexit", None)
    if uwsgi is None or getattr(before, "is_ours", False):
        return

    def ends() -> None:
        if before is not None:
            before()
        write_all()

    ends.is_ours = True  # type: ignore[attr-defined]
    uwsgi.atexit = ends  # type: ignore[attr-defined]
