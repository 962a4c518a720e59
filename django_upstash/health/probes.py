"""
One look at a server, shared by all who ask within its time.

Each look is a thread of its own, so that nothing, not even a name server's silence, keeps the one who asks longer than
the time it has. There is at most one at a time for each server, however many ask and however long it takes.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

from django_upstash.connections import connections
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.diagnostics.health_check import limited
from django_upstash.diagnostics.server import read_info
from django_upstash.exceptions import NoPermissionError, TimeoutError, UnknownCommandError, UpstashError
from django_upstash.forks import reset_after_fork
from django_upstash.operations import Operation, Reply, command, only
from django_upstash.operations.single_flight import SingleFlight
from django_upstash.settings.conf import ConnectionSettings


@dataclass(frozen=True, kw_only=True)
class ProbeAnswer:
    """How a look at a server ended. Holds no secret; ``cause`` is empty where it went well."""

    route: str
    cause: str = ""
    server: str = ""
    latency_ms: float | None = None

    @property
    def is_ok(self) -> bool:
        return not self.cause

    def as_json(self, *, details: bool) -> str | dict[str, Any]:
        status = "ok" if self.is_ok else "unavailable"
        if not details:
            return status
        told = {"route": self.route, "server": self.server, "latency_ms": self.latency_ms, "cause": self.cause}
        return {"status": status, **{name: value for name, value in told.items() if value}}


class HealthProbe:
    """Looks at one server, with settings that end each look within its time."""

    def __init__(self, settings: ConnectionSettings, *, details: bool) -> None:
        self._settings = settings
        self._details = details
        self._looks: SingleFlight[ProbeAnswer] = SingleFlight()

    def after_fork(self) -> None:
        self._looks.forget()

    def start(self, max_age: float) -> None:
        """Look, unless somebody has less than ``max_age`` seconds ago, or is still at it."""
        look = self._looks.begin(max_age)
        if look is not None:
            name = f"readiness of {self._settings.alias}"
            # Not waited for at exit, for nothing ends a name server's silence.
            threading.Thread(target=self._run, args=(look,), name=name, daemon=True).start()

    def answer(self, until: float) -> ProbeAnswer:
        """Return the answer of the latest look, or that there is none by this time of the monotonic clock."""
        try:
            return self._looks.latest.result(max(until - monotonic(), 0))
        except FutureTimeoutError:
            return self._overdue()

    async def aanswer(self, until: float) -> ProbeAnswer:
        """Async version of ``answer``."""
        look = asyncio.wrap_future(self._looks.latest)
        done, _ = await asyncio.wait({look}, timeout=max(until - monotonic(), 0))
        return look.result() if done else self._overdue()

    def _run(self, look: Future[ProbeAnswer]) -> None:
        try:
            look.set_result(self._found())
        except BaseException as error:  # raised where somebody waits
            look.set_exception(error)

    def _found(self) -> ProbeAnswer:
        connection = connections.for_settings(self._settings)
        _ = connection.route  # now, for what it imports is not the server's time
        operation = Operation((("INFO",),), _server) if self._details else command("PING")
        started = perf_counter()
        try:
            found = connection.run(operation)
        except (UpstashError, OSError) as error:
            return self._failed(error)
        latency = round((perf_counter() - started) * 1000, 3)
        server = found if self._details else ""
        return ProbeAnswer(route=self._settings.route, server=server, latency_ms=latency)

    def _overdue(self) -> ProbeAnswer:
        return self._failed(TimeoutError("There was no answer in time."))

    def _failed(self, error: Exception) -> ProbeAnswer:
        return ProbeAnswer(route=self._settings.route, cause=diagnose(error, self._settings).cause)


def _server(replies: list[Reply]) -> str:
    if isinstance(replies[0], NoPermissionError | UnknownCommandError):
        return ""  # it does not tell, and works
    return read_info(only(replies), 0).name


_probes: dict[tuple[ConnectionSettings, bool], HealthProbe] = {}


def probe_of(settings: ConnectionSettings, timeout: float, *, details: bool) -> HealthProbe:
    """Return the process's one probe of a server with this time limit, in seconds."""
    key = (limited(settings, timeout), details)
    return _probes.get(key) or _probes.setdefault(key, HealthProbe(key[0], details=details))


@reset_after_fork
def _after_fork() -> None:
    for probe in _probes.values():
        probe.after_fork()
