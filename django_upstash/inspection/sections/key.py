"""``redis_health key NAME``: one key, and a safe look at its value."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django_upstash.connections import Connection
from django_upstash.inspection.failure import without_secrets
from django_upstash.inspection.key import KeyDetails, inspect_key
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import (
    Options,
    Outcome,
    Output,
    Section,
    looking_at,
    one_alias,
)
from django_upstash.inspection.wording import counted, duration, escaped, size, table

_NOT_TOLD = "not told"


class KeySection(Section):
    """Shows what one key is."""

    name = "key"
    help = "Show one key: type, TTL, size, encoding, and a preview that unpickles nothing and masks secrets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="name", help="the key as it is stored, with prefix and version")
        parser.add_argument("alias", nargs="?", help="a connection of UPSTASH; `default`, or the only one")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        # What the shell passes that is no UTF-8 is a name all the same.
        name = options["key"].encode("utf-8", "surrogateescape")
        with looking_at(one_alias(options["alias"]), options, output) as looking:
            details = looking.connection.run(inspect_key(name))
            if details is None:
                missing = f"There is no key '{escaped(options['key'])}' on {looking.connection.settings.alias}."
                looking.fail(missing, "`redis_health keys` shows what there is.")
                return looking.outcome
            settings = looking.connection.settings
            details.preview = [without_secrets(line, settings) for line in details.preview]
            if options["json"]:
                output.json(_document(looking.connection, details))
            else:
                output.lines(_lines(looking.connection, details))
        return looking.outcome


def _lines(connection: Connection, details: KeyDetails) -> Iterator[str]:
    yield escaped(details.name)
    yield from (f"  {line}" for line in table(_facts(details), left=2))
    yield from (f"    {line}" for line in details.preview)
    if details.is_cut:
        yield "    …"
    meter = connection.meter
    yield f"  ({counted(meter.requests, 'request')}, {counted(meter.commands, 'command')})"


def _facts(details: KeyDetails) -> Iterator[tuple[str, str]]:
    yield "type", details.type
    yield "TTL", "none" if details.ttl_ms is None else duration(details.ttl_ms / 1000)
    yield "memory", _NOT_TOLD if details.memory is None else size(details.memory)
    yield "encoding", details.encoding or _NOT_TOLD
    if details.length is not None:
        yield "length", size(details.length) if details.type == "string" else counted(details.length, "element")


def _document(connection: Connection, details: KeyDetails) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": Status.OK,
        "alias": connection.settings.alias,
        **asdict(details),
        "requests": connection.meter.requests,
        "commands": connection.meter.commands,
    }
