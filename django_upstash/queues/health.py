"""``redis_health queues``: what is in the queues."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence

from django_upstash.diagnostics.formatting import counted, duration, escaped, table
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options, UsageError
from django_upstash.queues.report import FoundQueue, found_names, look

_HEADINGS = ("QUEUE", "READY", "IN FLIGHT", "DELAYED", "DEAD", "OLDEST")
_MOST = 10_000


class QueuesSection(DatabaseSection):
    """Shows how many jobs are ready, in flight, delayed and dead, and for how long the oldest has been ready."""

    name = "queues"
    help = "Show the queues: jobs ready, in flight, delayed and dead, and since when the oldest is ready."

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--name", action="append", help="only this queue, without a search for others; may be repeated")
        add("--limit", type=int, default=100, metavar="N", help="look into so many queues; 100")

    def check(self, options: Options) -> None:
        if not 1 <= options["limit"] <= _MOST:
            raise UsageError(f"--limit must be from 1 to {_MOST:,}.")
        if any(not 0 < len(name) <= 200 for name in options["name"] or ()):
            raise UsageError("--name must be of 1 to 200 characters.")

    def look(self, looking: Looking, options: Options) -> None:
        names = options["name"] or found_names(looking.connection, options["limit"])
        found = [look(looking.connection, name) for name in names]
        stored = [{"name": queue.name, **queue.stats._asdict()} for queue in found]
        looking.show({"queues": stored}, _lines(looking, found), feature="queues")


def _lines(looking: Looking, found: Sequence[FoundQueue]) -> Iterator[str]:
    yield f"{counted(len(found), 'queue')} on {looking.alias} ({looking.cost})"
    if found:
        yield from (f"  {line}" for line in table([_HEADINGS, *map(_row, found)]))


def _row(queue: FoundQueue) -> tuple[str, ...]:
    *counts, oldest = queue.stats
    return escaped(queue.name), *(f"{count:,}" for count in counts), "-" if oldest is None else duration(oldest)
