"""The limiter: policies that are decided together, on one connection, for one tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from django.dispatch import Signal

from django_upstash.exceptions import DataError, ServerAwayError, UpstashError
from django_upstash.forks import Owner
from django_upstash.log import get_logger
from django_upstash.operations import Operation, then
from django_upstash.ratelimit import overrides, recording
from django_upstash.ratelimit.decisions import Decision, Reason
from django_upstash.ratelimit.evaluation import Inquiry, check_cost, release_locally
from django_upstash.ratelimit.limiter_base import Identity
from django_upstash.ratelimit.limiter_rules import RuleMethods
from django_upstash.ratelimit.operations import Attempt, forget, give_back
from django_upstash.ratelimit.policies import Policy
from django_upstash.ratelimit.settings import ratelimit_settings
from django_upstash.ratelimit.signals import limited, unavailable
from django_upstash.ratelimit.statistics import ScopeStatistics, Statistics, Stretch, statistics

logger = get_logger("django_upstash.ratelimit")


class RateLimiter(RuleMethods):
    """
    Decides what may pass by one policy or by several, all or nothing, in one round trip.

        limiter = RateLimiter([SlidingWindow("1000/day", scope="sustained"), TokenBucket("10/s", scope="burst")])
        decision = limiter.hit("user:42")

    An identity is any text; where policies count by different things, it is a mapping from each scope to its own.
    ``alias`` names a connection of ``UPSTASH``. ``tenant`` keeps the counters of one customer apart from another's.
    ``on_failure`` says what happens while the server is away: ``"open"``, ``"closed"``, or ``"local"``, which is limits
    of this process for itself. Where the server is there and refuses, ``ON_REFUSAL`` takes the place of "open". With
    ``shadow`` everything is counted and signalled, and nothing denied. What is None follows
    ``settings.UPSTASH_RATELIMIT``.

    Making one does no I/O and reads no settings. One object serves all threads and tasks.
    """

    def hit(self, identity: Identity, cost: int = 1) -> Decision:
        """
        Charge ``cost`` units where every policy grants them, and return the decision.

        A cost of 0 is always granted and charges nothing. Raises ``ValueError`` for a negative cost and for an
        identity that lacks a scope, ``TypeError`` for one that is no text; never for what a server does.
        """
        return self._decide(identity, cost, charges=True)

    async def ahit(self, identity: Identity, cost: int = 1) -> Decision:
        """Async version of ``hit``."""
        return await self._adecide(identity, cost, charges=True)

    def peek(self, identity: Identity, cost: int = 1) -> Decision:
        """Return what ``hit`` would decide, charging nothing; what is left is what is left now. One command."""
        return self._decide(identity, cost, charges=False)

    async def apeek(self, identity: Identity, cost: int = 1) -> Decision:
        """Async version of ``peek``."""
        return await self._adecide(identity, cost, charges=False)

    def reset(self, identity: Identity, scope: str | None = None) -> int:
        """Forget what an identity has used, in one scope or in all of the limiter's; return how many counters went."""
        return self._run(self._resetting(identity, scope))

    async def areset(self, identity: Identity, scope: str | None = None) -> int:
        """Async version of ``reset``."""
        return await self._arun(self._resetting(identity, scope))

    def refund(self, identity: Identity, cost: int = 1) -> None:
        """
        Give back what ``hit`` was charged, to each policy.

        A sliding window gives back what it would have forgotten soonest, so a refund never lets too much pass.
        """
        return self._run(self._refunding(identity, cost))

    async def arefund(self, identity: Identity, cost: int = 1) -> None:
        """Async version of ``refund``."""
        return await self._arun(self._refunding(identity, cost))

    def release(self, decision: Decision, identity: Identity) -> None:
        """Give back the places that a decision holds under ``Concurrency``; twice does no harm."""
        return self._run(self._releasing(decision, identity))

    async def arelease(self, decision: Decision, identity: Identity) -> None:
        """Async version of ``release``."""
        return await self._arun(self._releasing(decision, identity))

    def statistics(self, seconds: int = 3600) -> list[ScopeStatistics]:
        """Return what all processes have written about the tenant's last so many seconds, in stretches of 300."""
        return self._run(then(self._counted(seconds), lambda found: found.scopes))

    async def astatistics(self, seconds: int = 3600) -> list[ScopeStatistics]:
        """Async version of ``statistics``."""
        return await self._arun(then(self._counted(seconds), lambda found: found.scopes))

    def totals(self, seconds: int = 3600) -> list[Stretch]:
        """Return how many of the tenant's decisions were allowed and denied, each counted once, as ``statistics``."""
        return self._run(then(self._counted(seconds), lambda found: found.stretches))

    async def atotals(self, seconds: int = 3600) -> list[Stretch]:
        """Async version of ``totals``."""
        return await self._arun(then(self._counted(seconds), lambda found: found.stretches))

    def write_statistics(self) -> Any:
        """Write what this process has counted and not yet written, as before it ends."""
        return self._run(recording.writing(self.server.connection, self.server.memory, self.tenant))

    async def awrite_statistics(self) -> Any:
        """Async version of ``write_statistics``."""
        return await self._arun(recording.writing(self.server.connection, self.server.memory, self.tenant))

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
        """Like ``block_until_ready``, without blocking the event loop."""
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
        decision, owner = self.hit(identity), Owner()
        try:
            yield decision
        finally:
            try:
                if owner.is_here:
                    self.release(decision, identity)
            except UpstashError as error:
                self._cannot_release(error)

    @asynccontextmanager
    async def aholding(self, identity: Identity) -> AsyncIterator[Decision]:
        """Async version of ``holding``."""
        decision, owner = await self.ahit(identity), Owner()
        try:
            yield decision
        finally:
            try:
                if owner.is_here:
                    await self.arelease(decision, identity)
            except UpstashError as error:
                self._cannot_release(error)

    def _resetting(self, identity: Identity, scope: str | None = None) -> Operation[int]:
        keys = [key for policy, key in self._keys(identity) if self._concerns(policy, scope)]
        return self._forgetting(keys, forget(keys))

    def _refunding(self, identity: Identity, cost: int = 1) -> Operation[None]:
        pairs = [(policy, key) for policy, key in self._keys(identity) if policy.algorithm != "leases"]
        units = check_cost(cost)
        if not pairs or not units:
            return Operation((), lambda _: None)
        return self._giving_back(pairs, units, "")

    def _releasing(self, decision: Decision, identity: Identity) -> Operation[None]:
        pairs = [(policy, key) for policy, key in self._keys(identity) if policy.algorithm == "leases"]
        if not pairs or decision.lease is None:
            return Operation((), lambda _: None)
        if decision.reason is Reason.UNAVAILABLE:
            release_locally(self, pairs, decision.lease)
            return Operation((), lambda _: None)
        if not self.server.connection.availability.may_ask():
            raise ServerAwayError()
        return self._giving_back(pairs, 1, decision.lease)

    def _counted(self, seconds: int) -> Operation[Statistics]:
        clock = self.server.memory.clock
        return overrides.with_time(clock, lambda now: statistics(self.tenant, now, seconds))

    def _decide(self, identity: Identity, cost: int, *, charges: bool) -> Decision:
        """Return the decision, whether the server is there or not."""
        settings = ratelimit_settings()
        inquiry = Inquiry(self, self._identities(identity, settings), cost, charges=charges, settings=settings)
        try:
            found = inquiry.begin()
            if isinstance(found, Operation):
                found = inquiry.connection.run(found)
                inquiry.succeeded()
        except DataError:
            raise
        except UpstashError as error:
            found = inquiry.without_server(error)
            return self.finish(found, inquiry, error)
        return self.finish(found, inquiry)

    async def _adecide(self, identity: Identity, cost: int, *, charges: bool) -> Decision:
        settings = ratelimit_settings()
        inquiry = Inquiry(self, self._identities(identity, settings), cost, charges=charges, settings=settings)
        try:
            found = inquiry.begin()
            if isinstance(found, Operation):
                found = await inquiry.connection.arun(found)
                inquiry.succeeded()
        except DataError:
            raise
        except UpstashError as error:
            found = inquiry.without_server(error)
            return await self.afinish(found, inquiry, error)
        return await self.afinish(found, inquiry)

    def finish(self, decision: Decision, inquiry: Inquiry, error: UpstashError | None = None) -> Decision:
        """Count and signal a decision, and return what the caller gets."""
        if decision.allowed and error is None and not inquiry.is_counted:
            return decision
        for signal, arguments in self._noted(decision, inquiry, error):
            signal.send_robust(RateLimiter, **arguments)
        return self._told(decision, inquiry)

    async def afinish(self, decision: Decision, inquiry: Inquiry, error: UpstashError | None = None) -> Decision:
        """Like ``finish``, awaiting the receivers that want it."""
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
            scopes = named if decision.allowed else [policy.scope for policy in decision.violated]
            charged = [(scope, named[scope]) for scope in scopes]
            self.server.memory.tallies.count(self.tenant, decision.allowed, charged)
            recording.watch()
        arguments = {"limiter": self, "decision": decision}
        sent: list[tuple[Signal, dict[str, Any]]] = []
        if error is not None:
            sent.append((unavailable, {**arguments, "error": error}))
        if not decision.allowed:
            sent.append((limited, {**arguments, "tenant": self.tenant, "identities": named}))
        return sent

    def _concerns(self, policy: Policy, scope: str | None) -> bool:
        if scope is not None:
            self.check_scope(scope)
        return scope in (None, policy.scope)

    def _forgetting(self, keys: Sequence[str], operation: Operation[Any]) -> Operation[Any]:
        """Return the operation, after which this process asks the server about these keys again."""

        def follow(result: Any) -> Any:
            for key in keys:
                self.server.memory.forget(key)
            return result

        return then(operation, follow)

    def _giving_back(self, pairs: Sequence[tuple[Policy, str]], units: int, lease: str) -> Operation[None]:
        policies, keys = [policy for policy, _ in pairs], [key for _, key in pairs]
        server = self.server
        clock = server.memory.clock

        def give(now: int) -> Operation[Any]:
            return give_back(server.connection.capabilities, Attempt(policies, keys, units, now, lease, clock))

        giving = overrides.with_time(clock, give)
        return self._forgetting(keys, then(giving, lambda _: None))

    def _cannot_release(self, error: UpstashError) -> None:
        # The lease ends by itself.
        logger.warning("A place under %r is kept until its lease ends: %s", self, error)


def _wait(decision: Decision, deadline: float) -> float | None:
    """Return the seconds to wait before trying again, or None where there is nothing to wait for."""
    wait = decision.retry_after
    if decision.allowed or wait is None or time.monotonic() + wait > deadline:
        return None
    return wait
