"""``redis_health limits``: the counters of rate limits, and a reset that shows first what it would remove."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django_upstash.connections import Connection
from django_upstash.inspection.report import SCHEMA, Status
from django_upstash.inspection.sections.base import Options, Outcome, Output, Section, UsageError, looking_at, one_alias
from django_upstash.inspection.wording import counted, duration, escaped, table
from django_upstash.operations import Operation, Reply, checked
from django_upstash.ratelimit.keys import stored_identity
from django_upstash.ratelimit.stored import StoredLimit, described, key_pattern, parse_key, scanning

_MOST_SHOWN = 50
_AT_A_TIME = 100


class LimitsSection(Section):
    """Lists the counters by scope, shows those of one client, and forgets them."""

    name = "limits"
    help = "Show the counters of rate limits, those of one client, and reset them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("alias", nargs="?", help="a connection of UPSTASH; `default`, or the only one")
        add("--tenant", help="only this tenant's")
        add("--scope", help="only this scope's")
        add("--identity", help="only this client's: user:42, an address, or the token or e-mail address itself")
        add("--limit", type=int, default=100_000, metavar="N", help="look at about so many counters; 100000")
        add("--reset", action="store_true", help="show what --confirm would remove")
        add("--confirm", action="store_true", help="with --reset: remove it")
        add("--json", action="store_true", help="print one JSON object")
        add("--timeout", type=float, default=2.0, metavar="SECONDS", help="of each request; 2")

    def run(self, options: Options, output: Output) -> Outcome:
        _check(options)
        identity = None if options["identity"] is None else stored_identity(options["identity"])
        with looking_at(one_alias(options["alias"]), options, output) as looking:
            connection = looking.connection
            pattern = key_pattern(options["tenant"], options["scope"], identity)
            found = list(_found(connection, pattern, options["limit"], output))
            output.progress("")
            removed = _remove(connection, found) if options["confirm"] else None
            states = _states(connection, found[:_MOST_SHOWN]) if removed is None and identity is not None else []
            if options["json"]:
                output.json(_document(connection, found, states, removed))
            else:
                output.lines(_lines(connection, found, states, removed, reset=options["reset"]))
        return looking.outcome


def _check(options: Options) -> None:
    if options["limit"] < 1:
        raise UsageError("--limit must be from 1.")
    if options["confirm"] and not options["reset"]:
        raise UsageError("--confirm goes with --reset.")
    if options["reset"] and not (options["identity"] or options["scope"] or options["tenant"]):
        raise UsageError("--reset needs --identity, --scope or --tenant: all counters at once are not removed here.")


def _found(connection: Connection, pattern: str, limit: int, output: Output) -> Iterator[StoredLimit]:
    cursor, seen = "0", dict[str, None]()
    while True:
        page: list[Any] = connection.run(Operation((scanning(cursor, pattern),), lambda replies: checked(replies)[0]))
        for key in page[1]:
            stored = parse_key(key.decode("utf-8", "replace"))
            # SCAN may name a key twice.
            if stored is not None and stored.key not in seen and len(seen) < limit:
                seen[stored.key] = None
                yield stored
        cursor = page[0].decode()
        output.progress(f"{counted(len(seen), 'counter')} …")
        if cursor == "0" or len(seen) >= limit:
            return


def _states(connection: Connection, found: Sequence[StoredLimit]) -> list[tuple[StoredLimit, str, int]]:
    """Return what the counters hold, and the milliseconds they have left."""
    if not found:
        return []
    commands = [("MGET", *(stored.key for stored in found)), *(("PTTL", stored.key) for stored in found)]

    def parse(replies: list[Reply]) -> list[tuple[StoredLimit, str, int]]:
        values, *lifetimes = checked(replies)
        rows = zip(found, values, lifetimes, strict=True)
        return [(stored, _text(value), left) for stored, value, left in rows if left != -2]

    return connection.run(Operation(commands, parse))


def _remove(connection: Connection, found: Sequence[StoredLimit]) -> int:
    removed = 0
    for first in range(0, len(found), _AT_A_TIME):
        keys = [stored.key for stored in found[first : first + _AT_A_TIME]]
        removed += connection.run(Operation((("DEL", *keys),), lambda replies: int(checked(replies)[0])))
    return removed


def _lines(
    connection: Connection,
    found: Sequence[StoredLimit],
    states: Sequence[tuple[StoredLimit, str, int]],
    removed: int | None,
    *,
    reset: bool,
) -> Iterator[str]:
    meter = connection.meter
    cost = f"({counted(meter.requests, 'request')}, {counted(meter.commands, 'command')})"
    if removed is not None:
        yield f"Removed {counted(removed, 'counter')} on {connection.settings.alias} {cost}."
        yield "Processes that know of a denial follow within 5 s."
        return
    yield f"{counted(len(found), 'counter')} on {connection.settings.alias} {cost}"
    rows = [_state_row(*state) for state in states] if states else _scope_rows(found)
    if rows:
        headings = ("TENANT", "SCOPE", "IDENTITY", "STATE", "TTL") if states else ("TENANT", "SCOPE", "COUNTERS")
        yield from (f"  {line}" for line in table([headings, *rows[:_MOST_SHOWN]], left=2))
    if reset and found:
        yield "Nothing was removed: add --confirm to remove these."


def _state_row(stored: StoredLimit, state: str, left: int) -> tuple[str, ...]:
    lifetime = "none" if left < 0 else duration(left / 1000)
    return escaped(stored.tenant), escaped(stored.scope), escaped(stored.identity), described(state), lifetime


def _scope_rows(found: Sequence[StoredLimit]) -> list[tuple[str, ...]]:
    scopes = Counter((stored.tenant, stored.scope) for stored in found)
    return [(escaped(tenant), escaped(scope), f"{count:,}") for (tenant, scope), count in scopes.most_common()]


def _document(
    connection: Connection,
    found: Sequence[StoredLimit],
    states: Sequence[tuple[StoredLimit, str, int]],
    removed: int | None,
) -> dict[str, Any]:
    scopes = Counter((stored.tenant, stored.scope) for stored in found)
    return {
        "schema": SCHEMA,
        "status": Status.OK,
        "alias": connection.settings.alias,
        "counters": len(found),
        "scopes": [{"tenant": tenant, "scope": scope, "counters": count} for (tenant, scope), count in scopes.items()],
        "states": [
            {"key": stored.key, "tenant": stored.tenant, "scope": stored.scope, "identity": stored.identity}
            | {"state": described(state), "ttl_ms": None if left < 0 else left}
            for stored, state, left in states
        ],
        "removed": removed,
        "requests": connection.meter.requests,
        "commands": connection.meter.commands,
    }


def _text(value: Reply) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
