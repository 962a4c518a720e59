"""
The counters of rate limits as an operator wants to see them: found among all keys, and judged by the policies known.

Finding them by name costs one command; finding them by SCAN costs one for a thousand keys or so, and stops after a
number of pages. Their states are then one command more, however many there are.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from time import monotonic
from typing import Any

from django_upstash.diagnostics.command_counter import Spending
from django_upstash.operations import Command, Operation, Reply, checked
from django_upstash.operations.key_kind import Kind
from django_upstash.operations.key_scan import START, Page, page
from django_upstash.ratelimit import overrides
from django_upstash.ratelimit.algorithms import decide
from django_upstash.ratelimit.keys import key_prefix, stored_identity
from django_upstash.ratelimit.policies import MICROSECONDS, Policy
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.rules import FOREVER, RuleBook, Rules, listed_name
from django_upstash.ratelimit.statistics import ScopeStatistics, Stretch, statistics
from django_upstash.ratelimit.stored import StoredLimit, key_pattern, measured, parse_key

ENOUGH = 1_000
MOST_TENANTS = 4
NEAR = 0.8
_CURSOR = re.compile(r"\d{1,20}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{32}", re.ASCII)


class CounterStanding(StrEnum):
    """What a client has left under one limit, the worst first."""

    BLOCKED = "blocked"
    AT_LIMIT = "at limit"
    NEAR = "near limit"
    BELOW = "below"
    UNKNOWN = "unknown"
    EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Counter:
    """
    One counter and what its policy says of it. Times are in seconds from the reading.

    Where no limiter of this process has the scope, ``policy``, ``limit`` and ``remaining`` are None, and ``used`` is
    what had been used when the state was written. ``listed_for`` is how long a block or an exemption still lasts.
    """

    stored: StoredLimit
    standing: CounterStanding
    algorithm: str | None
    used: int | None
    policy: Policy | None = None
    remaining: int | None = None
    reset_after: float | None = None
    retry_after: float | None = None
    listed_for: float | None = None

    @property
    def limit(self) -> int | None:
        return None if self.policy is None else self.policy.limit

    @property
    def share(self) -> float | None:
        """What part of the limit is used; None where the limit is not known."""
        if self.policy is None or self.used is None:
            return None
        return self.used / self.policy.limit if self.policy.limit else 1.0


@dataclass(frozen=True, kw_only=True)
class Search:
    """
    Which counters to find. None and the empty text are any.

    ``identity`` is one client's, as the application names it or as it is stored; with an asterisk at its end, it is
    what the stored name begins with. ``everywhere`` scans for an exact name too, in scopes that no limiter here has.
    Raises ``ValueError`` for an invalid cursor.
    """

    tenant: str | None = None
    scope: str | None = None
    identity: str = ""
    cursor: str = "0"
    everywhere: bool = False

    def __post_init__(self) -> None:
        if not _CURSOR.fullmatch(self.cursor):
            raise ValueError("The cursor must be the number that an earlier page gave.")

    @property
    def scopes(self) -> list[tuple[str, str]]:
        """The known tenants and scopes that are searched."""
        return [
            (tenant, scope)
            for tenant, scope in catalogue.scopes()
            if self.tenant in (None, tenant) and self.scope in (None, scope)
        ]

    @property
    def is_exact(self) -> bool:
        """Whether the names can be told without a scan."""
        return bool(self.identity) and not self.identity.endswith("*") and not self.everywhere and bool(self.scopes)

    @property
    def identities(self) -> list[str]:
        """The stored names that an exact identity may have: views count an IPv6 address as its /64."""
        given = [self.identity] if _DIGEST.fullmatch(self.identity) else []
        return list(dict.fromkeys([*given, stored_identity(self.identity), listed_name(self.identity)]))

    @property
    def names(self) -> list[StoredLimit]:
        """The counters that an exact identity may have."""
        return [
            StoredLimit(key_prefix(tenant, scope) + identity, tenant, scope, identity)
            for tenant, scope in self.scopes
            for identity in self.identities
        ]

    @property
    def pattern(self) -> str:
        """The pattern of SCAN."""
        if self.identity.endswith("*"):
            return key_pattern(self.tenant, self.scope, self.identity[:-1]) + "*"
        return key_pattern(self.tenant, self.scope, self.identities[0] if self.identity else None)


@dataclass
class FoundCounters:
    """What was found by name. ``cursor`` is where to go on, "0" when all keys have been looked at."""

    stored: list[StoredLimit] = field(default_factory=list)
    cursor: str = START
    pages: int = 0


@dataclass
class Reading:
    """The states of counters, in the order they were asked for, and what is said of their tenants."""

    counters: list[Counter] = field(default_factory=list)
    rules: dict[str, Rules] = field(default_factory=dict)
    statistics: list[ScopeStatistics] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)  # of decisions, each counted once
    now: int = 0  # the server's time in microseconds
    keys: int | None = None  # in the whole database
    unread_tenants: int = 0  # whose rules were not read: there were too many


def named(key: object) -> StoredLimit | None:
    """Return what a key names, where it is written as this package writes it; None for anything else."""
    found = parse_key(key) if isinstance(key, str) else None
    if found is None or not (found.tenant and found.scope):
        return None
    return found if key_prefix(found.tenant, found.scope) + found.identity == key else None


def find(spending: Spending, memory: Memory, search: Search, pages: int, seconds: float) -> FoundCounters:
    """Return the names of counters: those asked for exactly, or those of at most so many pages of SCAN."""
    if search.is_exact:
        return FoundCounters(search.names)
    found, seen, cursor = FoundCounters(cursor=search.cursor), dict[str, StoredLimit](), search.cursor
    deadline = monotonic() + seconds
    while found.pages < pages and len(seen) < ENOUGH and monotonic() < deadline:
        keys, following = spending.run(_page(memory, cursor, search.pattern))
        found.pages += 1
        # SCAN may name a key twice.
        seen |= {stored.key: stored for key in keys if (stored := named(key)) is not None}
        cursor = following or START
        if following is None:
            break
    found.stored, found.cursor = list(seen.values()), cursor
    return found


def _page(memory: Memory, cursor: str, pattern: str) -> Operation[Page]:
    """Return the operation that looks at one page of keys; the first of a process asks for the time as well."""
    started = memory.clock.started()
    telling: list[Command] = [] if memory.clock.is_known else [("TIME",)]
    scanning = page(Kind(pattern), cursor)

    def parse(replies: list[Reply]) -> Page | Operation[Page]:
        for seconds, microseconds in checked(replies)[1:]:
            memory.clock.sample(started, int(seconds), int(microseconds))
        return scanning.parse(replies[:1])

    return Operation((*scanning.commands, *telling), parse)


def read(
    memory: Memory, stored: Sequence[StoredLimit], tenants: Iterable[str] = (), seconds: int = 0
) -> Operation[Reading]:
    """
    Return the operation that reads the states of counters and the rules of their tenants.

    With ``seconds``, also what statistics say of so long; ``tenants`` are read in any case. Counters that have ended
    are left out.
    """
    return overrides.with_time(memory.clock, lambda now: _reading(stored, tenants, seconds, now))


def _reading(stored: Sequence[StoredLimit], tenants: Iterable[str], seconds: int, now: int) -> Operation[Reading]:
    often = [tenant for tenant, _ in Tally(one.tenant for one in stored).most_common()]
    wanted = list(dict.fromkeys([*tenants, *often]))
    books = [RuleBook(tenant) for tenant in wanted[:MOST_TENANTS]]
    counted = [statistics(tenant, now, seconds) for tenant in wanted[:MOST_TENANTS] if seconds]
    commands: list[Command] = [("DBSIZE",), *(book.reading for book in books)]
    commands += [one for operation in counted for one in operation.commands]
    if stored:
        commands.append(("MGET", *(one.key for one in stored)))

    def parse(replies: list[Reply]) -> Reading:
        keys, *rest = checked(replies)
        for book, reply in zip(books, rest, strict=False):
            book.take(reply)
        rules = {tenant: book.rules for tenant, book in zip(wanted, books, strict=False)}
        told = zip(counted, rest[len(books) :], strict=False)
        spoken: list[Any] = [operation.parse([reply]) for operation, reply in told]
        counters = _judged(stored, rest[-1] if stored else [], rules, now)
        scopes = [one for found in spoken for one in found.scopes]
        stretches = [one for found in spoken for one in found.stretches]
        return Reading(counters, rules, scopes, stretches, now, keys, len(wanted) - len(books))

    return Operation(commands, parse)


def _judged(stored: Sequence[StoredLimit], states: list[Any], rules: dict[str, Rules], now: int) -> list[Counter]:
    return [
        judge(one, state.decode("utf-8", "replace"), rules.get(one.tenant), now)
        for one, state in zip(stored, states, strict=True)
        if isinstance(state, bytes)
    ]


def judge(stored: StoredLimit, state: str, rules: Rules | None, now: int) -> Counter:
    """Return what is known of a counter whose state has been read at a time in microseconds."""
    policy = catalogue.policy(stored.tenant, stored.scope)
    algorithm, used = measured(state) or (None, None)
    counter = Counter(stored, CounterStanding.UNKNOWN, algorithm, used)
    # Somebody else may count in the same scope by another algorithm.
    if policy is not None and policy.algorithm == algorithm:
        counter = _decided(counter, rules.limit(policy, stored.identity) if rules else policy, state, now)
    return _listed(counter, rules, now) if rules else counter


def _decided(counter: Counter, policy: Policy, state: str, now: int) -> Counter:
    terms = policy.terms(now)
    left, wanted = decide(state, 0, now, terms), decide(state, 1, now, terms)
    used = policy.limit - left.remaining
    standing = CounterStanding.NEAR if used >= NEAR * policy.limit else CounterStanding.BELOW
    return replace(
        counter,
        standing=standing if wanted.granted else CounterStanding.AT_LIMIT,
        policy=policy,
        used=used,
        remaining=left.remaining,
        reset_after=left.reset_after / MICROSECONDS,
        retry_after=wanted.retry_after / MICROSECONDS,
    )


def _listed(counter: Counter, rules: Rules, now: int) -> Counter:
    for listing, standing in ((rules.allowed, CounterStanding.EXEMPT), (rules.blocked, CounterStanding.BLOCKED)):
        ends = listing.ends(counter.stored.identity, now)
        if ends is not None:
            seconds = None if ends == FOREVER else (ends - now) / MICROSECONDS
            return replace(counter, standing=standing, listed_for=seconds)
    return counter


def lifetimes(counters: Sequence[Counter]) -> Operation[list[Counter]]:
    """Return the operation that tells when counters of unknown policies end, at one command each."""
    asked = [counter for counter in counters if counter.reset_after is None]

    def parse(replies: list[Reply]) -> list[Counter]:
        left = {counter.stored.key: ttl for counter, ttl in zip(asked, checked(replies), strict=True)}
        return [
            replace(counter, reset_after=left[counter.stored.key] / 1000)
            if left.get(counter.stored.key, -1) >= 0
            else counter
            for counter in counters
        ]

    return Operation([("PTTL", counter.stored.key) for counter in asked], parse)
