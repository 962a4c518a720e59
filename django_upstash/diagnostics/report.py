"""What examining connections brought to light, as data."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_upstash.diagnostics.server import ServerInfo

SCHEMA = 1


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        return list(Status).index(self)


def worst(statuses: Sequence[Status]) -> Status:
    """Return the gravest of these; OK if there are none."""
    return max(statuses, key=lambda status: status.severity, default=Status.OK)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One line of a report. ``id`` is that of a system check; ``latency_ms`` is None where nothing was sent."""

    name: str
    status: Status
    message: str
    next_step: str = ""
    latency_ms: float | None = None
    id: str | None = None


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one round trip."""

    min: float
    median: float
    p95: float
    count: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Latency:
        ordered = sorted(milliseconds)
        nearest_rank = -(-95 * len(ordered) // 100)
        return cls(ordered[0], statistics.median(ordered), ordered[nearest_rank - 1], len(ordered))


@dataclass(kw_only=True)
class ConnectionReport:
    """
    One connection's checks, in the order in which they ended, and what they cost.

    ``commands`` are those that Upstash bills; ``connect_ms`` is the first command's time, with which the connection was
    opened, and ``latency`` that of the following ones.
    """

    alias: str
    route: str
    url: str
    credentials: str | None = None  # what kind is configured, never which
    is_misconfigured: bool = False
    checks: list[CheckResult] = field(default_factory=list)
    server: ServerInfo | None = None
    connect_ms: float | None = None
    latency: Latency | None = None
    requests: int = 0
    commands: int = 0
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        return worst([check.status for check in self.checks])

    @property
    def counts(self) -> Counter[Status]:
        return Counter(check.status for check in self.checks)

    def add_findings(self, findings: Sequence[CheckResult]) -> None:
        """Add what the system checks say about the settings; a failure among it is a misconfiguration."""
        self.checks += findings
        self.is_misconfigured |= any(finding.status is Status.FAIL for finding in findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "alias": self.alias,
            "route": self.route,
            "url": self.url,
            "status": self.status,
            "checks": [_rounded(asdict(check)) for check in self.checks],
            "connect_ms": self.connect_ms and round(self.connect_ms, 3),
            "latency_ms": _rounded(asdict(self.latency)) if self.latency else None,
            "requests": self.requests,
            "commands": self.commands,
            "seconds": round(self.seconds, 3),
            "server": self.server.as_json() if self.server else None,
        }


@dataclass(frozen=True)
class HealthReport:
    """All examined connections."""

    connections: tuple[ConnectionReport, ...]
    verdict: str = ""

    @property
    def status(self) -> Status:
        return worst([report.status for report in self.connections])

    @property
    def is_misconfigured(self) -> bool:
        return any(report.is_misconfigured for report in self.connections)

    def as_json(self) -> dict[str, Any]:
        connections = [report.as_json() for report in self.connections]
        return {"schema": SCHEMA, "status": self.status, "connections": connections, "verdict": self.verdict}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
