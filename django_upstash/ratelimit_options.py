"""What ``UPSTASH_RATELIMIT`` may say, and what can be wrong with it. Pure: reads no settings, opens no connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, TypeAlias

from django.core.exceptions import ImproperlyConfigured

from django_upstash.rates import parse_rate
from django_upstash.validation import Mistake, Rule

Network: TypeAlias = IPv4Network | IPv6Network
SETTING = "UPSTASH_RATELIMIT"
# The client of a unix socket, which has no address.
UNIX = "unix"
_WITHOUT_QUOTES = "Write it without quotes, or leave it out for the default."


@dataclass(frozen=True, kw_only=True)
class RateLimitSettings:
    """
    ``settings.UPSTASH_RATELIMIT``, checked and typed: what limiters do that do not say otherwise. Times are in seconds.

    The field names are the lower-case forms of the setting's keys.
    """

    enabled: bool = True  # False: everything is allowed, and nothing is counted
    on_failure: str = "open"
    timeout: float = 0.25  # of the round trip of a decision
    shadow: bool = False  # count and signal, but never deny
    rules: bool = True  # read limits and lists that change at run time
    statistics: bool = False
    digest_identities: bool = False  # users' keys and addresses too are stored as digests
    remembered: int = 10_000  # denials and windows that a process remembers, at most
    requests_per_minute: int | None = None  # of the policy named "default"
    burst_size: int | None = None
    trusted_proxies: tuple[Network, ...] = ()  # whose X-Forwarded-For is believed
    trusts_unix: bool = False  # "unix" among them: who comes without an address, by a unix socket
    num_proxies: int | None = None  # as DRF's, where DRF's is not set
    x_headers: bool = False  # send the X-RateLimit fields as well
    policies: tuple[Any, ...] = ()  # of the middleware; none: the default policy
    identity: str | Callable[..., Any] = "user"  # whom the middleware counts by
    exempt_paths: tuple[str, ...] = ()  # beginnings of paths that the middleware passes over


def typed(given: object) -> RateLimitSettings:
    """Return the setting typed; raise ``ImproperlyConfigured`` for the first mistake."""
    known, found = _latest
    if given != known:
        found = _typed(given)
        _latest[:] = dict(given), found  # type: ignore[call-overload]
    return found  # type: ignore[no-any-return]


# Limiters ask for every decision.
_latest: list[Any] = [{}, RateLimitSettings()]


def mistakes(given: object) -> Iterator[Mistake]:
    """Yield what is wrong with the setting by itself."""
    if not isinstance(given, Mapping):
        text = f"{SETTING} must be a dict, not {type(given).__name__}."
        yield Mistake("E201", text, 'Write {"ON_FAILURE": "open"}, or leave it out for the defaults.')
        return
    for key, value in given.items():
        if key not in RULES:
            yield Mistake("E202", f"{SETTING} has an unknown key {key!r}.", _suggestion(key))
        elif not RULES[key].accepts(value):
            rule = RULES[key]
            yield Mistake(rule.id, f'{SETTING}["{key}"] must be {rule.words}.', rule.hint)
        elif key == "POLICIES":
            yield from _rate_mistakes(value)


def _typed(given: object) -> RateLimitSettings:
    for mistake in mistakes(given):
        raise ImproperlyConfigured(str(mistake))
    values = {key.lower(): value for key, value in given.items()}  # type: ignore[attr-defined]
    proxies = values.get("trusted_proxies", ())
    values["trusted_proxies"] = tuple(ip_network(proxy, strict=False) for proxy in proxies if proxy != UNIX)
    for name in ("policies", "exempt_paths"):
        values[name] = tuple(values.get(name, ()))
    return RateLimitSettings(trusts_unix=UNIX in proxies, **values)


def _rate_mistakes(policies: Any) -> Iterator[Mistake]:
    for policy in policies:
        try:
            if isinstance(policy, str):
                parse_rate(policy)
        except ValueError as error:
            yield Mistake("E209", f'{SETTING}["POLICIES"]: {error}', 'Such as "1000/day".')


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_timeout(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 60


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 100_000_000


def _is_number_of_proxies(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _are_networks(value: Any) -> bool:
    return _is_list(value) and all(proxy == UNIX or _is_network(proxy) for proxy in value)


def _is_network(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(ip_network(value, strict=False))
    except ValueError:
        return False


def _are_policies(value: Any) -> bool:
    return _is_list(value) and all(isinstance(policy, str) or hasattr(policy, "scope") for policy in value)


def _is_identity(value: Any) -> bool:
    is_path = isinstance(value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value) is not None
    return is_path or callable(value) or (isinstance(value, str) and value in ("user", "address"))


def _are_paths(value: Any) -> bool:
    return _is_list(value) and all(isinstance(path, str) and path.startswith("/") for path in value)


_FLAG = Rule("E203", _is_flag, "True or False", _WITHOUT_QUOTES)
_COUNT = Rule("E206", _is_count, "a whole number above 0, 100,000,000 at most", _WITHOUT_QUOTES)
_COUNT_OR_NONE = Rule("E206", lambda value: value is None or _is_count(value), f"None, or {_COUNT.words}", _COUNT.hint)
RULES: dict[str, Rule] = {
    "ENABLED": _FLAG,
    "ON_FAILURE": Rule(
        "E204",
        lambda value: value in ("open", "closed", "local"),
        '"open", "closed" or "local"',
        "While the server is away, the first allows, the second denies, the third limits each process for itself.",
    ),
    "TIMEOUT": Rule("E205", _is_timeout, "a number of seconds above 0, 60 at most", "Write 0.25 for 250 ms."),
    "SHADOW": _FLAG,
    "RULES": _FLAG,
    "STATISTICS": _FLAG,
    "DIGEST_IDENTITIES": _FLAG,
    "REMEMBERED": _COUNT,
    "REQUESTS_PER_MINUTE": _COUNT_OR_NONE,
    "BURST_SIZE": _COUNT_OR_NONE,
    "TRUSTED_PROXIES": Rule(
        "E207",
        _are_networks,
        'a list of addresses and networks, or "unix" for who comes by a unix socket',
        'Such as ["10.0.0.0/8", "2001:db8::/32"]: the proxies that the site itself runs.',
    ),
    "NUM_PROXIES": Rule(
        "E208",
        _is_number_of_proxies,
        "None, or a whole number from 0 to 100",
        "How many proxies stand before the site; 0 where there is none.",
    ),
    "X_HEADERS": _FLAG,
    "POLICIES": Rule(
        "E209",
        _are_policies,
        "a list of rates and policies",
        'Such as ["1000/day", TokenBucket("10/s", scope="burst")].',
    ),
    "IDENTITY": Rule(
        "E210",
        _is_identity,
        '"user", "address", a function, or the dotted path of one',
        'Such as "shop.limits.api_key": it takes the request, and returns the text to count by.',
    ),
    "EXEMPT_PATHS": Rule(
        "E211",
        _are_paths,
        "a list of the beginnings of paths, each with its slash",
        'Such as ["/health/", "/static/"].',
    ),
}


def _suggestion(key: object) -> str:
    known = f"It takes {', '.join(RULES)}."
    close = get_close_matches(key.upper(), RULES, n=1) if isinstance(key, str) else []
    return f"Did you mean {close[0]}? {known}" if close else known
