"""``redis_health queues``: what is in the queues."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from django_upstash.connections import Connection
from django_upstash.inspection.queues import FoundQueue, found_names, look
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import Options, Outcome, Output, Section, UsageError, looking_at, one_alias
from django_upstash.inspection.wording import counted, duration, escaped, table

_HEADINGS = ("QUEUE", "READY", "IN FLIGHT", "DELAYED", "DEAD", "OLDEST")
_MOST = 10_000


class QueuesSection(Section):
    """Shows how many jobs are ready, in flight, delayed and dead, and for how long the oldest has been ready."""

    name = "queues"
    help = "Show the queues: jobs ready, in flight, delayed and dead, and since when the oldest is ready."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("alias", nargs="?", help="a connection of UPSTASH; `default`, or the only one")
        add("--name", action="append", help="only this queue, without a search for others; may be repeated")
        add("--limit", type=int, default=100, metavar="N", help="look into so many queues; 100")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        if not 1 <= options["limit"] <= _MOST:
            raise UsageError(f"--limit must be from 1 to {_MOST:,}.")
        if any(not 0 < len(name) <= 200 for name in options["name"] or ()):
            raise UsageError("--name must be of 1 to 200 characters.")
        with looking_at(one_alias(options["alias"]), options, output) as looking:
            connection = looking.connection
            names = options["name"] or found_names(connection, options["limit"])
            found = [look(connection, name) for name in names]
            if options["json"]:
                output.json(_document(connection, found))
            else:
                output.lines(_lines(connection, found))
        return looking.outcome


def _lines(connection: Connection, found: Sequence[FoundQueue]) -> Iterator[str]:
    meter = connection.meter
    cost = f"{counted(meter.requests, 'request')}, {counted(meter.commands, 'command')}"
    yield f"{counted(len(found), 'queue')} on {connection.settings.alias} ({cost})"
    if found:
        yield from (f"  {line}" for line in table([_HEADINGS, *map(_row, found)]))


def _row(queue: FoundQueue) -> tuple[str, ...]:
    *counts, oldest = queue.stats
    return escaped(queue.name), *(f"{count:,}" for count in counts), "-" if oldest is None else duration(oldest)


def _document(connection: Connection, found: Sequence[FoundQueue]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": Status.OK,
        "alias": connection.settings.alias,
        "queues": [{"name": queue.name, **queue.stats._asdict()} for queue in found],
        "requests": connection.meter.requests,
        "commands": connection.meter.commands,
    }
