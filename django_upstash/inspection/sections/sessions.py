"""``redis_health sessions``: the sessions that this package keeps."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django_upstash import conf
from django_upstash.connections import Connection
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import (
    Options,
    Outcome,
    Output,
    Section,
    UsageError,
    looking_at,
    one_alias,
)
from django_upstash.inspection.sessions import MOST_SESSIONS, SessionSurvey, spread, survey
from django_upstash.inspection.wording import counted, duration, escaped, size, table


class SessionsSection(Section):
    """Shows how many sessions there are, how long they have left, and whether the database may drop them."""

    name = "sessions"
    help = "Show the sessions: how many, their lifetimes and sizes, and whether the database may evict them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("alias", nargs="?", help="a connection of UPSTASH; the one of UPSTASH_SESSIONS")
        add("--prefix", help="what their keys begin with; PREFIX of UPSTASH_SESSIONS")
        add("--limit", type=int, default=100_000, metavar="N", help="count about so many; 100000")
        add("--sample", type=int, default=100, metavar="N", help="ask for lifetime and size of so many; 100")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        settings = conf.read_session_settings()
        alias, limit, sample = one_alias(options["alias"] or settings.alias), options["limit"], options["sample"]
        if not (1 <= limit <= MOST_SESSIONS and 0 <= sample <= MOST_SESSIONS):
            raise UsageError(f"--limit must be from 1, and --sample from 0, to {MOST_SESSIONS:,} sessions.")
        with looking_at(alias, options, output) as looking:
            found = survey(
                looking.connection,
                options["prefix"] or settings.prefix,
                limit=limit,
                sample=sample,
                progress=lambda seen: output.progress(f"{counted(seen.count, 'session')} …"),
            )
            output.progress("")
            warnings = list(_warnings(found))
            if options["json"]:
                output.json(_document(looking.connection, found, warnings))
            else:
                output.lines(_lines(looking.connection, found))
                output.lines(output.styled(Status.WARN, f"  ! {warning}") for warning in warnings)
        return looking.outcome


def _warnings(found: SessionSurvey) -> Iterator[str]:
    if found.evicts:
        yield (
            f"The database evicts keys when it is full ({found.eviction}), sessions among them: turn eviction off, or "
            "give sessions a database of their own with ALIAS of UPSTASH_SESSIONS."
        )
    if found.without_ttl:
        yield f"{counted(found.without_ttl, 'session')} of {found.measured} measured have no TTL and would stay."


def _lines(connection: Connection, found: SessionSurvey) -> Iterator[str]:
    meter = connection.meter
    cost = f"{counted(meter.requests, 'request')}, {counted(meter.commands, 'command')}"
    beyond = "" if found.is_complete else " or more"
    yield f"{counted(found.count, 'session')}{beyond} {escaped(found.prefix)}:* on {connection.settings.alias} ({cost})"
    yield from (f"  {line}" for line in table(_facts(found), left=2))


def _facts(found: SessionSurvey) -> Iterator[tuple[str, str]]:
    yield "measured", str(found.measured)
    yield "TTL", spread_text(found.lifetimes, duration)
    yield "size", spread_text(found.sizes, size)
    yield "without TTL", str(found.without_ttl)
    yield "eviction", found.eviction or "not told"


def spread_text(values: Sequence[float], show: Callable[[float], str]) -> str:
    """Return the least, the most and the median of some values, as they are shown."""
    found = spread(values)
    return "-" if found is None else f"{show(found['min'])} to {show(found['max'])}, median {show(found['median'])}"


def _document(connection: Connection, found: SessionSurvey, warnings: list[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": Status.WARN if warnings else Status.OK,
        "alias": connection.settings.alias,
        **found.as_json(),
        "warnings": warnings,
        "requests": connection.meter.requests,
        "commands": connection.meter.commands,
    }
