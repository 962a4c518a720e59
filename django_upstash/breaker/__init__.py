"""
A circuit breaker for what a site depends on, whose circuit all processes share.

    from django_upstash.breaker import CircuitBreaker
    stripe = CircuitBreaker("stripe")

    @stripe
    def charge(card): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_upstash.features import import_lazily

if TYPE_CHECKING:
    from django_upstash.breaker.circuit import Stats
    from django_upstash.breaker.circuit_breaker import CircuitBreaker
    from django_upstash.breaker.signals import closed, half_opened, opened, refused
    from django_upstash.breaker.status import Standing, State
    from django_upstash.exceptions import CircuitOpen

__all__ = [
    "CircuitBreaker",
    "CircuitOpen",
    "Standing",
    "State",
    "Stats",
    "closed",
    "half_opened",
    "opened",
    "refused",
]

__getattr__ = import_lazily(
    __name__,
    {
        "django_upstash.breaker.circuit_breaker": ["CircuitBreaker"],
        "django_upstash.exceptions": ["CircuitOpen"],
        "django_upstash.breaker.status": ["Standing", "State"],
        "django_upstash.breaker.circuit": ["Stats"],
        "django_upstash.breaker.signals": ["closed", "half_opened", "opened", "refused"],
    },
)
