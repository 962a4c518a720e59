"""One request and what has been decided about it, until its response is finished."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from django_upstash.exceptions import UpstashError
from django_upstash.log import get_logger
from django_upstash.ratelimit.decisions import Decision, Reason
from django_upstash.ratelimit.limiter import RateLimiter
from django_upstash.ratelimit.limiter_base import Identity
from django_upstash.ratelimit.policies import DEFAULT_SCOPE, Policy, SlidingWindow
from django_upstash.ratelimit.web.responses import write_fields
from django_upstash.rendering import when_rendered

_DECISIONS = "_upstash_decisions"
logger = get_logger("django_upstash.ratelimit")

# Making one costs more than a decision that this process knows already.
make_limiter = lru_cache(maxsize=1024)(RateLimiter)


def decisions_about(request: Any) -> list[Decision]:
    """Return what has been decided about a request, Django's or Django REST framework's, in the order of deciding."""
    found: list[Decision] = vars(getattr(request, "_request", request)).setdefault(_DECISIONS, [])
    return found


def named_policies(given: Sequence[str | Policy], scope: str, *, shared: bool = False) -> tuple[Policy, ...]:
    """
    Return policies of which those that name no scope, and rates, count under ``scope``, each by itself.

    With ``shared``, others may count under the scope as well, in another way.
    """
    policies = [SlidingWindow(policy) if isinstance(policy, str) else policy for policy in given]
    unnamed = [policy for policy in policies if policy.scope == DEFAULT_SCOPE]
    shared = shared or len(unnamed) > 1
    return tuple(
        replace(policy, scope=counter(scope, policy.window, policy.algorithm) if shared else scope)
        if policy in unnamed
        else policy
        for policy in policies
    )


def counter(scope: str, window: int, algorithm: str) -> str:
    """
    Return a name for the counter of a scope that is counted in several ways.

    What is counted in two ways under one name would restart each time the way changes.
    """
    name = f"{scope}/{window}s"
    return name if algorithm == SlidingWindow.algorithm else f"{name}/{algorithm}"


class Visit:
    """
    A request before one limiter, as one identity.

    With ``charges_later`` it is only looked at; ``settle`` then says whether the response is charged.
    """

    def __init__(
        self, request: Any, limiter: RateLimiter, identity: Identity, cost: int = 1, *, charges_later: bool = False
    ) -> None:
        self.request = request
        self.limiter = limiter
        self.identity = identity
        self.cost = cost
        self.charges_later = charges_later
        self.decision: Decision
        self._holds = False

    def decide(self) -> Decision:
        ask = self.limiter.peek if self.charges_later else self.limiter.hit
        return self._took(ask(self.identity, self.cost))

    async def adecide(self) -> Decision:
        ask = self.limiter.apeek if self.charges_later else self.limiter.ahit
        return self._took(await ask(self.identity, self.cost))

    def settle(self, is_due: bool) -> None:
        """Charge what was only looked at, if it is due; give back what was charged at once, if it is not."""
        if self._is_to_pay(is_due):
            self._took(self.limiter.hit(self.identity, self.cost))
        elif self._has_charged() and not is_due:
            try:
                self.limiter.refund(self.identity, self.cost)
            except UpstashError as error:
                self._cannot_refund(error)

    async def asettle(self, is_due: bool) -> None:
        if self._is_to_pay(is_due):
            self._took(await self.limiter.ahit(self.identity, self.cost))
        elif self._has_charged() and not is_due:
            try:
                await self.limiter.arefund(self.identity, self.cost)
            except UpstashError as error:
                self._cannot_refund(error)

    def finish(self, response: Any, is_due: bool) -> None:
        """Charge or give back, let the place go when the response is finished, and tell what has been decided."""
        self.settle(is_due)
        if not self._releases_with(response):
            self.release()
        self.tell(response)

    async def afinish(self, response: Any, is_due: bool) -> None:
        await self.asettle(is_due)
        if not self._releases_with(response):
            await self.arelease()
        self.tell(response)

    def abandon(self, is_due: bool) -> None:
        """Like ``finish``, where there is no response."""
        self.settle(is_due)
        self.release()

    async def aabandon(self, is_due: bool) -> None:
        await self.asettle(is_due)
        await self.arelease()

    def take_back(self) -> None:
        """Give back what was charged and the place held, where another limiter refuses the request."""
        self.release()
        self.settle(is_due=False)

    def release(self) -> None:
        """Give back the place held, if any; twice does no harm."""
        if self._let_go():
            try:
                self.limiter.release(self.decision, self.identity)
            except UpstashError as error:
                self._cannot_release(error)

    async def arelease(self) -> None:
        """Like ``release``, even where the task is being cancelled."""
        if self._let_go():
            try:
                await asyncio.shield(asyncio.ensure_future(self.limiter.arelease(self.decision, self.identity)))
            except UpstashError as error:
                self._cannot_release(error)

    def tell(self, response: Any) -> None:
        """Write into the response what has been decided about its request."""
        write_fields(response, decisions_about(self.request))

    def _releases_with(self, response: Any) -> bool:
        """
        Tell whether the place is kept for the response, and given back when that is finished.

        It is where the response is still to be made: streamed, or rendered.
        """
        if not self._holds:
            return False
        if getattr(response, "streaming", False):
            response._resource_closers.append(self.release)
            return True
        if getattr(response, "is_rendered", True):
            return False
        when_rendered(response, lambda _: self.release(), self.release)
        return True

    def _took(self, decision: Decision) -> Decision:
        self.decision = decision
        self._holds = decision.lease is not None
        decisions_about(self.request).append(decision)
        return decision

    def _is_to_pay(self, is_due: bool) -> bool:
        return self.charges_later and is_due and self.decision.allowed

    def _has_charged(self) -> bool:
        return not self.charges_later and self.decision.reason is Reason.WITHIN_LIMITS

    def _let_go(self) -> bool:
        held, self._holds = self._holds, False
        return held

    def _cannot_release(self, error: UpstashError) -> None:
        # The lease ends by itself.
        logger.warning("A place under %r is kept until its lease ends: %s", self.limiter, error)

    def _cannot_refund(self, error: UpstashError) -> None:
        logger.warning("What %r has charged cannot be given back: %s", self.limiter, error)
