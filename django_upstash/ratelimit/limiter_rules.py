"""A limiter's methods on its rules: limits changed while it runs, and the lists of those to refuse or to let pass."""

from __future__ import annotations

from django_upstash.ratelimit import overrides
from django_upstash.ratelimit.limiter_base import LimiterBase
from django_upstash.ratelimit.rules import Rules


class RuleMethods(LimiterBase):
    """Changes and reads what all processes obey; each is one command."""

    def set_limit(self, scope: str, limit: int | None, identity: str | None = None) -> None:
        """
        Give a scope, or one identity in it, another limit in all processes within five seconds; None takes it back.

        The period stays. Raises ``ValueError`` for a scope the limiter does not have, and for an invalid limit.
        """
        return self._run(overrides.set_limit(self, scope, limit, identity))

    async def aset_limit(self, scope: str, limit: int | None, identity: str | None = None) -> None:
        """Async version of ``set_limit``."""
        return await self._arun(overrides.set_limit(self, scope, limit, identity))

    def block(self, identity: str, seconds: float | None = None) -> None:
        """Refuse an identity, an address or a network such as 203.0.113.0/24, for so many seconds or for good."""
        return self._run(overrides.block(self, identity, seconds))

    async def ablock(self, identity: str, seconds: float | None = None) -> None:
        """Async version of ``block``."""
        return await self._arun(overrides.block(self, identity, seconds))

    def unblock(self, identity: str) -> None:
        """Take an identity off the list of those to be refused."""
        return self._run(overrides.unblock(self, identity))

    async def aunblock(self, identity: str) -> None:
        """Async version of ``unblock``."""
        return await self._arun(overrides.unblock(self, identity))

    def allow(self, identity: str, seconds: float | None = None) -> None:
        """Let an identity, an address or a network pass whatever the limits, blocked or not, and count nothing."""
        return self._run(overrides.allow(self, identity, seconds))

    async def aallow(self, identity: str, seconds: float | None = None) -> None:
        """Async version of ``allow``."""
        return await self._arun(overrides.allow(self, identity, seconds))

    def disallow(self, identity: str) -> None:
        """Take an identity off the list of those to be let pass."""
        return self._run(overrides.disallow(self, identity))

    async def adisallow(self, identity: str) -> None:
        """Async version of ``disallow``."""
        return await self._arun(overrides.disallow(self, identity))

    def read_rules(self) -> Rules:
        """Return what is ruled at this time."""
        return self._run(overrides.rules(self))

    async def aread_rules(self) -> Rules:
        """Async version of ``read_rules``."""
        return await self._arun(overrides.rules(self))
