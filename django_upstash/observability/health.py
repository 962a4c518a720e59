"""``redis_health stats``: what the processes that publish their counts have asked, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator

from django_upstash.diagnostics.formatting import counted, duration, milliseconds, size, table
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options
from django_upstash.observability.numbers import Stats, collecting


class StatsSection(DatabaseSection):
    """Sums the counts that processes have left on the server. It does not count itself."""

    name = "stats"
    help = "Show what the processes that share their counts have asked within a day, and what a month of it costs."

    def look(self, looking: Looking, options: Options) -> None:
        found = looking.connection.run(collecting())
        looking.show(found.as_dict(), _lines(looking.alias, found))


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
