"""``redis_health [alias …]``: whether the connections work, and if not, why and what to do."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from threading import Event

from django_upstash.diagnostics.arguments import is_time
from django_upstash.diagnostics.failure import HIDDEN
from django_upstash.diagnostics.formatting import counted, escaped, milliseconds
from django_upstash.diagnostics.health_check import Examination
from django_upstash.diagnostics.probe import HealthPlan
from django_upstash.diagnostics.report import CheckResult, ConnectionReport, HealthReport, Status
from django_upstash.diagnostics.sections.section import (
    HEALTHY,
    UNHEALTHY,
    UNUSABLE,
    Options,
    Output,
    Section,
    SectionOutcome,
    UsageError,
    check_aliases,
)

LONGEST_PAUSE = 86_400.0
FAIL_LEVELS = {"WARNING": Status.WARN, "ERROR": Status.FAIL}
_ROUTE_NAMES = {"native": "native", "rest": "REST", "embedded": "embedded"}


class Overview(Section):
    """Examines connections."""

    name = ""
    help = "Tell whether the connections to Redis work, and if not, why and what to do."

    def __init__(self, *, is_deployed: bool = False) -> None:
        self._is_deployed = is_deployed  # then the checks of `check --deploy` speak, too

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("aliases", nargs="*", metavar="alias", help="connections of UPSTASH; all, if none is named")
        parser.add_argument("--ping", action="store_true", help="send one command and no more, for probes")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--timeout", type=float, default=HealthPlan.timeout, metavar="SECONDS", help="of each connection; 2"
        )
        parser.add_argument(
            "--pings", type=int, default=HealthPlan.pings, metavar="N", help="round trips to measure; 5"
        )
        parser.add_argument("--read-only", action="store_true", help="write nothing")
        parser.add_argument(
            "--fail-level", choices=list(FAIL_LEVELS), default="ERROR", help="what makes the exit code 1; ERROR"
        )
        parser.add_argument("--watch", type=float, metavar="SECONDS", help="repeat until Ctrl-C, with this pause")

    def run(self, options: Options, output: Output) -> SectionOutcome:
        pause = _pause(options["watch"])
        examination = Examination(check_aliases(options["aliases"]), _plan(options), is_deployed=self._is_deployed)
        outcome = None
        try:
            while True:
                report = examination.run()
                _show(report, options, output)
                outcome = _outcome(report, FAIL_LEVELS[options["fail_level"]])
                if pause is None:
                    return outcome
                Event().wait(pause)
        except KeyboardInterrupt:
            if outcome is None:
                raise
            return outcome
        finally:
            examination.close()


def _plan(options: Options) -> HealthPlan:
    try:
        return HealthPlan(
            timeout=options["timeout"],
            pings=options["pings"],
            read_only=options["read_only"],
            ping_only=options["ping"],
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _pause(seconds: float | None) -> float | None:
    if seconds is not None and not is_time(seconds, LONGEST_PAUSE):
        raise UsageError("--watch must be more than 0 seconds and at most a day.")
    return seconds


def _outcome(report: HealthReport, fail_level: Status) -> SectionOutcome:
    bad = [one for one in report.connections if one.status.severity >= fail_level.severity]
    if not bad and not report.is_misconfigured:
        return SectionOutcome(HEALTHY)
    names = ", ".join(one.alias for one in report.connections if one in bad or one.is_misconfigured)
    if report.is_misconfigured:
        return SectionOutcome(UNUSABLE, f"Misconfigured or unhealthy: {names}.")
    return SectionOutcome(UNHEALTHY, f"Unhealthy: {names}.")


def _show(report: HealthReport, options: Options, output: Output) -> None:
    if options["json"]:
        output.json(report.as_json())
    elif options["ping"]:
        output.lines(_ping_line(one, output) for one in report.connections)
    else:
        for one in report.connections:
            output.lines([_header(one), *_check_lines(one, output), _summary(one)])
        output.lines([report.verdict] if report.verdict else [])


def _ping_line(report: ConnectionReport, output: Output) -> str:
    check = report.checks[-1]
    status = output.styled(check.status, check.status.name)
    said = milliseconds(check.latency_ms) if check.latency_ms is not None else f"{check.message} {check.next_step}"
    return f"{status} {report.alias}: {escaped(said).rstrip()}"


def _header(report: ConnectionReport) -> str:
    if not report.url:
        return f"{report.alias} · misconfigured"
    server = report.server.name if report.server else "Redis"
    credentials = f" ({report.credentials} {HIDDEN})" if report.credentials else ""
    return escaped(f"{server} · {report.alias} · {_ROUTE_NAMES[report.route]} · {report.url}{credentials}")


def _check_lines(report: ConnectionReport, output: Output) -> Iterator[str]:
    name_width = max(len(check.name) for check in report.checks)
    timed = [len(check.message) for check in report.checks if check.latency_ms is not None]
    for check in report.checks:
        status = output.styled(check.status, check.status.name.ljust(4))
        beginning = f"  {status}  {check.name.ljust(name_width)}  "
        yield beginning + escaped(_message(check, max(timed, default=0)))
        if check.next_step:
            yield " " * (len(check.name.ljust(name_width)) + 10) + escaped(check.next_step)


def _message(check: CheckResult, width: int) -> str:
    if check.latency_ms is not None:
        return f"{check.message.ljust(width)}  {milliseconds(check.latency_ms).rjust(8)}"
    return f"{check.message} [{check.id}]" if check.id else check.message


def _summary(report: ConnectionReport) -> str:
    counts = report.counts
    return (
        f"  {counted(len(report.checks), 'check')}: {counts[Status.OK]} ok, {counted(counts[Status.WARN], 'warning')}, "
        f"{counts[Status.FAIL]} failed in {report.seconds:.2f} s "
        f"({counted(report.requests, 'request')}, {counted(report.commands, 'command')})"
    )
