"""``redis_health idempotency``: the idempotency keys that this package keeps."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django_upstash import conf
from django_upstash.connections import Connection
from django_upstash.inspection.idempotency import MOST_KEYS, IdempotencySurvey, survey
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
from django_upstash.inspection.sections.sessions import spread_text
from django_upstash.inspection.wording import counted, duration, escaped, size, table


class IdempotencySection(Section):
    """Shows how many keys there are, in which state, how long they have left, and how large they are."""

    name = "idempotency"
    help = "Show the idempotency keys: how many, in which state, their lifetimes and sizes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("alias", nargs="?", help="a connection of UPSTASH; the one of UPSTASH_IDEMPOTENCY")
        add("--tenant", help="only this tenant's")
        add("--limit", type=int, default=100_000, metavar="N", help="count about so many; 100000")
        add("--sample", type=int, default=1000, metavar="N", help="look closely at so many; 1000")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        alias = one_alias(options["alias"] or conf.idempotency_settings().alias)
        limit, sample = options["limit"], options["sample"]
        if not (1 <= limit <= MOST_KEYS and 0 <= sample <= MOST_KEYS):
            raise UsageError(f"--limit must be from 1, and --sample from 0, to {MOST_KEYS:,} keys.")
        with looking_at(alias, options, output) as looking:
            found = survey(
                looking.connection,
                options["tenant"],
                limit=limit,
                sample=sample,
                progress=lambda seen: output.progress(f"{counted(seen.count, 'key')} …"),
            )
            output.progress("")
            warnings = list(_warnings(found))
            if options["json"]:
                output.json(_document(looking.connection, found, warnings))
            else:
                output.lines(_lines(looking.connection, found))
                output.lines(output.styled(Status.WARN, f"  ! {warning}") for warning in warnings)
        return looking.outcome


def _warnings(found: IdempotencySurvey) -> Iterator[str]:
    if found.without_ttl:
        yield f"{counted(found.without_ttl, 'key')} of {found.measured} measured have no TTL and would stay."
    if found.states["foreign"]:
        yield f"{counted(found.states['foreign'], 'key')} of {found.measured} measured are none of this package's."


def _lines(connection: Connection, found: IdempotencySurvey) -> Iterator[str]:
    meter = connection.meter
    cost = f"{counted(meter.requests, 'request')}, {counted(meter.commands, 'command')}"
    beyond = "" if found.is_complete else " or more"
    of_tenant = "" if found.tenant is None else f" of {escaped(found.tenant)}"
    yield f"{counted(found.count, 'key')}{beyond}{of_tenant} on {connection.settings.alias} ({cost})"
    yield from (f"  {line}" for line in table(_facts(found), left=2))


def _facts(found: IdempotencySurvey) -> Iterator[tuple[str, str]]:
    yield "measured", str(found.measured)
    yield "in progress", str(found.states["in_progress"])
    yield "done", str(found.states["done"])
    yield "TTL", spread_text(found.lifetimes, duration)
    yield "size", spread_text(found.sizes, size)


def _document(connection: Connection, found: IdempotencySurvey, warnings: list[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": Status.WARN if warnings else Status.OK,
        "alias": connection.settings.alias,
        **found.as_json(),
        "warnings": warnings,
        "requests": connection.meter.requests,
        "commands": connection.meter.commands,
    }
