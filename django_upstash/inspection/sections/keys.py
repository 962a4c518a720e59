"""``redis_health keys``: what a database holds, prefix by prefix."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any

from django_upstash import conf
from django_upstash.connections import Connection
from django_upstash.inspection.families import Families
from django_upstash.inspection.keyspace import TYPES, KeyGroup, Keyspace, Scan, survey
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import Options, Outcome, Output, Section, UsageError, looking_at, one_alias
from django_upstash.inspection.wording import counted, duration, escaped, size, table

MOST_ROWS = 50
_HEADINGS = ("PREFIX", "TYPE", "KEYS", "BYTES", "NO TTL", "SHORTEST TTL")
_UNKNOWN = "-"
_LIFETIMES: dict[str, Callable[[KeyGroup], bool]] = {
    "none": lambda group: bool(group.without_ttl),
    "all": lambda group: bool(group.timed) and not group.without_ttl,
}
_SORTS: dict[str, Callable[[KeyGroup], Any]] = {
    "keys": lambda group: -group.keys,
    "bytes": lambda group: -group.keys * (group.mean_bytes or 0),
    "no-ttl": lambda group: -group.keys * (group.share_without_ttl or 0),
    "ttl": lambda group: (group.shortest_ttl is None, group.shortest_ttl),
    "prefix": lambda group: group.prefix,
}


class KeysSection(Section):
    """Shows how many keys of which kind there are, how large, and which of them never expire."""

    name = "keys"
    help = "Show what the database holds, prefix by prefix, from a bounded SCAN."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("alias", nargs="?", help="a connection of UPSTASH; `default`, or the only one")
        add("--match", metavar="PATTERN", help="only keys of this pattern, such as session:*")
        add("--type", choices=TYPES, help="only keys of this type")
        add("--limit", type=int, default=Scan.limit, metavar="N", help="look at about so many names; 10000")
        add("--sample", type=int, default=Scan.sample, metavar="N", help="ask for type, size and TTL of so many; 100")
        add(
            "--ttl", choices=list(_LIFETIMES), help="only prefixes with keys that have none, or whose keys all have one"
        )
        add("--sort", choices=list(_SORTS), default="keys", help="by what the lines are ordered; keys")
        add("--cursor", default=Scan.cursor, metavar="CURSOR", help="continue where an earlier run stopped")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        alias, scan = one_alias(options["alias"]), _scan(options)
        with looking_at(alias, options, output) as looking:
            keyspace = survey(looking.connection, scan, _families(), lambda seen: output.progress(_how_far(seen)))
            output.progress("")
            groups = _selected(keyspace, options)
            if options["json"]:
                output.json(_document(looking.connection, keyspace, groups))
            else:
                output.lines(_lines(looking.connection, keyspace, groups))
        return looking.outcome


def _scan(options: Options) -> Scan:
    try:
        return Scan(
            **{name: options[name] for name in ("match", "type", "limit", "sample")}, cursor=str(options["cursor"])
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _families() -> Families:
    return Families(str(entry.get("KEY_PREFIX", "")) for entry in conf.caches().values())


def _how_far(keyspace: Keyspace) -> str:
    return f"{keyspace.found:,} of {counted(keyspace.total, 'key')} …"


def _selected(keyspace: Keyspace, options: Options) -> list[KeyGroup]:
    lives = _LIFETIMES.get(options["ttl"], lambda group: True)
    return sorted(filter(lives, keyspace.groups.values()), key=_SORTS[options["sort"]])


def _lines(connection: Connection, keyspace: Keyspace, groups: list[KeyGroup]) -> Iterator[str]:
    cost = f"{counted(connection.meter.requests, 'request')}, {counted(connection.meter.commands, 'command')}"
    found = "Found" if keyspace.scan.is_filtered else "Scanned"
    yield f"{found} {keyspace.found:,} of {counted(keyspace.total, 'key')} ({cost}; ~ marks estimates)"
    shown = groups[:MOST_ROWS]
    if shown:
        yield from (f"  {line}" for line in table([_HEADINGS, *(_row(group, keyspace) for group in shown)], left=2))
    if len(groups) > len(shown):
        yield f"  … and {counted(len(groups) - len(shown), 'more prefix', 'more prefixes')}"
    if keyspace.sizes_are_of_values:
        yield "This server refuses MEMORY USAGE: BYTES are the lengths of strings, without keys and overhead."
    if keyspace.cursor != "0":
        yield f"Continue with: python manage.py {_continuation(connection.settings.alias, keyspace)}"


def _row(group: KeyGroup, keyspace: Keyspace) -> tuple[str, ...]:
    keys = group.keys * keyspace.scale
    return (
        escaped(group.prefix),
        "/".join(kind for kind, _ in group.types.most_common(2)) or _UNKNOWN,
        _approximately(f"{keys:,.0f}", keyspace.scale > 1),
        _UNKNOWN if group.mean_bytes is None else _estimate(size(group.mean_bytes * keys), group, keyspace),
        _UNKNOWN if group.share_without_ttl is None else _estimate(f"{group.share_without_ttl:.0%}", group, keyspace),
        _UNKNOWN if group.shortest_ttl is None else _estimate(duration(group.shortest_ttl / 1000), group, keyspace),
    )


def _estimate(text: str, group: KeyGroup, keyspace: Keyspace) -> str:
    return _approximately(text, keyspace.scale > 1 or not group.is_measured_whole)


def _approximately(text: str, is_estimate: bool) -> str:
    return f"~{text}" if is_estimate else text


def _continuation(alias: str, keyspace: Keyspace) -> str:
    """Return the arguments that look at the next part in the same way."""
    scan, standard = keyspace.scan, Scan()
    words = ["redis_health", KeysSection.name, alias]
    for name in ("match", "type", "limit", "sample"):
        if getattr(scan, name) != getattr(standard, name):
            words += [f"--{name}", str(getattr(scan, name))]
    return shlex.join([*words, "--cursor", keyspace.cursor])


def _document(connection: Connection, keyspace: Keyspace, groups: list[KeyGroup]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": Status.OK,
        "alias": connection.settings.alias,
        "keys": keyspace.total,
        "scanned": keyspace.found,
        "is_complete": keyspace.is_complete,
        "cursor": keyspace.cursor,
        "sizes": "value" if keyspace.sizes_are_of_values else "memory",
        "groups": [_group_document(group, keyspace) for group in groups],
        "requests": connection.meter.requests,
        "commands": connection.meter.commands,
    }


def _group_document(group: KeyGroup, keyspace: Keyspace) -> dict[str, Any]:
    """Return a group's counts; ``estimate`` is what they let expect of the whole database."""
    keys = round(group.keys * keyspace.scale)
    return {
        "prefix": group.prefix,
        "keys": group.keys,
        "types": dict(group.types),
        "measured": group.timed,
        "without_ttl": group.without_ttl,
        "shortest_ttl_ms": group.shortest_ttl,
        "mean_bytes": group.mean_bytes,
        "estimate": {"keys": keys, "bytes": None if group.mean_bytes is None else round(group.mean_bytes * keys)},
    }
