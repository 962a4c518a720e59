"""
Runtime overrides shared by all processes: changed limits, blocked clients and exempt clients.

One small hash for each tenant. A process reads it at most once in five seconds, in the round trip of a decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from time import monotonic
from urllib.parse import quote

from django_upstash.operations import Command, Reply
from django_upstash.ratelimit.keys import address, family_key, network, stored_identity
from django_upstash.ratelimit.policies import MICROSECONDS, Policy
from django_upstash.ratelimit.rates import check_limit
from django_upstash.settings.addresses import Network, parse_network

LIFETIME = 5.0
LIMIT, BLOCK, ALLOW = "limit", "block", "allow"
# How an operator has named who is blocked. Earlier versions pass over such fields.
NOTE = "note"
FOREVER = 0


@dataclass
class Listing:
    """
    Identities and networks on a list, with the time in microseconds when each leaves it, or ``FOREVER``.

    ``names`` are as they are stored; addresses among ``identities`` and ``networks`` are in the form that clients have.
    """

    names: dict[str, int] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    networks: dict[Network, int] = field(default_factory=dict)

    def add(self, name: str, until: int) -> None:
        """Add what is stored under a name; raise ``ValueError`` for a network that cannot be read."""
        if "/" in name:
            found = parse_network(name)
            if found is None:
                raise ValueError("A listing is no network.")
            self.networks[found] = until
        else:
            self.identities[address(name) or name] = until
        self.names[name] = until

    def ends(self, identity: str, now: int) -> int | None:
        """Return when an identity leaves the list, or None where it is not on it."""
        until = self.identities.get(identity)
        if until is not None and (until == FOREVER or until > now):
            return until
        found = _as_network(identity) if self.networks else None
        for listed, until in self.networks.items() if found else ():
            if (until == FOREVER or until > now) and _contains(listed, found):
                return until
        return None


@dataclass
class Rules:
    """The rules as they were read."""

    limits: dict[str, int] = field(default_factory=dict)
    blocked: Listing = field(default_factory=Listing)
    allowed: Listing = field(default_factory=Listing)
    notes: dict[str, str] = field(default_factory=dict)  # of who is blocked, by name as it is stored

    def limit(self, policy: Policy, identity: str) -> Policy:
        """Return the policy with the limit that is ruled for the identity, or else for the scope."""
        if not self.limits:
            return policy
        scope = _scope(policy.scope)
        limit = self.limits.get(f"{scope} {identity}", self.limits.get(scope))
        try:
            return policy if limit is None else policy.limited_to(limit)
        except ValueError:
            return policy  # which cannot have it: it must not stop the site


class RuleBook:
    """A tenant's rules as this process knows them."""

    def __init__(self, tenant: str) -> None:
        self.key = family_key("rules", tenant)
        self.rules = Rules()
        self.is_empty = True
        self._fields: list[Reply] = []
        self._read_at = float("-inf")

    @property
    def is_due(self) -> bool:
        return monotonic() - self._read_at >= LIFETIME

    def expire(self) -> None:
        """Let the next decision read the rules."""
        self._read_at = float("-inf")

    @property
    def reading(self) -> Command:
        return ("HGETALL", self.key)

    def take(self, reply: Reply) -> bool:
        """Take what ``reading`` returned; tell whether it differs from what was known. What failed changes nothing."""
        self._read_at = monotonic()
        fields = reply if isinstance(reply, list) else self._fields
        changed, self._fields = fields != self._fields, fields
        if changed:
            self.rules, self.is_empty = _parsed(fields), not fields
        return changed

    def stale_fields(self, now: int) -> list[str]:
        """Return the fields whose time is over."""
        listings = ((BLOCK, self.rules.blocked), (ALLOW, self.rules.allowed))
        ended = [
            (word, name)
            for word, listing in listings
            for name, until in listing.names.items()
            if until != FOREVER and until <= now
        ]
        notes = [f"{NOTE} {name}" for word, name in ended if word == BLOCK and name in self.rules.notes]
        return [*(f"{word} {name}" for word, name in ended), *notes]


def limit_field(scope: str, identity: str | None) -> str:
    """Return the field of a limit for a scope, or for one identity in it."""
    return stored_limit_field(scope, None if identity is None else stored_identity(identity))


def stored_limit_field(scope: str, stored: str | None) -> str:
    """Return the field of a limit for a scope, or for one identity in it as keys have it."""
    return f"{LIMIT} {_scope(scope)}" + ("" if stored is None else f" {stored}")


def listing_field(word: str, identity: str) -> str:
    """Return the field of an identity, an address or a network on the list of this word."""
    return stored_listing_field(word, listed_name(identity))


def listed_name(identity: str) -> str:
    """Return an identity, an address or a network as lists have it; an IPv6 address counts as its /64."""
    found = network(identity)
    if found is None or not ("/" in identity or ":" in found):
        return stored_identity(identity)
    return found if "/" in identity else stored_identity(found)


def stored_listing_field(word: str, stored: str) -> str:
    """Return the field of an identity as keys have it, or of a network, on the list of this word."""
    return f"{word} {stored}"


def until(now: int, seconds: float | None) -> str:
    """Return when a listing of so many seconds ends; raise ``ValueError`` where that is no time."""
    if seconds is None:
        return str(FOREVER)
    if not 0 < seconds < 10**9:
        raise ValueError(f"seconds must be greater than 0, not {seconds!r}; use None for no expiry.")
    return str(now + int(seconds * MICROSECONDS))


def _parsed(fields: list[Reply]) -> Rules:
    rules = Rules()
    texts = [part.decode("utf-8", "replace") for part in fields if isinstance(part, bytes)]
    for name, value in zip(texts[::2], texts[1::2], strict=False):
        word, _, rest = name.partition(" ")
        if word == NOTE:
            rules.notes[rest] = value
            continue
        # What somebody else wrote there is passed over: it must not stop the site.
        try:
            _add(rules, word, rest, int(value))
        except ValueError:
            continue
    return rules


def _add(rules: Rules, word: str, name: str, value: int) -> None:
    if word == LIMIT:
        rules.limits[name] = check_limit(value)
    elif word in (BLOCK, ALLOW):
        (rules.blocked if word == BLOCK else rules.allowed).add(name, value)


@lru_cache(maxsize=1024)
def _scope(scope: str) -> str:
    return quote(scope.encode("utf-8", "surrogatepass"), safe="")


@lru_cache(maxsize=4096)
def _as_network(identity: str) -> Network | None:
    return parse_network(identity) if address(identity) else None


def _contains(listed: Network, found: Network | None) -> bool:
    if isinstance(listed, IPv4Network):
        return isinstance(found, IPv4Network) and found.subnet_of(listed)
    return isinstance(found, IPv6Network) and found.subnet_of(listed)
