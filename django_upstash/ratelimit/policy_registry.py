"""
The policies that the limiters of this process decide by, so that who finds a counter knows what limits it.

A counter says how much was used, not how much may be. Limiters enter their policies as they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django_upstash.forks import ForkSafeLock
from django_upstash.ratelimit.policies import Policy

MOST_KNOWN = 2_000


class RegisteredPolicy(NamedTuple):
    """The latest policy of one tenant's scope, and whether its limiter says to count for statistics."""

    policy: Policy
    statistics: bool | None


class Catalogue:
    """Policies by tenant and scope; beyond ``MOST_KNOWN`` of them, those entered first are forgotten."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._entries: dict[tuple[str, str], RegisteredPolicy] = {}

    def enter(self, tenant: str, policies: Sequence[Policy], statistics: bool | None = None) -> None:
        """Note the policies of a tenant's limiter."""
        with self._lock:
            for policy in policies:
                self._entries.pop((tenant, policy.scope), None)
                self._entries[tenant, policy.scope] = RegisteredPolicy(policy, statistics)
            while len(self._entries) > MOST_KNOWN:
                del self._entries[next(iter(self._entries))]

    def suppose(self, tenant: str, policy: Policy) -> None:
        """Note a policy that no limiter decides by yet, unless something is known of its scope."""
        if (tenant, policy.scope) not in self._entries:
            self.enter(tenant, [policy])

    def policy(self, tenant: str, scope: str) -> Policy | None:
        """Return the policy of a tenant's scope, or else what another tenant has under the same scope."""
        with self._lock:
            entry = self._entries.get((tenant, scope))
            others = (other for (_, name), other in self._entries.items() if name == scope)
            entry = entry or next(others, None)
        return entry.policy if entry else None

    def scopes(self) -> list[tuple[str, str]]:
        """Return the tenants and scopes that are known, in order."""
        with self._lock:
            return sorted(self._entries)

    def counts(self) -> bool:
        """Tell whether some limiter says to count for statistics, whatever the settings say."""
        with self._lock:
            return any(entry.statistics for entry in self._entries.values())

    def clear(self) -> None:
        """Forget everything, as for a test."""
        with self._lock:
            self._entries.clear()


catalogue = Catalogue()
