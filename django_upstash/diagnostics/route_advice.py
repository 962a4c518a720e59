"""One line on which route suits, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from django_upstash.diagnostics.formatting import milliseconds
from django_upstash.diagnostics.report import ConnectionReport


def verdict(reports: Sequence[ConnectionReport]) -> str:
    """Return the line, or nothing where no connection was measured."""
    measured = [report for report in reports if report.latency]
    native = min((report for report in measured if report.route != "rest"), key=_median, default=None)
    rest = min((report for report in measured if report.route == "rest"), key=_median, default=None)
    if native and rest:
        faster, slower = sorted((native, rest), key=_median)
        times = f"{_median(slower) / _median(faster):.1f} times as fast as {_name(slower)}"
        return (
            f"{_name(faster)} answers {times} ({_figures(native)}; {_figures(rest)}): "
            "native for processes that live long, REST for many that come and go."
        )
    if native:
        return f"{_figures(native)}: right for processes that live long; many that come and go do better with REST."
    if rest:
        return f"{_figures(rest)}: right for processes that come and go; those that live long do better with rediss://."
    return ""


def _median(report: ConnectionReport) -> float:
    return report.latency.median if report.latency else 0.0


def _name(report: ConnectionReport) -> str:
    return "REST" if report.route == "rest" else "Native"


def _figures(report: ConnectionReport) -> str:
    return f"{_name(report)} {milliseconds(_median(report))}, {milliseconds(report.connect_ms or 0.0)} to connect"
