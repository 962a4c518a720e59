"""``redis_health limits``: the counters of rate limits, and a reset that shows first what it would remove."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django_upstash.connections import Connection
from django_upstash.diagnostics.formatting import counted, duration, escaped, table
from django_upstash.diagnostics.sections.confirmation import add_confirmation, check_confirmation
from django_upstash.diagnostics.sections.section import DatabaseSection, Looking, Options, UsageError
from django_upstash.operations import Operation, Reply, checked
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import pages
from django_upstash.ratelimit.keys import stored_identity
from django_upstash.ratelimit.policies import Policy
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.report.counters import Counter as FoundCounter
from django_upstash.ratelimit.report.counters import CounterStanding, read
from django_upstash.ratelimit.report.limiters import load_all
from django_upstash.ratelimit.stored import StoredLimit, described, key_pattern, parse_key

_MOST_SHOWN = 50
_AT_A_TIME = 100
_UNKNOWN = "limit unknown"
_HEADINGS = ("TENANT", "SCOPE", "IDENTITY", "USED", "LIMIT", "REMAINING", "STANDING", "RESETS", "TTL")


class Shown(NamedTuple):
    """A counter, and the milliseconds it has left, negative where it does not end."""

    counter: FoundCounter
    left: int


class LimitsSection(DatabaseSection):
    """Lists the counters by scope, shows those of one client, and forgets them."""

    name = "limits"
    help = "Show the counters of rate limits, those of one client, and reset them with --reset --yes."

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--tenant", help="only this tenant's")
        add("--scope", help="only this scope's")
        add("--identity", help="only this client's: user:42, an address, or the token or e-mail address itself")
        add("--limit", type=int, default=100_000, metavar="N", help="look at about so many counters; 100000")
        add("--reset", action="store_true", help="show what --yes would remove")
        add_confirmation(parser, action="--reset", continues=False)

    def check(self, options: Options) -> None:
        _check(options)

    def look(self, looking: Looking, options: Options) -> None:
        connection = looking.connection
        identity = None if options["identity"] is None else stored_identity(options["identity"])
        found = _found(looking, key_pattern(options["tenant"], options["scope"], identity), options["limit"])
        removed = _remove(connection, found) if options["yes"] else None
        states = _states(connection, found[:_MOST_SHOWN]) if removed is None and identity is not None else []
        lines = _lines(looking, found, states, removed, reset=options["reset"])
        looking.show(_document(found, states, removed), lines, feature="rate limits")


def _check(options: Options) -> None:
    if options["limit"] < 1:
        raise UsageError("--limit must be from 1.")
    check_confirmation(options, action="--reset", continues=False)
    if options["reset"] and not (options["identity"] or options["scope"] or options["tenant"]):
        raise UsageError("--reset needs --identity, --scope or --tenant: all counters at once are not removed here.")


def _found(looking: Looking, pattern: str, limit: int) -> list[StoredLimit]:
    seen: dict[str, StoredLimit] = {}  # SCAN may name a key twice
    for page in pages(looking.connection.run, Kind(pattern)):
        stored = (found for key in page.keys if (found := parse_key(key)) is not None)
        seen.update((found.key, found) for found in stored)
        looking.progress(min(len(seen), limit), "counter")
        if len(seen) >= limit:
            break
    return list(seen.values())[:limit]


def _states(connection: Connection, found: Sequence[StoredLimit]) -> list[Shown]:
    """Return the counters by the policies that settings and this process know, and the milliseconds they have left."""
    if not found:
        return []
    load_all()
    counters = connection.run(read(Memory(), found)).counters

    def parse(replies: list[Reply]) -> list[Shown]:
        return [Shown(*pair) for pair in zip(counters, checked(replies), strict=True) if pair[1] != -2]

    return connection.run(Operation([("PTTL", counter.stored.key) for counter in counters], parse)) if counters else []


def _remove(connection: Connection, found: Sequence[StoredLimit]) -> int:
    removed = 0
    for first in range(0, len(found), _AT_A_TIME):
        keys = [stored.key for stored in found[first : first + _AT_A_TIME]]
        removed += connection.run(Operation((("DEL", *keys),), lambda replies: int(checked(replies)[0])))
    return removed


def _lines(
    looking: Looking,
    found: Sequence[StoredLimit],
    states: Sequence[Shown],
    removed: int | None,
    *,
    reset: bool,
) -> Iterator[str]:
    where = f"on {looking.alias} ({looking.cost})"
    if removed is not None:
        yield f"Removed {counted(removed, 'counter')} {where}."
        yield "Processes that know of a denial follow within 5 s."
        return
    yield f"{counted(len(found), 'counter')} {where}"
    rows = [_state_row(state) for state in states] if states else _scope_rows(found)
    if rows:
        headings = _HEADINGS if states else ("TENANT", "SCOPE", "COUNTERS")
        yield from (f"  {line}" for line in table([headings, *rows[:_MOST_SHOWN]], left=2))
    if any(state.counter.policy is None for state in states):
        yield 'Limits of other scopes are not known here: name their limiters in UPSTASH_ADMIN["LIMITERS"].'
    if reset and found:
        yield "Nothing was removed: add --yes to remove these."


def _state_row(state: Shown) -> tuple[str, ...]:
    counter, stored = state.counter, state.counter.stored
    return (
        *(escaped(part) for part in (stored.tenant, stored.scope, stored.identity)),
        described(counter.algorithm, counter.used),
        "unknown" if counter.policy is None else _policy_words(counter.policy),
        "-" if counter.remaining is None else f"{counter.remaining:,}",
        _UNKNOWN if counter.standing is CounterStanding.UNKNOWN else str(counter.standing),
        "-" if counter.policy is None or counter.reset_after is None else f"in {duration(counter.reset_after)}",
        "none" if state.left < 0 else duration(state.left / 1000),
    )


def _policy_words(policy: Policy) -> str:
    if policy.algorithm == "leases":
        return f"{policy.limit:,} at once"
    return f"{policy.limit:,} in {duration(policy.window)}"


def _scope_rows(found: Sequence[StoredLimit]) -> list[tuple[str, ...]]:
    scopes = Counter((stored.tenant, stored.scope) for stored in found)
    return [(escaped(tenant), escaped(scope), f"{count:,}") for (tenant, scope), count in scopes.most_common()]


def _document(found: Sequence[StoredLimit], states: Sequence[Shown], removed: int | None) -> dict[str, Any]:
    scopes = Counter((stored.tenant, stored.scope) for stored in found)
    return {
        "counters": len(found),
        "scopes": [{"tenant": tenant, "scope": scope, "counters": count} for (tenant, scope), count in scopes.items()],
        "states": [
            {"key": stored.key, "tenant": stored.tenant, "scope": stored.scope, "identity": stored.identity}
            | _judged(state)
            for state in states
            for stored in [state.counter.stored]
        ],
        "removed": removed,
    }


def _judged(state: Shown) -> dict[str, Any]:
    """Return what a policy says of a counter; times are in seconds, and None is what is not known."""
    counter = state.counter
    return {
        "state": described(counter.algorithm, counter.used),
        "algorithm": counter.algorithm,
        "limit": counter.limit,
        "window": None if counter.policy is None else counter.policy.window,
        "used": counter.used,
        "remaining": counter.remaining,
        "standing": str(counter.standing),
        "at_limit": None if counter.policy is None else counter.standing is CounterStanding.AT_LIMIT,
        "reset_after": counter.reset_after,
        "retry_after": counter.retry_after,
        "ttl_ms": None if state.left < 0 else state.left,
    }
