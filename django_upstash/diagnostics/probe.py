"""What a check of a connection's health works with."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from django_upstash.diagnostics.arguments import is_count, is_time
from django_upstash.diagnostics.diagnosis import Diagnosis
from django_upstash.diagnostics.report import CheckResult, ConnectionReport, Status

if TYPE_CHECKING:
    from django_upstash.connections import Connection
    from django_upstash.operations import Operation
    from django_upstash.settings.conf import ConnectionSettings

__all__ = ["HealthPlan"]


Result = TypeVar("Result")


MOST_PINGS = 1000


LONGEST_TIMEOUT = 600.0


@dataclass(frozen=True, kw_only=True)
class HealthPlan:
    """
    What to examine. ``timeout`` is for one connection, in seconds; ``ping_only`` sends one command and no more.

    Raises ``ValueError`` with one sentence for values that make no sense.
    """

    timeout: float = 2.0
    pings: int = 5
    read_only: bool = False
    ping_only: bool = False

    def __post_init__(self) -> None:
        if not is_time(self.timeout, LONGEST_TIMEOUT):
            raise ValueError(f"--timeout must be more than 0 and at most {LONGEST_TIMEOUT:g} seconds.")
        if not is_count(self.pings, 1, MOST_PINGS):
            raise ValueError(f"--pings must be from 1 to {MOST_PINGS}.")


class Probe:
    """A connection under examination, and the report that comes of it."""

    def __init__(self, connection: Connection, plan: HealthPlan, report: ConnectionReport) -> None:
        self.connection = connection
        self.plan = plan
        self.report = report
        self.deadline = monotonic() + plan.timeout
        self.is_reachable = True
        self.may_write = not plan.read_only
        self.check = "connect"
        self.scripted = 0  # commands that scripts ran inside, which the meter does not see
        self.streams = 0  # subscriptions, which it does not see either
        self._started = perf_counter()
        self._requests, self._commands = connection.meter.requests, connection.meter.commands

    @property
    def settings(self) -> ConnectionSettings:
        return self.connection.settings

    @property
    def has_time(self) -> bool:
        """Whether enough is left of the time limit for a check of two round trips."""
        if self.report.connect_ms is None:
            return True  # whatever else happens, the server is asked once
        needed = 2 * self.report.latency.median if self.report.latency else self.report.connect_ms
        return self.deadline - monotonic() > needed / 1000

    def timed(self, operation: Operation[Result]) -> tuple[Result, float]:
        """Run an operation and return its result and the milliseconds it took."""
        started = perf_counter()
        result = self.connection.run(operation)
        return result, (perf_counter() - started) * 1000

    def account(self) -> None:
        """Put into the report what the examination has cost so far."""
        meter = self.connection.meter
        self.report.requests = meter.requests - self._requests + self.streams
        self.report.commands = meter.commands - self._commands + self.scripted + self.streams
        self.report.seconds = perf_counter() - self._started

    def result(self, status: Status, message: str, next_step: str = "", **more: Any) -> CheckResult:
        return CheckResult(name=self.check, status=status, message=message, next_step=next_step, **more)

    def ok(self, message: str, latency_ms: float | None = None) -> CheckResult:
        return self.result(Status.OK, message, latency_ms=latency_ms)

    def failed(self, diagnosis: Diagnosis, status: Status = Status.FAIL) -> CheckResult:
        return self.result(status, diagnosis.cause, diagnosis.next_step)
