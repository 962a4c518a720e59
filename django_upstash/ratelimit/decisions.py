"""What a limiter answers."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from django_upstash.ratelimit.policies import Policy


class Reason(StrEnum):
    """Why a decision is what it is."""

    WITHIN_LIMITS = "within limits"
    LIMITED = "limited"
    COST_ABOVE_LIMIT = "cost above limit"  # can never be allowed
    BLOCKED = "blocked"  # on the list of those to be refused
    EXEMPT = "exempt"  # on the list of those to be let pass
    UNAVAILABLE = "unavailable"  # the server was not asked, or refused; on_failure decided
    CONGESTED = "congested"  # this process had no connection free to ask the server, which is no reason to allow
    DISABLED = "disabled"


class Outcome(NamedTuple):
    """
    What one policy says. Times are in seconds.

    ``retry_after`` is None where waiting does not help, and ``remaining`` never negative.
    """

    policy: Policy
    allowed: bool
    remaining: int
    retry_after: float | None
    reset_after: float

    @property
    def scope(self) -> str:
        return self.policy.scope

    @property
    def limit(self) -> int:
        return self.policy.limit


class Decision(NamedTuple):
    """
    Whether ``cost`` units may pass, and what is left. Times are in seconds from the decision.

    ``policy``, ``limit``, ``remaining`` and ``reset_after`` are those of the policy that decided: of those that refuse,
    the one that takes longest; where all allow, the one with the least left. ``retry_after`` is 0 where it is allowed,
    and None where waiting does not help. ``shadowed`` marks what only shadow mode let pass. ``lease`` names what
    ``release`` gives back.
    """

    allowed: bool
    reason: Reason
    cost: int
    outcomes: tuple[Outcome, ...]
    shadowed: bool = False
    lease: str | None = None

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def deciding(self) -> Outcome:
        """The outcome that the decision's own numbers are those of."""
        refusing = [outcome for outcome in self.outcomes if not outcome.allowed]
        if refusing:
            return max(refusing, key=_wait)
        return min(self.outcomes, key=lambda outcome: (outcome.remaining, -outcome.reset_after))

    @property
    def policy(self) -> Policy:
        return self.deciding.policy

    @property
    def limit(self) -> int:
        return self.deciding.limit

    @property
    def remaining(self) -> int:
        return self.deciding.remaining

    @property
    def retry_after(self) -> float | None:
        return 0.0 if self.allowed else self.deciding.retry_after

    @property
    def reset_after(self) -> float:
        return self.deciding.reset_after

    @property
    def violated(self) -> tuple[Policy, ...]:
        """The policies that refuse."""
        return tuple(outcome.policy for outcome in self.outcomes if not outcome.allowed)

    def in_shadow(self) -> Decision:
        """Return the same decision as shadow mode gives it: allowed, and marked where it would not have been."""
        return self if self.allowed else self._replace(allowed=True, shadowed=True)


def _wait(outcome: Outcome) -> float:
    return float("inf") if outcome.retry_after is None else outcome.retry_after
