"""``redis_health stats``: what the processes that publish their counts have asked, and what that costs."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator

from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import Options, Outcome, Output, Section, looking_at, one_alias
from django_upstash.inspection.wording import counted, duration, milliseconds, size, table
from django_upstash.numbers import Stats, collecting


class StatsSection(Section):
    """Sums the counts that processes have left on the server. It does not count itself."""

    name = "stats"
    help = "Show what the processes that share their counts have asked within a day, and what a month of it costs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("alias", nargs="?", help="a connection of UPSTASH; `default`, or the only one")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        alias = one_alias(options["alias"])
        with looking_at(alias, options, output) as looking:
            found = looking.connection.run(collecting())
            if options["json"]:
                output.json({"schema": SCHEMA, "status": Status.OK, "alias": alias, **found.as_dict()})
            else:
                output.lines(_lines(alias, found))
        return looking.outcome


def _lines(alias: str, found: Stats) -> Iterator[str]:
    if not found.processes:
        yield f"No process has shared its counts on {alias} within a day: cache.stats(all_processes=True) does."
        return
    yield f"{counted(found.processes, 'process', 'processes')} on {alias}, the longest for {duration(found.seconds)}"
    latencies = (found.latency_p50_ms, found.latency_p95_ms, found.latency_p99_ms)
    yield from table(
        [
            ("hits", f"{found.hits:,}"),
            ("misses", f"{found.misses:,}"),
            ("requests", f"{found.requests:,}"),
            ("commands", f"{found.commands:,}"),
            ("script calls", f"{found.scripts:,}"),
            ("errors", f"{found.errors:,}"),
            ("sent", size(found.bytes_sent)),
            ("received", size(found.bytes_received)),
            *(
                (f"latency {name}", "-" if value is None else milliseconds(value))
                for name, value in zip(("p50", "p95", "p99"), latencies, strict=True)
            ),
            ("a month costs", f"${found.month.dollars:,.2f}"),
        ]
    )
    yield from (f"  {assumption}" for assumption in found.month.assumptions)
