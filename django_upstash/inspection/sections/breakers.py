"""``redis_health breakers``: the circuit breakers that have opened, or have been forced, within a week."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django_upstash import conf
from django_upstash.connections import Connection
from django_upstash.inspection.breakers import BreakerStatus, read_breakers
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import Options, Outcome, Output, Section, looking_at, one_alias
from django_upstash.inspection.wording import counted, duration, escaped, table


class BreakersSection(Section):
    """Shows how circuits stand for all processes that share them."""

    name = "breakers"
    help = "Show the circuit breakers that have opened, or have been forced, within a week."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("alias", nargs="?", help="a connection of UPSTASH; the one of UPSTASH_BREAKER")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        alias = one_alias(options["alias"] or conf.breaker_setting().get("ALIAS"))
        with looking_at(alias, options, output) as looking:
            found = read_breakers(looking.connection)
            if options["json"]:
                output.json(_document(looking.connection, found))
            else:
                output.lines(_lines(looking.connection, found))
        return looking.outcome


def _lines(connection: Connection, found: Sequence[BreakerStatus]) -> Iterator[str]:
    meter = connection.meter
    cost = f"({counted(meter.requests, 'request')}, {counted(meter.commands, 'command')})"
    yield f"{counted(len(found), 'breaker')} on {connection.settings.alias} {cost}"
    if found:
        headings = ("BREAKER", "STATE", "OPENS", "LAST OPENED", "NEXT PROBE")
        yield from (f"  {line}" for line in table([headings, *map(_row, found)], left=2))


def _row(breaker: BreakerStatus) -> tuple[str, ...]:
    state = breaker.state.replace("_", " ")
    if breaker.forced_for is not None:
        state = f"{state} for {duration(breaker.forced_for)}"
    probe = "none due" if breaker.next_probe is None else f"in {duration(breaker.next_probe)}"
    return escaped(breaker.name), state, f"{breaker.opens:,}", _moment(breaker.opened_at), probe


def _moment(seconds: float | None) -> str:
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _document(connection: Connection, found: Sequence[BreakerStatus]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": Status.OK,
        "alias": connection.settings.alias,
        "breakers": [breaker.as_dict() for breaker in found],
        "requests": connection.meter.requests,
        "commands": connection.meter.commands,
    }
