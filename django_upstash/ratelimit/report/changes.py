"""
What an operator changes about rate limits, for all processes of the site.

This process follows at once; the others know of a denial for five seconds at most, and read the rules as often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django_upstash.diagnostics.command_counter import Spending
from django_upstash.operations import Operation, then
from django_upstash.ratelimit import overrides
from django_upstash.ratelimit.operations import forget
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.rates import check_limit, shown
from django_upstash.ratelimit.report.counters import FoundCounters, Search, find
from django_upstash.ratelimit.rules import BLOCK, NOTE, stored_limit_field, stored_listing_field

_AT_A_TIME = 100


def reset(memory: Memory, keys: Sequence[str]) -> Operation[int]:
    """Remove counters; the result is how many there were."""

    def follow(removed: int) -> int:
        for key in keys:
            memory.forget(key)
        return removed

    return then(forget(keys), follow)


def reset_found(
    spending: Spending, memory: Memory, search: Search, pages: int, seconds: float
) -> tuple[int, FoundCounters]:
    """Remove the counters that a bounded scan finds; return how many there were, and where to go on."""
    found = find(spending, memory, search, pages, seconds)
    keys = [one.key for one in found.stored]
    removed = 0
    for first in range(0, len(keys), _AT_A_TIME):
        removed += spending.run(reset(memory, keys[first : first + _AT_A_TIME]))
    return removed, found


def block(
    memory: Memory, tenant: str, stored: Sequence[str], seconds: float | None, labels: Mapping[str, str] | None = None
) -> Operation[None]:
    """
    Refuse stored identities, addresses or networks in all scopes of a tenant; None is until unblocked.

    ``labels`` say by stored identity how the operator has named it; they must hold no secret.
    """
    fields = [stored_listing_field(BLOCK, one) for one in stored]
    notes = {stored_listing_field(NOTE, one): label for one, label in (labels or {}).items()}
    return overrides.listing(memory, memory.rules(tenant), fields, seconds, notes)


def unblock(memory: Memory, tenant: str, stored: Sequence[str]) -> Operation[None]:
    """Take stored identities, addresses or networks off the list of those to be refused."""
    book = memory.rules(tenant)
    fields = [stored_listing_field(word, one) for one in stored for word in (BLOCK, NOTE)]
    return overrides.changing(book, ("HDEL", book.key, *fields))


def set_limit(memory: Memory, tenant: str, scope: str, limit: int | None, stored: str | None = None) -> Operation[None]:
    """
    Give a scope, or a stored identity in it, another limit; None takes it back.

    Raises ``ValueError`` for a limit that the policy cannot have, and where no limiter here has the scope.
    """
    book, field = memory.rules(tenant), stored_limit_field(scope, stored)
    if limit is None:
        return overrides.changing(book, ("HDEL", book.key, field))
    policy = catalogue.policy(tenant, scope)
    if policy is None:
        raise ValueError(f"No limiter of this process has the scope {shown(scope)}.")
    policy.limited_to(check_limit(limit))
    return overrides.changing(book, ("HSET", book.key, field, str(limit)))
