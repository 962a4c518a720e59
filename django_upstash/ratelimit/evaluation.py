"""One question to a limiter, from what the process knows already to the server's answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from operator import add
from typing import TYPE_CHECKING, Any

from django_upstash.exceptions import ConnectionError, PoolTimeoutError, ServerAwayError, UpstashError
from django_upstash.operations import Command, Operation, Reply, checked, then
from django_upstash.ratelimit.decisions import Decision, Outcome, Reason
from django_upstash.ratelimit.operations import Attempt, carrying, charge, give_back, look, outcomes_of
from django_upstash.ratelimit.policies import MICROSECONDS, Policy
from django_upstash.ratelimit.process_state import Memory
from django_upstash.ratelimit.rates import shown
from django_upstash.ratelimit.rules import FOREVER
from django_upstash.ratelimit.settings import RateLimitSettings
from django_upstash.wire.refusals import is_refusal

if TYPE_CHECKING:
    from django_upstash.connections import Connection
    from django_upstash.ratelimit.limiter_base import LimiterBase
    from django_upstash.ratelimit.rules import RuleBook

_RETRY = 1.0
_WITHIN_LIMITS = Reason.WITHIN_LIMITS
# What decides where the site has no server at all.
_without_redis = Memory()


class Inquiry:
    """
    May ``cost`` units of these identities pass? One identity for each policy, as keys have them.

    ``charges`` says whether they are charged if so. Nothing here does I/O: ``begin`` returns the decision, or the
    operation that leads to it.
    """

    __slots__ = (
        "_asked",
        "_book",
        "_forgotten",
        "_memory",
        "_outdated",
        "_server",
        "charges",
        "cost",
        "identities",
        "is_counted",
        "keys",
        "lease",
        "limiter",
        "settings",
    )

    def __init__(
        self,
        limiter: LimiterBase,
        identities: Sequence[str],
        cost: int,
        *,
        charges: bool,
        settings: RateLimitSettings,
    ) -> None:
        self.limiter = limiter
        self.settings = settings
        self.identities = identities
        self.keys = list(map(add, limiter.prefixes, identities))
        self.cost = check_cost(cost)
        self.charges = charges and cost > 0
        self.is_counted = settings.enabled and limiter.counts(settings)
        self.lease = ""
        self._memory = _without_redis
        self._outdated = False

    def begin(self) -> Operation[Decision] | Decision:
        """Return the decision where this process knows it; raise ``UpstashError`` where the server is known away."""
        if not self.settings.enabled:
            return self._unlimited(Reason.DISABLED, self.limiter.policies)
        self._server = server = self.limiter.server_by(self.settings)
        self._memory = memory = server.memory
        self._book = self._book_in(memory)
        return self._decide() if memory.clock.is_known else self._learn()

    @property
    def connection(self) -> Connection:
        return self._server.connection

    def succeeded(self) -> None:
        """Note that the server has answered."""
        if self._memory.outage.is_on:
            self._memory.outage.succeeded(self._server.base.settings.safe_url)

    def without_server(self, error: UpstashError) -> Decision:
        """
        Return the decision for when the server cannot be asked, or refuses: as ``on_failure`` and ON_REFUSAL say.

        Where only this process had no connection free, that is a refusal: its own load shall open no limit.
        """
        memory, name = _memory_without_server(self.limiter)
        is_congested, refused = isinstance(error, PoolTimeoutError), is_refusal(error)
        if not is_congested:
            memory.outage.failed(name, error, is_refusal=refused)
        now = _local_time(memory)
        judged, policies = self._judge(self._book_in(memory), now)
        if judged is not None:
            return judged
        return self._congested(policies) if is_congested else self._fall_back(memory, policies, now, refused=refused)

    def _congested(self, policies: Sequence[Policy]) -> Decision:
        outcomes = tuple(Outcome(policy, False, 0, _RETRY, _RETRY) for policy in policies)
        return Decision(False, Reason.CONGESTED, self.cost, outcomes)

    def _learn(self) -> Operation[Decision]:
        """Ask for the time first, and for the rules, which are due as well."""
        self._check_availability()
        commands, take = self._passengers(time_too=True)

        def parse(replies: list[Reply]) -> Any:
            checked(replies[-1:])
            take(replies)
            self._outdated = False
            return self._decide(has_asked=True)

        return Operation(commands, parse)

    def _decide(self, *, has_asked: bool = False) -> Operation[Decision] | Decision:
        book, clock = self._book, self._memory.clock
        now, time_due = clock.read()
        if time_due and not has_asked and clock.has_jumped:
            return self._learn()
        judged, policies = self._judge(book, now)
        rules_due = book is not None and book.is_due
        if not rules_due:
            found = self._known(policies, now) if judged is None else judged
            if found is not None:
                return found
        self._check_availability()
        if rules_due or time_due:
            return self._ask_and_learn(judged, policies, now, time_due=time_due)
        return self._ask(self._attempt(policies, now))

    def _check_availability(self) -> None:
        connection = self._server.connection
        availability = connection.availability
        if not (availability.is_up or availability.may_ask()):
            raise connection.refusal.again() or ServerAwayError()

    def _known(self, policies: Sequence[Policy], now: int) -> Decision | None:
        """Return the denial that this process knows to last, or that needs no server."""
        hopeless, denials = self._hopeless(policies), self._memory.denials
        if hopeless is not None or denials.keys.isdisjoint(self.keys):
            return hopeless
        find = denials.find
        found = [find(key, policy, self.cost, now) for key, policy in zip(self.keys, policies, strict=True)]
        if not any(found):
            return None
        said = {outcome.policy: outcome for refusal in found if refusal for outcome in refusal[1] if outcome.allowed}
        outcomes = [
            refusal[0] if refusal else said.get(policy) for refusal, policy in zip(found, policies, strict=True)
        ]
        return Decision(False, Reason.LIMITED, self.cost, tuple(outcome for outcome in outcomes if outcome is not None))

    def _ask(self, attempt: Attempt) -> Operation[Decision]:
        """Return the operation that asks the server."""
        self._asked, self._forgotten = attempt, self._memory.denials.forgotten
        if self.charges:
            asking = charge(self._memory, self._server.connection.capabilities, attempt, self._answered)
        else:
            asking = look(attempt, self._answered)
        return self._with_statistics(asking, attempt.now) if self.is_counted else asking

    def _ask_and_learn(
        self, judged: Decision | None, policies: Sequence[Policy], now: int, *, time_due: bool
    ) -> Operation[Decision]:
        """Return the operation that asks the server, and learns what is due on the same way."""
        decided = self._hopeless(policies) if judged is None else judged
        attempt = self._attempt(policies, now)
        asking = self._ask(attempt) if decided is None else Operation((), lambda _: decided)
        commands, take = self._passengers(time_too=time_due)
        return then(carrying(asking, commands, take), lambda decision: self._reviewed(decision, attempt))

    def _hopeless(self, policies: Sequence[Policy]) -> Decision | None:
        """Return the denial of a cost that one of the limits can never hold."""
        if self.cost <= self.limiter.least and policies is self.limiter.policies:
            return None
        never = [
            policy for policy in policies if policy.limit < (self.cost if policy.is_weighted else min(self.cost, 1))
        ]
        if not never:
            return None
        outcomes = tuple([Outcome(policy, False, 0, None, 0.0) for policy in never])
        return Decision(False, Reason.COST_ABOVE_LIMIT, self.cost, outcomes)

    def _attempt(self, policies: Sequence[Policy], now: int) -> Attempt:
        if self.limiter.has_leases:
            self.lease = f"x{secrets.token_hex(6)}"
        return Attempt(policies, self.keys, self.cost, now, self.lease, self._memory.clock)

    def _answered(self, granted: bool, outcomes: tuple[Outcome, ...]) -> Decision:
        if granted:
            lease = self.lease if self.charges and self.lease else None
            return Decision(True, _WITHIN_LIMITS, self.cost, outcomes, False, lease)
        # A denial from before a refund or a reset may arrive after it.
        is_current = self._forgotten is self._memory.denials.forgotten
        for key, outcome in zip(self.keys, outcomes, strict=True):
            if is_current and not outcome.allowed:
                self._memory.denials.add(key, outcome, self.cost, self._asked.now, outcomes)
        return Decision(False, Reason.LIMITED, self.cost, outcomes)

    def _reviewed(self, decision: Decision, attempt: Attempt) -> Any:
        """Decide again where the rules that came along with the answer are not those that it was asked by."""
        if not self._outdated:
            return decision
        self._outdated = False
        judged, policies = self._judge(self._book, attempt.now)
        asked = decision.reason in (Reason.WITHIN_LIMITS, Reason.LIMITED)
        if asked and judged is None and policies == attempt.policies:
            return decision
        if decision.reason is Reason.WITHIN_LIMITS and self.charges:
            capabilities = self._server.connection.capabilities
            return then(give_back(capabilities, attempt), lambda _: self._decide())
        return self._decide()

    def _judge(self, book: RuleBook | None, now: int) -> tuple[Decision | None, Sequence[Policy]]:
        """Return what the lists say, if anything, and the policies with the limits that are ruled."""
        policies = self.limiter.policies
        if book is None or book.is_empty:
            return None, policies
        rules = book.rules
        policies = tuple(rules.limit(policy, name) for policy, name in zip(policies, self.identities, strict=True))
        if any(rules.allowed.ends(identity, now) is not None for identity in self.identities):
            return self._unlimited(Reason.EXEMPT, policies), policies
        ends = [rules.blocked.ends(identity, now) for identity in self.identities]
        if any(end is not None for end in ends):
            return self._blocked(policies, ends, now), policies
        return None, policies

    def _blocked(self, policies: Sequence[Policy], ends: Sequence[int | None], now: int) -> Decision:
        outcomes = tuple(
            Outcome(policy, False, 0, None if end == FOREVER else (end - now) / MICROSECONDS, 0.0)
            for policy, end in zip(policies, ends, strict=True)
            if end is not None
        )
        return Decision(False, Reason.BLOCKED, self.cost, outcomes)

    def _unlimited(self, reason: Reason, policies: Sequence[Policy]) -> Decision:
        outcomes = tuple(Outcome(policy, True, policy.limit, 0.0, 0.0) for policy in policies)
        return Decision(True, reason, self.cost, outcomes)

    def _fall_back(self, memory: Memory, policies: Sequence[Policy], now: int, *, refused: bool) -> Decision:
        ways = [policy.on_failure or (self.limiter.on_failure or self.settings.on_failure) for policy in policies]
        if refused:
            # It may last until somebody notices: nobody has meant all limits to be open so long.
            ways = [self.settings.on_refusal if way == "open" else way for way in ways]
        local = [number for number, way in enumerate(ways) if way == "local"]
        attempt = self._attempt([policies[number] for number in local], now)
        verdicts = memory.local.decide(
            [self.keys[number] for number in local],
            attempt.terms,
            self.cost,
            now,
            self.lease,
            charge=self.charges and "closed" not in ways,
        )
        said = dict(zip(local, outcomes_of(attempt.policies, verdicts), strict=True))
        outcomes = tuple(
            said.get(number) or _without_asking(policy, ways[number]) for number, policy in enumerate(policies)
        )
        granted = all(outcome.allowed for outcome in outcomes)
        return Decision(granted, Reason.UNAVAILABLE, self.cost, outcomes, lease=self.lease or None)

    def _book_in(self, memory: Memory) -> RuleBook | None:
        return memory.rules(self.limiter.tenant) if self.limiter.obeys_rules(self.settings) else None

    def _passengers(self, *, time_too: bool) -> tuple[list[Command], Any]:
        """Return the commands that learn what is due, and what takes their replies."""
        book, memory, clock = self._book, self._memory, self._memory.clock
        started = clock.started()
        commands: list[Command] = [book.reading] if book is not None and book.is_due else []
        reads_rules = bool(commands)

        def take(replies: list[Reply]) -> None:
            if reads_rules and book is not None:
                self._outdated = book.take(replies[0])
            told = replies[-1]
            if time_too and isinstance(told, list):
                memory.clock.sample(started, *(int(part) for part in told if isinstance(part, bytes)))

        return [*commands, *([("TIME",)] if time_too else [])], take

    def _with_statistics(self, asking: Operation[Any], now: int) -> Operation[Any]:
        tallies, capabilities = self._memory.tallies, self._server.connection.capabilities
        writing = tallies.due(self.limiter.tenant, capabilities, now)
        if writing is None:
            return asking
        return carrying(asking, writing.commands, lambda replies: tallies.wrote(self.limiter.tenant, writing, replies))


def release_locally(limiter: LimiterBase, pairs: Sequence[tuple[Policy, str]], lease: str) -> None:
    """Give back places that were granted while the server was away."""
    memory, _ = _memory_without_server(limiter)
    now = _local_time(memory)
    terms = [policy.terms(now) for policy, _ in pairs]
    memory.local.decide([key for _, key in pairs], terms, -1, now, lease)


def _memory_without_server(limiter: LimiterBase) -> tuple[Memory, str]:
    """Return what the process remembers, and the name of the server that is away."""
    try:
        server = limiter.server
    except ConnectionError:
        return _without_redis, "Redis"
    return server.memory, server.base.settings.safe_url


def _local_time(memory: Memory) -> int:
    return memory.clock.now() if memory.clock.is_known else int(time.time() * MICROSECONDS)


def check_cost(cost: object) -> int:
    """Return the cost; raise ``ValueError`` where it is no whole number, or negative."""
    if not isinstance(cost, int) or isinstance(cost, bool):
        raise ValueError(f"The cost {shown(cost)} must be a whole number.")
    if cost < 0:
        raise ValueError(f"The cost {cost} is negative: use refund() to give back.")
    return cost


def _without_asking(policy: Policy, way: str) -> Outcome:
    if way == "open":
        return Outcome(policy, True, policy.limit, 0.0, 0.0)
    return Outcome(policy, False, 0, _RETRY, _RETRY)
