"""What ``UPSTASH_RATELIMIT`` may say. Pure: opens no connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django_upstash.ratelimit.rates import parse_rate
from django_upstash.settings.addresses import Network, parse_network
from django_upstash.settings.rules import WITHOUT_QUOTES, Mistake, Rule, flag, items, matching, number, one_of, whole
from django_upstash.settings.schema import Schema, option

# The client of a unix socket, which has no address.
UNIX = "unix"
_FAILURES = ("open", "closed", "local")


def _flag() -> Rule:
    return flag("E203", WITHOUT_QUOTES)


def _count() -> Rule:
    return whole("E206", 1, 100_000_000, "a whole number above 0, 100,000,000 at most")


def _is_network(value: Any) -> bool:
    return value == UNIX or (isinstance(value, str) and parse_network(value) is not None)


def _is_identity(value: Any) -> bool:
    is_path = isinstance(value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value) is not None
    return is_path or callable(value) or (isinstance(value, str) and value in ("user", "address"))


@dataclass(frozen=True, kw_only=True)
class RateLimitSettings:
    """
    ``settings.UPSTASH_RATELIMIT``, checked and typed: what limiters do that do not say otherwise. Times are in seconds.
    """

    enabled: bool = option(_flag(), default=True)  # False: everything is allowed, and nothing is counted
    on_failure: str = option(
        one_of(
            "E204",
            *_FAILURES,
            hint="While the server is away, the first allows, the second denies, the third limits each process alone.",
        ),
        default="open",
    )
    # In place of "open", where the server is there and refuses.
    on_refusal: str = option(
        one_of(
            "E204",
            *_FAILURES,
            hint="Where the server is there and refuses to count, it takes the place of an ON_FAILURE that is open.",
        ),
        default="local",
    )
    # Of the round trip of a decision.
    timeout: float = option(
        number("E205", 0, 60, "a number of seconds above 0, 60 at most", "Write 0.25 for 250 ms.", above=True),
        default=0.25,
    )
    shadow: bool = option(_flag(), default=False)  # count and signal, but never deny
    rules: bool = option(_flag(), default=True)  # read limits and lists that change at run time
    statistics: bool = option(_flag(), default=False)
    digest_identities: bool = option(_flag(), default=False)  # users' keys and addresses too are stored as digests
    remembered: int = option(_count(), default=10_000)  # denials and windows that a process remembers, at most
    requests_per_minute: int | None = option(_count().or_none(), default=None)  # of the policy named "default"
    burst_size: int | None = option(_count().or_none(), default=None)
    # Whose X-Forwarded-For is believed; "unix" is who comes without an address, by a unix socket.
    trusted_proxies: tuple[Network | str, ...] = option(
        items(
            "E207",
            _is_network,
            'a list of addresses and networks, or "unix" for who comes by a unix socket',
            'Such as ["10.0.0.0/8", "2001:db8::/32"]: the proxies that the site itself runs.',
            lambda given: tuple(UNIX if proxy == UNIX else parse_network(proxy) for proxy in given),
        ),
        default=(),
    )
    # As DRF's, where DRF's is not set.
    num_proxies: int | None = option(
        whole("E208", 0, 100, hint="The number of proxies in front of the site; 0 without a proxy.").or_none(),
        default=None,
    )
    # In which the platform's edge sets the client's address.
    client_ip_header: str | None = option(
        matching(
            "E214",
            "(?!HTTP_)[A-Za-z0-9-]{1,64}",
            "the name of a header as HTTP has it",
            'Such as "CF-Connecting-IP", "Fly-Client-IP" or "X-Vercel-Forwarded-For".',
        ).or_none(),
        default=None,
    )
    x_headers: bool = option(_flag(), default=False)  # send the X-RateLimit fields as well
    # Of the middleware; none: the default policy.
    policies: tuple[Any, ...] = option(
        items(
            "E209",
            lambda policy: isinstance(policy, str) or hasattr(policy, "scope"),
            "a list of rates and policies",
            'Such as ["1000/day", TokenBucket("10/s", scope="burst")].',
        ),
        default=(),
    )
    # Whom the middleware counts by.
    identity: str | Callable[..., Any] = option(
        Rule(
            "E210",
            _is_identity,
            '"user", "address", a function, or the dotted path of one',
            'Such as "shop.limits.api_key": it takes the request, and returns the text to count by.',
        ),
        default="user",
    )
    # Beginnings of paths that the middleware passes over.
    exempt_paths: tuple[str, ...] = option(
        items(
            "E211",
            lambda path: isinstance(path, str) and path.startswith("/"),
            "a list of the beginnings of paths, each with its slash",
            'Such as ["/health/", "/static/"].',
        ),
        default=(),
    )

    @cached_property
    def trusted_networks(self) -> tuple[Network, ...]:
        """The networks among the trusted proxies."""
        return tuple(proxy for proxy in self.trusted_proxies if not isinstance(proxy, str))

    @cached_property
    def trusts_unix(self) -> bool:
        """Whether who comes by a unix socket is a trusted proxy."""
        return UNIX in self.trusted_proxies


def _contradictions(found: RateLimitSettings, where: str) -> Iterator[Mistake]:
    for policy in found.policies:
        try:
            if isinstance(policy, str):
                parse_rate(policy)
        except ValueError as error:
            yield Mistake("E209", f'{where}["POLICIES"]: {error}', 'Such as "1000/day".')


SCHEMA = Schema(
    "UPSTASH_RATELIMIT",
    RateLimitSettings,
    "E201",
    'Write {"ON_FAILURE": "open"}, or leave it out for the defaults.',
    contradictions=_contradictions,
    unknown_id="E202",
)
ratelimit_settings = SCHEMA.read
