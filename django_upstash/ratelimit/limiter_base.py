"""What a limiter is made of: its policies, the tenant whose clients it counts, and the server it counts on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

from django_upstash.operations import Operation
from django_upstash.ratelimit.keys import check_parts, key_prefix, stored_identity
from django_upstash.ratelimit.policies import FAILURES, Failure, Policy
from django_upstash.ratelimit.policy_registry import catalogue
from django_upstash.ratelimit.rates import shown
from django_upstash.ratelimit.rules import RuleBook
from django_upstash.ratelimit.server import LimitServer, limit_server
from django_upstash.ratelimit.settings import RateLimitSettings, ratelimit_settings
from django_upstash.settings import conf
from django_upstash.settings.key_prefix import environment

# One client for all policies, or one for each scope.
Identity: TypeAlias = str | Mapping[str, str]
DEFAULT_TENANT = "default"
Result = TypeVar("Result")


class LimiterBase:
    """A limiter without its methods: what questions to it and changes of its rules are built from."""

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
        self.alias = alias
        self.tenant = tenant
        self.on_failure = _checked_failure(on_failure)
        self.has_leases = any(policy.algorithm == "leases" for policy in self.policies)
        self._shadow = shadow
        self._rules = rules
        self._statistics_wanted = statistics
        for policy in self.policies:
            check_parts(tenant, policy.scope)
        catalogue.enter(tenant, self.policies, statistics)
        self._server: LimitServer | None = None
        self._prefixes: tuple[str, list[str]] | None = None

    def __repr__(self) -> str:
        return f"<RateLimiter {self.tenant}: {', '.join(policy.scope for policy in self.policies)}>"

    @property
    def prefixes(self) -> list[str]:
        """What the keys of each policy begin with."""
        made, known = environment(), self._prefixes
        if known is None or known[0] != made:
            known = self._prefixes = made, [key_prefix(self.tenant, policy.scope) for policy in self.policies]
        return known[1]

    def _run(self, operation: Operation[Result]) -> Result:
        """Run an operation, and raise what keeps it from running."""
        return self.server.connection.run(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]

    async def _arun(self, operation: Operation[Result]) -> Result:
        return await self.server.connection.arun(operation) if operation.commands else operation.parse([])  # type: ignore[return-value]

    @property
    def server(self) -> LimitServer:
        """The server, with what the process remembers of it; ``ConnectionError`` where the site has none."""
        return self.server_by(ratelimit_settings())

    def server_by(self, settings: RateLimitSettings) -> LimitServer:
        self._server = limit_server(self.alias, settings, self._server)
        return self._server

    @property
    def rule_book(self) -> RuleBook:
        return self.server.memory.rules(self.tenant)

    def obeys_rules(self, settings: RateLimitSettings) -> bool:
        return settings.rules if self._rules is None else self._rules

    def counts(self, settings: RateLimitSettings) -> bool:
        """Tell whether decisions are counted for statistics."""
        return settings.statistics if self._statistics_wanted is None else self._statistics_wanted

    def check_scope(self, scope: str) -> None:
        """Raise ``ValueError`` for a scope that the limiter does not have."""
        scopes = [policy.scope for policy in self.policies]
        if scope not in scopes:
            raise ValueError(f"The scope {shown(scope)} is unknown here; there is {', '.join(map(shown, scopes))}.")

    def _identities(self, identity: Identity, settings: RateLimitSettings | None = None) -> list[str]:
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


def _checked_failure(given: Failure | None) -> Failure | None:
    if given not in (None, *FAILURES):
        raise ValueError(f'on_failure is {shown(given)}: it must be "open", "closed" or "local".')
    return given


def _checked(policies: Policy | Iterable[Policy]) -> tuple[Policy, ...]:
    found = (policies,) if isinstance(policies, Policy) else tuple(policies)
    for policy in found:
        if not isinstance(policy, Policy):
            raise TypeError(f"{shown(policy)} is not a Policy; try SlidingWindow({shown(policy)}).")
    scopes = [policy.scope for policy in found]
    if not found or len(set(scopes)) < len(scopes):
        raise ValueError("Pass at least one policy, each with a unique scope: the scope names the counter.")
    return found
