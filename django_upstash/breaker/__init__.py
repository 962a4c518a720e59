"""
A circuit breaker for what a site depends on, whose circuit all processes share.

    from django_upstash.breaker import CircuitBreaker
    stripe = CircuitBreaker("stripe")

    @stripe
    def charge(card): ...
"""

from __future__ import annotations

from django_upstash.breaker.circuit import Stats
from django_upstash.breaker.circuit_breaker import CircuitBreaker
from django_upstash.breaker.signals import closed, half_opened, opened, refused
from django_upstash.breaker.standing import Standing, State
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
