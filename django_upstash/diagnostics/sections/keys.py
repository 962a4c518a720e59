"""``redis_health keys``: what a database holds, prefix by prefix."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any

from django_upstash.diagnostics.formatting import counted, duration, escaped, shortened, size, table
from django_upstash.diagnostics.key_groups import Families
from django_upstash.diagnostics.keyspace import MOST_WEIGHED, TYPES, KeyGroup, KeyspaceInfo, Scan, survey
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options, UsageError
from django_upstash.settings import conf
from django_upstash.settings.key_prefix import environment

MOST_ROWS = 50
_LONGEST_NAME = 120
_HEADINGS = ("PREFIX", "TYPE", "KEYS", "BYTES", "NO TTL", "SHORTEST TTL")
_UNKNOWN = "-"
_LIFETIMES: dict[str, Callable[[KeyGroup], bool]] = {
    "none": lambda group: bool(group.without_ttl),
    "all": lambda group: bool(group.timed) and not group.without_ttl,
}
_SORTS: dict[str, Callable[[KeyGroup], Any]] = {
    "keys": lambda group: -group.keys,
    "bytes": lambda group: -(group.bytes_range or (0, 0))[1],
    "no-ttl": lambda group: -group.keys * (group.share_without_ttl or 0),
    "ttl": lambda group: (group.shortest_ttl is None, group.shortest_ttl),
    "prefix": lambda group: group.prefix,
}


class KeysSection(DatabaseSection):
    """Shows how many keys of which kind there are, how large, and which of them never expire."""

    name = "keys"
    help = "Show what the database holds, prefix by prefix, from a bounded SCAN."

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--match", metavar="PATTERN", help="only keys of this pattern, such as session:*")
        add("--type", choices=TYPES, help="only keys of this type")
        add("--limit", type=int, default=Scan.limit, metavar="N", help="look at about so many names; 10000")
        add("--sample", type=int, default=Scan.sample, metavar="N", help="ask for type, size and TTL of so many; 100")
        add(
            "--ttl", choices=list(_LIFETIMES), help="only prefixes with keys that have none, or whose keys all have one"
        )
        order = "by what the lines are ordered; keys; bytes is by the upper bound, and measures as --largest does"
        add("--sort", choices=list(_SORTS), default="keys", help=order)
        largest = f"name the N largest keys, at one command for each of {MOST_WEIGHED:,} more keys at most; 10"
        add("--largest", type=int, nargs="?", const=10, metavar="N", help=largest)
        add("--cursor", default=Scan.cursor, metavar="CURSOR", help="continue where an earlier run stopped")

    def check(self, options: Options) -> None:
        _scan(options)

    def look(self, looking: Looking, options: Options) -> None:
        keyspace = survey(looking.connection, _scan(options), _families(), lambda seen: looking.say(_how_far(seen)))
        groups = _selected(keyspace, options)
        looking.show(_document(keyspace, groups), _lines(looking, keyspace, groups))


def _scan(options: Options) -> Scan:
    try:
        return Scan(
            **{name: options[name] for name in ("match", "type", "limit", "sample")},
            cursor=str(options["cursor"]),
            largest=1 if options["largest"] is None else options["largest"],
            weighs=options["largest"] is not None or options["sort"] == "bytes",
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _families() -> Families:
    return Families((str(entry.get("KEY_PREFIX", "")) for entry in conf.caches().values()), environment())


def _how_far(keyspace: KeyspaceInfo) -> str:
    return f"{keyspace.found:,} of {counted(keyspace.total, 'key')} …"


def _selected(keyspace: KeyspaceInfo, options: Options) -> list[KeyGroup]:
    lives = _LIFETIMES.get(options["ttl"], lambda group: True)
    return sorted(filter(lives, keyspace.groups.values()), key=_SORTS[options["sort"]])


def _lines(looking: Looking, keyspace: KeyspaceInfo, groups: list[KeyGroup]) -> Iterator[str]:
    found = "Found" if keyspace.scan.is_filtered else "Scanned"
    yield f"{found} {keyspace.found:,} of {counted(keyspace.total, 'key')} ({looking.cost}; ~ marks estimates)"
    shown = groups[:MOST_ROWS]
    if shown:
        yield from (f"  {line}" for line in table([_HEADINGS, *(_row(group, keyspace) for group in shown)], left=2))
    if len(groups) > len(shown):
        yield f"  … and {counted(len(groups) - len(shown), 'more prefix', 'more prefixes')}"
    yield from _largest_lines(keyspace)
    if keyspace.sizes_are_of_values:
        yield "This server refuses MEMORY USAGE: BYTES are the lengths of strings, without keys and overhead."
    if keyspace.cursor != "0":
        yield f"Continue with: python manage.py {_continuation(looking.alias, keyspace)}"


def _row(group: KeyGroup, keyspace: KeyspaceInfo) -> tuple[str, ...]:
    keys = group.keys * keyspace.scale
    return (
        escaped(group.prefix),
        "/".join(kind for kind, _ in group.types.most_common(2)) or _UNKNOWN,
        _approximately(f"{keys:,.0f}", keyspace.scale > 1),
        _bytes(group, keyspace),
        _UNKNOWN if group.share_without_ttl is None else _estimate(f"{group.share_without_ttl:.0%}", group, keyspace),
        _UNKNOWN if group.shortest_ttl is None else _estimate(duration(group.shortest_ttl / 1000), group, keyspace),
    )


def _bytes(group: KeyGroup, keyspace: KeyspaceInfo) -> str:
    """Return what the keys of a prefix take, between two bounds where not all of them were sized."""
    if group.bytes_range is None:
        return _UNKNOWN
    least, most = (size(bound * keyspace.scale) for bound in group.bytes_range)
    is_estimate = keyspace.scale > 1 or not group.is_sized_whole
    return _approximately(least if least == most else f"{least} to {most}", is_estimate)


def _largest_lines(keyspace: KeyspaceInfo) -> Iterator[str]:
    """Yield the largest keys that were seen, and whether a larger one may be among the others."""
    largest, rest = keyspace.largest, keyspace.found - keyspace.sized
    if not largest:
        return
    if keyspace.scan.largest == 1:
        count, name = largest[0]
        yield f"Largest of {counted(keyspace.sized, 'key')} measured: {_name(name)}, {size(count)}"
    else:
        yield f"Largest of {counted(keyspace.sized, 'key')} measured:"
        yield from (f"  {line}" for line in table(((_name(name), size(count)) for count, name in largest), left=1))
    if rest and not keyspace.scan.weighs:
        yield "Bounds are those of the keys measured, and a larger one may be among the others: --largest looks for it."
    elif rest:
        yield f"{counted(rest, 'key')} {'was' if rest == 1 else 'were'} not measured, and may be larger."


def _name(name: bytes) -> str:
    return shortened(escaped(name.decode("utf-8", "backslashreplace")), _LONGEST_NAME)


def _estimate(text: str, group: KeyGroup, keyspace: KeyspaceInfo) -> str:
    return _approximately(text, keyspace.scale > 1 or not group.is_measured_whole)


def _approximately(text: str, is_estimate: bool) -> str:
    return f"~{text}" if is_estimate else text


def _continuation(alias: str, keyspace: KeyspaceInfo) -> str:
    """Return the arguments that look at the next part in the same way."""
    scan, standard = keyspace.scan, Scan()
    words = ["redis_health", KeysSection.name, alias]
    if scan.weighs:
        words += ["--largest", str(scan.largest)]
    for name in ("match", "type", "limit", "sample"):
        if getattr(scan, name) != getattr(standard, name):
            words += [f"--{name}", str(getattr(scan, name))]
    return shlex.join([*words, "--cursor", keyspace.cursor])


def _document(keyspace: KeyspaceInfo, groups: list[KeyGroup]) -> dict[str, Any]:
    return {
        "keys": keyspace.total,
        "scanned": keyspace.found,
        "is_complete": keyspace.is_complete,
        "cursor": keyspace.cursor,
        "sizes": "value" if keyspace.sizes_are_of_values else "memory",
        "measured": keyspace.sized,
        "largest": [{"name": _name(name), "bytes": count} for count, name in keyspace.largest],
        "groups": [_group_document(group, keyspace) for group in groups],
    }


def _group_document(group: KeyGroup, keyspace: KeyspaceInfo) -> dict[str, Any]:
    """Return a group's counts; ``estimate`` is what they let expect of the whole database."""
    keys = round(group.keys * keyspace.scale)
    least, most = group.bytes_range or (None, None)
    return {
        "prefix": group.prefix,
        "keys": group.keys,
        "types": dict(group.types),
        "measured": group.timed,
        "without_ttl": group.without_ttl,
        "shortest_ttl_ms": group.shortest_ttl,
        "mean_bytes": group.mean_bytes,
        "sized": group.sized,
        "bytes_at_least": None if least is None else round(least * keyspace.scale),
        "bytes_at_most": None if most is None else round(most * keyspace.scale),
        "largest": None if not group.sized else {"name": _name(group.largest_name), "bytes": group.largest},
        "estimate": {"keys": keys, "bytes": None if group.mean_bytes is None else round(group.mean_bytes * keys)},
    }
