"""``manage.py upstash_worker``: runs the tasks of a backend of ``TASKS``."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

if TYPE_CHECKING:
    from django_upstash.tasks import UpstashBackend
    from django_upstash.tasks.worker import Worker

SERVER_AWAY, UNUSABLE, INTERRUPTED = 1, 2, 130
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Command(BaseCommand):
    help = "Run tasks until SIGTERM or Ctrl-C, which let the running ones finish; a second one ends at once."

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--backend", default="default", metavar="ALIAS", help="a backend of TASKS; default")
        add("--queue", action="append", dest="queues", metavar="NAME", help="only this queue's; repeat, first first")
        add("--concurrency", type=int, default=1, metavar="N", help="run so many tasks at once, in threads; 1")
        add("--burst", action="store_true", help="end when no task is ready")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["concurrency"] <= 1000:
            raise CommandError("--concurrency must be from 1 to 1000.", returncode=UNUSABLE)
        try:
            backend = _backend(options["backend"])
            names = _names(backend, options["queues"])
            backend.settings  # noqa: B018 - raises what is wrong with it
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=UNUSABLE) from error
        self._run(backend, names, options)

    def _run(self, backend: UpstashBackend, names: list[str], options: dict[str, Any]) -> None:
        from django_upstash.exceptions import UpstashError
        from django_upstash.tasks.worker import Worker

        worker = Worker(backend, names, options["concurrency"], options["burst"])
        if options["verbosity"]:
            self.stdout.write(f"Worker {worker.id} runs the tasks of {', '.join(names)}.")
            self.stdout.flush()
        try:
            run_until_signalled(worker)
        except UpstashError as error:
            raise CommandError(f"The server cannot be asked for tasks: {error}", returncode=SERVER_AWAY) from error
        if options["verbosity"]:
            self.stdout.write("Stopped; nothing is left half done.")


def run_until_signalled(worker: Worker) -> None:
    """Run a worker; where this is the main thread, the first SIGTERM or SIGINT stops it, and the second is as usual."""
    if threading.current_thread() is not threading.main_thread():
        worker.run()
        return
    reader, writer = os.pipe()
    running = _WorkerThread(worker, writer)
    try:
        with _signals_to(writer):
            running.thread.start()
            os.read(reader, 1)  # a handler only writes: taking a lock in one may wait for the very thread it interrupts
        while running.thread.is_alive():
            worker.stop()
            running.thread.join(0.1)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)  # the second: what runs in threads would be waited for
    finally:
        os.close(reader)
        os.close(writer)
    if running.failure is not None:
        raise running.failure


class _WorkerThread:
    """Runs a worker in a thread, keeps what it raises, and writes a byte at its end."""

    def __init__(self, worker: Worker, descriptor: int) -> None:
        self._worker = worker
        self._descriptor = descriptor
        self.thread = threading.Thread(target=self._run, name="worker")
        self.failure: BaseException | None = None

    def _run(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:
            self.failure = error
        finally:
            os.write(self._descriptor, b".")


@contextmanager
def _signals_to(descriptor: int) -> Iterator[None]:
    """Write a byte for each signal until the end of the block, after which they have their usual effect."""
    usual = {number: signal.signal(number, lambda *_: os.write(descriptor, b"!")) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _backend(alias: str) -> UpstashBackend:
    from django_upstash.tasks import UpstashBackend  # says so where Django has no tasks yet

    from django.tasks import task_backends  # isort: skip

    backend = task_backends[alias]
    if not isinstance(backend, UpstashBackend):
        raise ImproperlyConfigured(f"TASKS[{alias!r}] is no django_upstash.tasks.UpstashBackend.")
    return backend


def _names(backend: UpstashBackend, chosen: list[str] | None) -> list[str]:
    names = list(dict.fromkeys(chosen or sorted(backend.queues)))
    if not names:
        raise ImproperlyConfigured(f'TASKS[{backend.alias!r}]["QUEUES"] names none: say which by --queue.')
    if backend.queues and (unknown := [name for name in names if name not in backend.queues]):
        known = ", ".join(map(repr, sorted(backend.queues)))
        raise ImproperlyConfigured(f"TASKS[{backend.alias!r}] has no queue {unknown[0]!r}; it has {known}.")
    return names
