"""
What may happen how often. A policy is a value: it holds no state, and the same one serves every identity.

    SlidingWindow("1000/day", scope="sustained")     never more than 1,000 in any 24 hours
    TokenBucket("10/s", burst=50, scope="burst")     50 at once, and 10 a second after that
    FixedWindow("60/min", scope="login")             60 a minute, counted from 0 each minute; the cheapest
    Quota(10_000, "month", timezone="Europe/Berlin") 10,000 in a calendar month
    Concurrency(5, lease=30)                         5 at the same time

Whoever counts by one scope shares one counter, whatever else is decided beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from math import gcd
from typing import ClassVar, Literal, TypeAlias

from django_upstash.ratelimit.calendar import Unit, period_around, zone
from django_upstash.ratelimit.rates import LONGEST_PERIOD, check_limit, parse_rate, shown
from django_upstash.ratelimit.settings import ratelimit_settings

Failure: TypeAlias = Literal["open", "closed", "local"]
FAILURES = ("open", "closed", "local")
# As decisions take them: the algorithm's letter, the limit, and three numbers that the algorithm names.
Terms: TypeAlias = tuple[str, int, int, int, int]

SUB_BUCKETS = 50
MICROSECONDS = 1_000_000
DEFAULT_SCOPE = "default"
_MOST_LEASES = 10_000
# Above this, a double no longer holds every whole number; half of it leaves room for a sum.
_EXACT = 2**52


@dataclass(frozen=True)
class Policy(ABC):
    """
    A limit on one scope.

    ``limit`` is how many units may pass and ``window`` in how many seconds, for display; ``on_failure`` overrides what
    the limiter does while the server is away.
    """

    algorithm: ClassVar[str]
    is_weighted: ClassVar[bool] = True

    limit: int = field(init=False)
    window: int = field(init=False)
    scope: str = field(kw_only=True, default=DEFAULT_SCOPE)
    on_failure: Failure | None = field(kw_only=True, default=None)

    @abstractmethod
    def terms(self, now: int) -> Terms:
        """Return what a decision at this time, in microseconds since 1970, is made by."""

    def texts(self, now: int) -> tuple[str, ...]:
        """Return the terms as scripts take them, without what their algorithm leaves unused."""
        return _texts(self.terms(now)) if self.algorithm == "window" else self._lasting_texts

    @cached_property
    def _lasting_texts(self) -> tuple[str, ...]:
        return _texts(self.terms(0))

    def limited_to(self, limit: int) -> Policy:
        """Return the same policy with another limit."""
        return self if limit == self.limit else _with_limit(self, limit)

    def _set(self, limit: int, window: int) -> None:
        if not (self.scope and isinstance(self.scope, str)):
            raise ValueError(f"The scope {shown(self.scope)} must be a text that is not empty.")
        check_failure(self.on_failure)
        object.__setattr__(self, "limit", limit)
        object.__setattr__(self, "window", window)


@dataclass(frozen=True)
class FixedWindow(Policy):
    """
    So many in each window of fixed length, counted from 1970.

    One command in the steady state. Around the boundary of two windows, twice the limit can pass in a short time.
    """

    algorithm = "window"
    rate: str

    def __post_init__(self) -> None:
        self._set(*parse_rate(self.rate))

    def terms(self, now: int) -> Terms:
        start = now // MICROSECONDS // self.window * self.window
        return "window", self.limit, start, start + self.window, 0


@dataclass(frozen=True)
class Quota(Policy):
    """So many in each hour, day, week (from Monday) or month of the calendar, in a time zone such as Europe/Berlin."""

    algorithm = "window"
    amount: int
    per: Unit
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        start, end = period_around(0, self.per, zone(self.timezone))
        self._set(check_limit(self.amount), end - start)

    def terms(self, now: int) -> Terms:
        start, end = period_around(now // MICROSECONDS, self.per, zone(self.timezone))
        return "window", self.limit, start, end, 0


@dataclass(frozen=True)
class SlidingWindow(Policy):
    """
    Never more than the limit in any window of the length, wherever it begins.

    The window is counted in fifty parts; a part is forgotten as a whole, once all of it is older than the window. So
    what was used returns up to a fiftieth of the window late, never early.
    """

    algorithm = "sliding"
    rate: str

    def __post_init__(self) -> None:
        self._set(*parse_rate(self.rate))

    def terms(self, now: int) -> Terms:
        return "sliding", self.limit, self.window * MICROSECONDS // SUB_BUCKETS, 0, 0


@dataclass(frozen=True)
class TokenBucket(Policy):
    """
    ``burst`` at once, refilled at the rate; by default the burst is the rate's own number.

    The state is kept in whole units of time, so burst and sustained rate are exact.
    """

    algorithm = "bucket"
    rate: str
    burst: int | None = None
    _grain: tuple[int, int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        limit, seconds = parse_rate(self.rate)
        burst = check_limit(limit if self.burst is None else self.burst)
        object.__setattr__(self, "_grain", _grain(limit, seconds, burst))
        self._set(burst, max(1, -(-burst * seconds // limit)) if limit else seconds)

    def terms(self, now: int) -> Terms:
        return "bucket", self.limit, *self._grain


@dataclass(frozen=True)
class Concurrency(Policy):
    """So many at the same time. Who does not release within ``lease`` seconds is taken for gone."""

    algorithm = "leases"
    is_weighted = False
    at_once: int
    lease: float = 60

    def __post_init__(self) -> None:
        if check_limit(self.at_once) > _MOST_LEASES:
            raise ValueError(f"Concurrency({self.at_once}) must be at most {_MOST_LEASES:,}.")
        if isinstance(self.lease, bool) or not 0.001 <= self.lease <= LONGEST_PERIOD:
            raise ValueError(f"The lease of {shown(self.lease)} s must be from a millisecond to a year.")
        self._set(self.at_once, max(1, round(self.lease)))

    def terms(self, now: int) -> Terms:
        return "leases", self.limit, int(self.lease * MICROSECONDS), 0, 0


def default_policy() -> TokenBucket | None:
    """Return the policy of ``REQUESTS_PER_MINUTE`` and ``BURST_SIZE``, or None where the settings name no rate."""
    settings = ratelimit_settings()
    if settings.requests_per_minute is None:
        return None
    return TokenBucket(f"{settings.requests_per_minute}/min", burst=settings.burst_size)


_USED_TERMS = {"window": 4, "sliding": 3, "bucket": 5, "leases": 3}


@lru_cache(maxsize=1024)
def _texts(terms: Terms) -> tuple[str, ...]:
    return tuple(map(str, terms[: _USED_TERMS[terms[0]]]))


@lru_cache(maxsize=1024)
def _with_limit(policy: Policy, limit: int) -> Policy:
    check_limit(limit)
    if isinstance(policy, TokenBucket) and policy.burst is not None:
        return replace(policy, burst=limit)
    if isinstance(policy, Quota):
        return replace(policy, amount=limit)
    if isinstance(policy, Concurrency):
        return replace(policy, at_once=limit)
    return replace(policy, rate=f"{limit}/{policy.window}s")  # type: ignore[call-arg]


def _grain(limit: int, seconds: int, burst: int) -> tuple[int, int, int]:
    """
    Return a bucket's units per token, the units it drains per tick, and the microseconds of a tick.

    All are whole, and a full bucket is still a number that a double holds exactly. A rate and a burst for which
    microseconds would be too fine are counted in milliseconds.
    """
    if not limit:
        return MICROSECONDS, 1, 1
    for tick in (1, 1000):
        period = seconds * (MICROSECONDS // tick)
        divisor = gcd(limit, period)
        if (burst + 1) * (period // divisor) < _EXACT:
            return period // divisor, limit // divisor, tick
    raise ValueError(f"A bucket of {burst:,} at {limit:,} in {seconds:,} s is too large to be counted exactly.")


def check_failure(on_failure: Failure | None) -> Failure | None:
    """Return what is to happen while the server is away; raise ``ValueError`` for an unknown word."""
    if on_failure not in (None, *FAILURES):
        raise ValueError(f'on_failure is {shown(on_failure)}: it must be "open", "closed" or "local".')
    return on_failure
