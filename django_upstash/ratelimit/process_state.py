"""What one process remembers of one server's limits: its time, who was denied, which windows have begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from django_upstash.forks import PerConnection
from django_upstash.log import get_logger
from django_upstash.ratelimit.clock import ServerClock
from django_upstash.ratelimit.decisions import Outcome
from django_upstash.ratelimit.fallback import LocalStates
from django_upstash.ratelimit.policies import MICROSECONDS, Policy
from django_upstash.ratelimit.rules import RuleBook
from django_upstash.ratelimit.statistics import Tallies
from django_upstash.wire.refusals import reports

if TYPE_CHECKING:
    from django_upstash.connections import Connection

Value = TypeVar("Value")
logger = get_logger("django_upstash.ratelimit")

MOST_REMEMBERED = 10_000
LONGEST_DENIAL = 5 * MICROSECONDS


class Bounded(dict[str, Value]):
    """A dict that forgets what it learned first. It takes no lock: losing an entry costs a command, no more."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self.most = most

    def remember(self, key: str, value: Value) -> None:
        self[key] = value
        while len(self) > self.most:
            try:
                self.pop(next(iter(self)), None)
            except (RuntimeError, StopIteration):
                return  # another thread is at it


class Denial(NamedTuple):
    """A denial and when it ends; times are the server's, in microseconds."""

    known_until: int
    retry_at: int
    reset_at: int
    remaining: int
    beside: tuple[Outcome, ...]  # what the other policies said at that time


class Denials:
    """
    Who need not ask again yet.

    Only the server's own denial is kept, for no longer than it said and five seconds at most, and it counts only for
    the same key, rule and cost. As long as it lasts the server would say the same, unless something was given back
    elsewhere.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._by_key: Bounded[dict[tuple[object, ...], Denial]] = Bounded(most)
        self.keys = self._by_key.keys()  # of those denied lately
        self.forgotten = object()  # another one whenever something is forgotten

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: str, policy: Policy, cost: int, now: int) -> tuple[Outcome, tuple[Outcome, ...]] | None:
        """Return the policy's refusal as of now, where it is known to last, and what others said beside it."""
        known = self._by_key.get(key)
        denial = known and known.get((policy.algorithm, policy.limit, policy.window, cost))
        # One that lasts longer than any does is of before the clock was set back.
        if not denial or not now < denial.known_until <= now + LONGEST_DENIAL:
            return None
        retry, reset = (denial.retry_at - now) / MICROSECONDS, (denial.reset_at - now) / MICROSECONDS
        return Outcome(policy, False, denial.remaining, retry, reset), denial.beside

    def add(self, key: str, outcome: Outcome, cost: int, now: int, beside: tuple[Outcome, ...] = ()) -> None:
        policy = outcome.policy
        if outcome.retry_after is None or policy.algorithm == "leases":
            return  # a lease may be released at any time
        retry_at = now + round(outcome.retry_after * MICROSECONDS)
        reset_at = now + round(outcome.reset_after * MICROSECONDS)
        denial = Denial(min(retry_at, now + LONGEST_DENIAL), retry_at, reset_at, outcome.remaining, beside)
        known = {
            rule: other
            for rule, other in self._by_key.get(key, {}).items()
            if now < other.known_until <= now + LONGEST_DENIAL
        }
        rule = (policy.algorithm, policy.limit, policy.window, cost)
        self._by_key.remember(key, {**known, rule: denial} if len(known) < _MOST_RULES else {rule: denial})

    def forget(self, key: str) -> None:
        self.forgotten = object()
        self._by_key.pop(key, None)


_MOST_RULES = 8


class LimitOutage:
    """
    Whether decisions are made without the server at present: one line in the log for each change.

    What the server refuses is an error each minute, for it may last until somebody notices.
    """

    def __init__(self) -> None:
        self.is_on = False

    def failed(self, server: str, error: Exception, *, is_refusal: bool = False) -> None:
        if is_refusal:
            reports.report(logger, server, "Rate limits are decided without the server", error)
        elif not self.is_on:
            logger.warning("Rate limits are decided without %s: %s", server, error)
        self.is_on = True

    def succeeded(self, server: str) -> None:
        if self.is_on:
            self.is_on = False
            logger.warning("Rate limits are decided by %s again.", server)


class Memory:
    """Everything a process remembers of one connection's server."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self.clock = ServerClock()
        self.denials = Denials(most)
        self.windows: Bounded[tuple[int, int]] = Bounded(most)  # where each began, and its count when last seen
        self.local = LocalStates(most)
        self.outage = LimitOutage()
        self.tallies = Tallies()
        self._rules: Bounded[RuleBook] = Bounded(most)

    def rules(self, tenant: str) -> RuleBook:
        """Return what has been ruled for a tenant while the site was running."""
        book = self._rules.get(tenant)
        if book is None:
            book = self._rules.setdefault(tenant, RuleBook(tenant))
            self._rules.remember(tenant, book)
        return book

    def forget(self, key: str) -> None:
        self.denials.forget(key)
        self.windows.pop(key, None)
        self.local.forget(key)

    def after_fork(self) -> None:
        self.local.after_fork()
        self.tallies.after_fork()


_memories = PerConnection(Memory, Memory.after_fork)


def memory_of(connection: Connection, most: int = MOST_REMEMBERED) -> Memory:
    """Return what this process remembers of a connection's server."""
    return _memories.of(connection, most)


def memories() -> list[tuple[Connection, Memory]]:
    """Return what this process remembers, by connection."""
    return _memories.items()
