"""Examining several connections at once, each within its time limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from django.core.exceptions import ImproperlyConfigured

from django_upstash.connections import Connection
from django_upstash.diagnostics.configuration import mistakes, warnings
from django_upstash.diagnostics.diagnosis import diagnose
from django_upstash.diagnostics.health import examine
from django_upstash.diagnostics.probe import HealthPlan, Probe
from django_upstash.diagnostics.report import CheckResult, ConnectionReport, HealthReport, Status
from django_upstash.diagnostics.route_advice import verdict
from django_upstash.exceptions import TimeoutError
from django_upstash.settings import conf

__all__ = ["Examination"]

# What a route may need beyond its own timeout to say why it failed.
_GRACE = 0.1


def limited(settings: conf.ConnectionSettings, seconds: float) -> conf.ConnectionSettings:
    """Return the settings for looking at a connection: whatever it does fails after so many seconds, tried once."""
    return replace(settings, timeout=seconds, connect_timeout=None, pool_timeout=None, retries=0, verify=False)


class Examination:
    """
    The examination of connections by their aliases; ``run`` may be called again and again, on the same sockets.

    ``is_deployed`` adds the warnings of ``check --deploy``. ``close`` releases the sockets.
    """

    def __init__(self, aliases: Sequence[str], plan: HealthPlan, *, is_deployed: bool = False) -> None:
        self._plan = plan
        self._is_deployed = is_deployed
        self._connections = {alias: _connection(alias, plan) for alias in aliases}

    def run(self) -> HealthReport:
        """Examine all connections at once and return the reports in the order of the aliases."""
        usable = {alias: found for alias, found in self._connections.items() if isinstance(found, Connection)}
        examined = {alias: _Examined(connection, self._plan) for alias, connection in usable.items()}
        for one in examined.values():
            one.start()
        reports = tuple(
            _misconfigured(alias, found)
            if isinstance(found, ImproperlyConfigured)
            else self._with_warnings(examined[alias].wait())
            for alias, found in self._connections.items()
        )
        return HealthReport(reports, verdict(reports))

    def close(self) -> None:
        for found in self._connections.values():
            if isinstance(found, Connection):
                found.close()

    def _with_warnings(self, report: ConnectionReport) -> ConnectionReport:
        if not self._plan.ping_only:
            report.add_findings(warnings(report.alias, is_deployed=self._is_deployed))
        return report


def _connection(alias: str, plan: HealthPlan) -> Connection | ImproperlyConfigured:
    try:
        connection = Connection(limited(conf.connection_settings(alias), plan.timeout))
        _ = connection.route  # now, for what it imports is not the server's time
    except ImproperlyConfigured as error:
        return error
    return connection


def _misconfigured(alias: str, error: ImproperlyConfigured) -> ConnectionReport:
    checks = mistakes(alias) or [CheckResult(name="settings", status=Status.FAIL, message=str(error))]
    return ConnectionReport(alias=alias, route="", url="", is_misconfigured=True, checks=checks)


class _Examined(threading.Thread):
    """One examination in a thread of its own; not waited for at exit, for nothing ends a name server's silence."""

    def __init__(self, connection: Connection, plan: HealthPlan) -> None:
        settings = connection.settings
        super().__init__(name=f"redis_health {settings.alias}", daemon=True)
        self.alias = settings.alias
        report = ConnectionReport(
            alias=settings.alias, route=settings.route, url=settings.safe_url, credentials=_credentials(settings)
        )
        self._probe = Probe(connection, plan, report)
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            examine(self._probe)
        except BaseException as error:  # raised where somebody waits
            self._error = error

    def wait(self) -> ConnectionReport:
        """Return the report once it is complete, or when the time is up with what there is by then."""
        self.join(max(self._probe.deadline + _GRACE - monotonic(), 0))
        if self._error is not None:
            raise self._error
        self._probe.account()
        return self._cut_off() if self.is_alive() else self._probe.report

    def _cut_off(self) -> ConnectionReport:
        probe = self._probe
        doing = "connecting" if probe.check == "connect" else "waiting for an answer"
        failed = probe.failed(diagnose(TimeoutError(f"The time was up while {doing}."), probe.settings))
        return replace(probe.report, checks=[*probe.report.checks, failed])  # the thread may still add to the other


def _credentials(settings: conf.ConnectionSettings) -> str | None:
    if settings.route == "rest":
        return "token" if settings.token else None
    return "password" if settings.user_and_password[1] else None
