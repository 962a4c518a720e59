"""The limiter: policies that are decided together, on one connection, for one tenant."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

from django.dispatch import Signal

from django_upstash import conf
from django_upstash.exceptions import ConnectionError, UpstashError
from django_upstash.operations import Operation, then
from django_upstash.ratelimit import rulings
from django_upstash.ratelimit.catalogue import catalogue
from django_upstash.ratelimit.decisions import Decision, Reason
from django_upstash.ratelimit.inquiry import Inquiry, check_cost, release_locally
from django_upstash.ratelimit.keys import key_prefix, stored_identity
from django_upstash.ratelimit.operations import Attempt, forget, give_back
from django_upstash.ratelimit.policies import FAILURES, Failure, Policy
from django_upstash.ratelimit.rates import shown
from django_upstash.ratelimit.rules import RuleBook
from django_upstash.ratelimit.server import LimitServer, limit_server
from django_upstash.ratelimit.signals import limited, unavailable
from django_upstash.ratelimit.statistics import ScopeStatistics, statistics
from django_upstash.ratelimit.twins import deciding, managing

# One client for all policies, or one for each scope.
Identity: TypeAlias = str | Mapping[str, str]
DEFAULT_TENANT = "default"
logger = logging.getLogger("django_upstash.ratelimit")


class RateLimiter:
    """
    Decides what may pass by one policy or by several, all or nothing, in one round trip.

        limiter = RateLimiter([SlidingWindow("1000/day", scope="sustained"), TokenBucket("10/s", scope="burst")])
        decision = limiter.hit("user:42")

    An identity is any text; where policies count by different things, it is a mapping from each scope to its own.
    ``alias`` names a connection of ``UPSTASH``. ``tenant`` keeps the counters of one customer apart from another's.
    ``on_failure`` says what happens while the server is away: ``"open"``, ``"closed"``, or ``"local"``, which is limits
    of this process for itself. With ``shadow`` everything is counted and signalled, and nothing denied. What is None
    follows ``settings.UPSTASH_RATELIMIT``.

    Making one does no I/O and reads no settings. One object serves all threads and tasks.
    """

    def __init__(
        self,
        policies: Policy | Iterable[Policy],
        *,
        alias: str = conf.DEFAULT_ALIAS,
        tenant: str = DEFAULT_TENANT,
        on_failure: Failure | None = None,
        shadow: bool | None = None,
        rules: bool | None = None,
        statistics: bool | None = None,
    ) -> None:
        self.policies = _checked(policies)
        self.least = min(policy.limit for policy in self.policies)
        self.prefixes = [key_prefix(tenant, policy.scope) for policy in self.policies]
        self.alias = alias
        self.tenant = tenant
        if on_failure not in (None, *FAILURES):
            raise ValueError(f'on_failure is {shown(on_failure)}: it must be "open", "closed" or "local".')
        self.on_failure = on_failure
        self.has_leases = any(policy.algorithm == "leases" for policy in self.policies)
        self._shadow = shadow
        self._rules = rules
        self._statistics_wanted = statistics
        catalogue.enter(tenant, self.policies, statistics)
        self._server: LimitServer | None = None

    def __repr__(self) -> str:
        return f"<RateLimiter {self.tenant}: {', '.join(policy.scope for policy in self.policies)}>"

    def _hit(self, identity: Identity, cost: int = 1) -> Inquiry:
        """
        Charge ``cost`` units where every policy grants them, and return the decision.

        A cost of 0 is always granted and charges nothing. Raises ``ValueError`` for a negative cost and for an
        identity that lacks a scope, ``TypeError`` for one that is no text; never for what a server does.
        """
        settings = conf.ratelimit_settings()
        return Inquiry(self, self._identities(identity, settings), cost, charges=True, settings=settings)

    def _peek(self, identity: Identity, cost: int = 1) -> Inquiry:
        """Return what ``hit`` would decide, charging nothing; what is left is what is left now. One command."""
        settings = conf.ratelimit_settings()
        return Inquiry(self, self._identities(identity, settings), cost, charges=False, settings=settings)

    hit, ahit = deciding(_hit)
    peek, apeek = deciding(_peek)

    def _reset(self, identity: Identity, scope: str | None = None) -> Operation[int]:
        """Forget what an identity has used, in one scope or in all of the limiter's; return how many counters went."""
        keys = [key for policy, key in self._keys(identity) if self._concerns(policy, scope)]
        return self._forgetting(keys, forget(keys))

    def _refund(self, identity: Identity, cost: int = 1) -> Operation[None]:
        """
        Give back what ``hit`` was charged, to each policy.

        A sliding window gives back what it would have forgotten soonest, so a refund never lets too much pass.
        """
        pairs = [(policy, key) for policy, key in self._keys(identity) if policy.algorithm != "leases"]
        units = check_cost(cost)
        if not pairs or not units:
            return Operation((), lambda _: None)
        return self._giving_back(pairs, units, "")

    def _release(self, decision: Decision, identity: Identity) -> Operation[None]:
        """Give back the places that a decision holds under ``Concurrency``; twice does no harm."""
        pairs = [(policy, key) for policy, key in self._keys(identity) if policy.algorithm == "leases"]
        if not pairs or decision.lease is None:
            return Operation((), lambda _: None)
        if decision.reason is Reason.UNAVAILABLE:
            release_locally(self, pairs, decision.lease)
            return Operation((), lambda _: None)
        if not self.server.connection.availability.may_ask():
            raise ConnectionError("The server did not answer a moment ago.")
        return self._giving_back(pairs, 1, decision.lease)

    reset, areset = managing(_reset)
    refund, arefund = managing(_refund)
    release, arelease = managing(_release)
    set_limit, aset_limit = managing(rulings.set_limit)
    block, ablock = managing(rulings.block)
    unblock, aunblock = managing(rulings.unblock)
    allow, aallow = managing(rulings.allow)
    disallow, adisallow = managing(rulings.disallow)
    read_rules, aread_rules = managing(rulings.rules)

    def block_until_ready(self, identity: Identity, timeout: float, cost: int = 1) -> Decision:
        """
        Hit, and where that is refused wait exactly as long as it takes, and hit again.

        Returns the refusal, without waiting, once what it takes would exceed ``timeout`` seconds in all.
        """
        deadline = time.monotonic() + timeout
        while True:
            decision = self.hit(identity, cost)
            wait = _wait(decision, deadline)
            if wait is None:
                return decision
            time.sleep(wait)

    async def ablock_until_ready(self, identity: Identity, timeout: float, cost: int = 1) -> Decision:
        """Do as ``block_until_ready`` does, without blocking the event loop."""
        deadline = time.monotonic() + timeout
        while True:
            decision = await self.ahit(identity, cost)
            wait = _wait(decision, deadline)
            if wait is None:
                return decision
            await asyncio.sleep(wait)

    @contextmanager
    def holding(self, identity: Identity) -> Iterator[Decision]:
        """Hit, and release at the end of the block what was granted. The block must look at the decision."""
        decision = self.hit(identity)
        try:
            yield decision
        finally:
            try:
                self.release(decision, identity)
            except UpstashError as error:
                self._cannot_release(error)

    @asynccontextmanager
    async def aholding(self, identity: Identity) -> AsyncIterator[Decision]:
        """Do as ``holding`` does, awaited."""
        decision = await self.ahit(identity)
        try:
            yield decision
        finally:
            try:
                await self.arelease(decision, identity)
            except UpstashError as error:
                self._cannot_release(error)

    def _statistics(self, seconds: int = 3600) -> Operation[list[ScopeStatistics]]:
        """Return what all processes have written about the tenant's last so many seconds, in stretches of 300."""
        clock = self.server.memory.clock
        return rulings.with_time(clock, lambda now: statistics(self.tenant, now, seconds))

    def _write_statistics(self) -> Operation[Any]:
        """Write what this process has counted and not yet written, as before it ends."""
        memory, capabilities = self.server.memory, self.server.connection.capabilities

        def write(now: int) -> Any:
            return memory.tallies.writing(self.tenant, capabilities, now)

        return rulings.with_time(memory.clock, write)

    statistics, astatistics = managing(_statistics)
    write_statistics, awrite_statistics = managing(_write_statistics)

    @property
    def server(self) -> LimitServer:
        """The server, with what the process remembers of it; ``ConnectionError`` where the site has none."""
        return self.server_by(conf.ratelimit_settings())

    def server_by(self, settings: conf.RateLimitSettings) -> LimitServer:
        self._server = limit_server(self.alias, settings, self._server)
        return self._server

    @property
    def rule_book(self) -> RuleBook:
        return self.server.memory.rules(self.tenant)

    def obeys_rules(self, settings: conf.RateLimitSettings) -> bool:
        return settings.rules if self._rules is None else self._rules

    def counts(self, settings: conf.RateLimitSettings) -> bool:
        """Tell whether decisions are counted for statistics."""
        return settings.statistics if self._statistics_wanted is None else self._statistics_wanted

    def check_scope(self, scope: str) -> None:
        """Raise ``ValueError`` for a scope that is none of the limiter's."""
        scopes = [policy.scope for policy in self.policies]
        if scope not in scopes:
            raise ValueError(f"The scope {shown(scope)} is unknown here; there is {', '.join(map(shown, scopes))}.")

    def finish(self, decision: Decision, inquiry: Inquiry, error: UpstashError | None = None) -> Decision:
        """Count and signal a decision, and return what the caller is told."""
        if decision.allowed and error is None and not inquiry.is_counted:
            return decision
        for signal, arguments in self._noted(decision, inquiry, error):
            signal.send_robust(RateLimiter, **arguments)
        return self._told(decision, inquiry)

    async def afinish(self, decision: Decision, inquiry: Inquiry, error: UpstashError | None = None) -> Decision:
        """Do as ``finish`` does, awaiting the receivers that want it."""
        if decision.allowed and error is None and not inquiry.is_counted:
            return decision
        for signal, arguments in self._noted(decision, inquiry, error):
            await signal.asend_robust(RateLimiter, **arguments)
        return self._told(decision, inquiry)

    def _told(self, decision: Decision, inquiry: Inquiry) -> Decision:
        shadow = inquiry.settings.shadow if self._shadow is None else self._shadow
        return decision.in_shadow() if shadow else decision

    def _noted(
        self, decision: Decision, inquiry: Inquiry, error: UpstashError | None
    ) -> list[tuple[Signal, dict[str, Any]]]:
        """Count a decision, and return the signals to be sent, with their arguments."""
        named = {policy.scope: identity for policy, identity in zip(self.policies, inquiry.identities, strict=True)}
        if error is None and inquiry.is_counted:
            self.server.memory.tallies.count(self.tenant, decision.allowed, named.items())
        arguments = {"limiter": self, "decision": decision}
        sent: list[tuple[Signal, dict[str, Any]]] = []
        if error is not None:
            sent.append((unavailable, {**arguments, "error": error}))
        if not decision.allowed:
            sent.append((limited, {**arguments, "tenant": self.tenant, "identities": named}))
        return sent

    def _identities(self, identity: Identity, settings: conf.RateLimitSettings | None = None) -> list[str]:
        """Return one identity for each policy, as keys have them."""
        if isinstance(identity, str) or not isinstance(identity, Mapping):
            return [stored_identity(identity, settings)] * len(self.policies)
        for scope in identity:
            self.check_scope(scope)
        missing = [policy.scope for policy in self.policies if policy.scope not in identity]
        if missing:
            raise ValueError(f"The identities lack the scope {shown(missing[0])}: name one for each scope.")
        return [stored_identity(identity[policy.scope]) for policy in self.policies]

    def _keys(self, identity: Identity) -> list[tuple[Policy, str]]:
        pairs = zip(self.prefixes, self._identities(identity), strict=True)
        return list(zip(self.policies, (prefix + name for prefix, name in pairs), strict=True))

    def _concerns(self, policy: Policy, scope: str | None) -> bool:
        if scope is not None:
            self.check_scope(scope)
        return scope in (None, policy.scope)

    def _forgetting(self, keys: Sequence[str], operation: Operation[Any]) -> Operation[Any]:
        """Return the operation, after which this process asks the server about these keys anew."""

        def follow(result: Any) -> Any:
            for key in keys:
                self.server.memory.forget(key)
            return result

        return then(operation, follow)

    def _giving_back(self, pairs: Sequence[tuple[Policy, str]], units: int, lease: str) -> Operation[None]:
        policies, keys = [policy for policy, _ in pairs], [key for _, key in pairs]
        server = self.server

        def give(now: int) -> Operation[Any]:
            return give_back(server.connection.capabilities, Attempt(policies, keys, units, now, lease))

        giving = rulings.with_time(server.memory.clock, give)
        return self._forgetting(keys, then(giving, lambda _: None))

    def _cannot_release(self, error: UpstashError) -> None:
        # The lease ends by itself.
        logger.warning("A place under %r is kept until its lease ends: %s", self, error)


def _checked(policies: Policy | Iterable[Policy]) -> tuple[Policy, ...]:
    found = (policies,) if isinstance(policies, Policy) else tuple(policies)
    for policy in found:
        if not isinstance(policy, Policy):
            raise TypeError(f"{shown(policy)} is no policy: write SlidingWindow({shown(policy)}), for instance.")
    scopes = [policy.scope for policy in found]
    if not found or len(set(scopes)) < len(scopes):
        raise ValueError("A limiter takes one policy or more, each with a scope of its own: it names the counter.")
    return found


def _wait(decision: Decision, deadline: float) -> float | None:
    """Return the seconds to wait before trying again, or None where there is nothing to wait for."""
    wait = decision.retry_after
    if decision.allowed or wait is None or time.monotonic() + wait > deadline:
        return None
    return wait
